"""`hearth account ...`: accounts, their limits and who may look at them, while the server runs or not."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict

from hearth.app.store import open_accounts, open_store, open_viewers
from hearth.control.accounts import Account, Accounts
from hearth.control.viewers import Viewers
from hearth.data_directory import open_directory
from hearth.domain.errors import Invalid, Missing
from hearth.settings import Settings

LARGEST_LIMIT = (1 << 53) - 1  # beyond it numbers of JSON lose digits


async def create(settings: Settings, email: str) -> int:
    """Make the account and print its token: nothing else goes to stdout."""
    if not (settings.data / "FORMAT").exists():
        print(f"hearth: {settings.data} was no data directory and has been made", file=sys.stderr)
    async with _site(settings) as (accounts, _):
        _, token = await accounts.create_account(email)
    print(token)
    return 0


async def show(settings: Settings, email: str) -> int:
    """Print what an account has, what it may have, and who may look at it."""
    async with _existing(settings) as (accounts, viewers):
        account = await accounts.by_email(email)
        if account is None:
            raise Missing("account", email)
        use = await accounts.use(account)
        looking = await viewers.of(email)
    print(f"{account.email}  {account.uuid}")
    print(f"has      tasks={use.tasks} running_tasks={use.running_tasks} instances={use.live_instances}", end=" ")
    print(f"cores={use.live_cores:g} buckets={use.buckets} bucket_bytes={use.bucket_bytes}")
    _print_limits(account)
    print(f"viewers  {' '.join(looking) or 'none'}")
    return 0


async def limits(settings: Settings, email: str, given: Sequence[str]) -> int:
    """Change limits, written name=value, and print all of them."""
    changes = dict(_limit(text) for text in given)
    async with _existing(settings) as (accounts, _):
        account = await accounts.change_limits(email, changes)
    _print_limits(account)
    return 0


async def allow_view(settings: Settings, owner: str, viewer: str) -> int:
    """Let one account look at what is another's."""
    async with _existing(settings) as (_, viewers):
        await viewers.allow(owner, viewer)
    print(f"{viewer} may look at {owner}")
    return 0


async def revoke_view(settings: Settings, owner: str, viewer: str) -> int:
    """End that; a running server knows it within a second."""
    async with _existing(settings) as (_, viewers):
        ended = await viewers.revoke(owner, viewer)
    print(f"{viewer} may {'no longer' if ended else 'not'} look at {owner}{'' if ended else ', as before'}")
    return 0


@asynccontextmanager
async def _site(settings: Settings) -> AsyncIterator[tuple[Accounts, Viewers]]:
    directory = open_directory(settings.data)
    store = open_store(settings)
    try:
        yield open_accounts(store, directory), open_viewers(store)
    finally:
        store.close()


@asynccontextmanager
async def _existing(settings: Settings) -> AsyncIterator[tuple[Accounts, Viewers]]:
    if not (settings.data / "FORMAT").exists():
        raise Invalid("data", f"{settings.data} is no data directory: there are no accounts")
    async with _site(settings) as site:
        yield site


def _limit(text: str) -> tuple[str, int]:
    name, equals, value = text.partition("=")
    if not equals or not (value.isascii() and value.isdigit()):
        raise Invalid(name, f"'{text}' should be name=number, for example max_tasks=100; 0 stands for no limit")
    if int(value) > LARGEST_LIMIT:
        raise Invalid(name, f"{value} is more than any client reads, {LARGEST_LIMIT}; 0 stands for no limit")
    return name, int(value)


def _print_limits(account: Account) -> None:
    print("limits   " + " ".join(f"{name}={value}" for name, value in asdict(account.limits).items()))
