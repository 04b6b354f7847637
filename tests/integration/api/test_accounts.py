"""Accounts and their tokens, on a real store."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth.control.accounts import BELIEVED_MICROSECONDS, Accounts
from hearth.control.keys import load_or_create
from hearth.control.tokens import new_token
from hearth.domain.errors import Conflict, Invalid, Missing
from tests.integration.api.sites import TestSite


def another_process(site: TestSite) -> Accounts:
    """Return the accounts as another process on the same database sees them."""
    keys = load_or_create(site.folder / "keys" / "site.key")
    return Accounts(site.site.store, keys, now=site.clock, new_uuid=site.site.new_uuid)


async def test_a_token_tells_whose_it_is(site: TestSite) -> None:
    accounts = site.site.accounts
    account, token = await accounts.create_account(
        "Ada@Example.org",
    )
    assert account.email == "ada@example.org"
    assert await accounts.by_token(token) == account
    assert await another_process(site).by_token(token) == account
    assert await accounts.by_token(new_token()) is None
    assert await accounts.by_token("") is None
    [project] = account.projects
    assert (project.slug, project.is_default, account.default_project) == ("default", True, project)


async def test_storage_secrets_are_the_tokens_under_the_email_in_any_case(site: TestSite) -> None:
    accounts = site.site.accounts
    account, first = await accounts.create_account("ada@example.org")
    await accounts.create_account("bob@example.org")
    second = await accounts.create_token("ADA@example.org", "second")
    found = await accounts.of("Ada@Example.Org")
    assert [(one.account_id, one.secret, one.account_email) for one in found] == [
        (account.id, second, "ada@example.org"),
        (account.id, first, "ada@example.org"),
    ]
    assert first not in repr(found)
    assert await accounts.of("nobody@example.org") == ()


async def test_a_revoked_token_ends_here_at_once_and_elsewhere_within_a_second(site: TestSite) -> None:
    accounts, other = site.site.accounts, another_process(site)
    account, token = await accounts.create_account("ada@example.org")
    spare = await accounts.create_token("ada@example.org")
    assert await other.by_token(token) == account
    assert len(await other.of("ada@example.org")) == 2
    assert await accounts.revoke(token) is True
    assert await accounts.revoke(token) is False
    assert await accounts.by_token(token) is None
    assert await accounts.by_token(spare) == account
    site.clock.now += BELIEVED_MICROSECONDS
    assert await other.by_token(token) is None
    assert [one.secret for one in await other.of("ada@example.org")] == [spare]


async def test_a_clock_that_was_set_back_keeps_no_revoked_token_alive(site: TestSite) -> None:
    other = another_process(site)
    _, token = await site.site.accounts.create_account("ada@example.org")
    assert await other.by_token(token) is not None
    await site.site.accounts.revoke(token)
    site.clock.now -= 3600 * 1_000_000
    assert await other.by_token(token) is None


async def test_what_cannot_be_made_is_refused(site: TestSite) -> None:
    accounts = site.site.accounts
    await accounts.create_account("ada@example.org")
    with pytest.raises(Conflict):
        await accounts.create_account("ADA@example.org")
    with pytest.raises(Missing):
        await accounts.create_token("nobody@example.org")
    for email in ("", "ada", "a b@c", "a@b@c", "a/b@c", "@c", "a@", 'a"@c'):
        with pytest.raises(Invalid):
            await accounts.create_account(email)


async def test_no_token_lies_readable_in_the_data_directory(site: TestSite, tmp_path: Path) -> None:
    _, token = await site.site.accounts.create_account("ada@example.org")
    site.site.store.close()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.name == "hearth.db" for file in files)
    assert all(token.encode() not in file.read_bytes() for file in files)
