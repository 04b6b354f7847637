"""The site's key file, and what it seals."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hearth.control.keys import Sealed, SiteKeys, load_or_create
from hearth.domain.errors import Invalid


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "site.key"
    first = load_or_create(file)
    content = file.read_bytes()
    again = load_or_create(file)
    assert file.read_bytes() == content
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in file.parent.iterdir()] == ["site.key"]
    assert again.open(first.seal("hello", "me"), "me") == "hello"
    assert again.lookup("hello") == first.lookup("hello")


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "site.key"
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: load_or_create(file), range(8)))
    assert len({one.lookup("token") for one in keys}) == 1


def test_what_is_sealed_shows_nothing_and_differs_each_time() -> None:
    keys = SiteKeys("k1", {"k1": b"1" * 32})
    one, two = keys.seal("swordfish", "me"), keys.seal("swordfish", "me")
    assert one.data != two.data
    assert b"swordfish" not in one.data
    assert "1111" not in repr(keys)


def test_only_the_same_key_owner_and_bytes_open() -> None:
    keys = SiteKeys("k1", {"k1": b"1" * 32})
    sealed = keys.seal("swordfish", "me")
    changed = Sealed("k1", sealed.data[:-1] + bytes([sealed.data[-1] ^ 1]))
    for attempt, owner, other in (
        (sealed, "you", keys),
        (changed, "me", keys),
        (sealed, "me", SiteKeys("k1", {"k1": b"2" * 32})),
        (sealed, "me", SiteKeys("k2", {"k2": b"1" * 32})),
    ):
        with pytest.raises(Invalid):
            other.open(attempt, owner)


def test_a_new_key_opens_and_finds_what_the_old_one_left() -> None:
    old = SiteKeys("k1", {"k1": b"1" * 32})
    new = SiteKeys("k2", {"k1": b"1" * 32, "k2": b"2" * 32})
    assert new.open(old.seal("swordfish", "me"), "me") == "swordfish"
    assert new.seal("x", "me").key_id == "k2"
    assert new.lookups("swordfish") == [new.lookup("swordfish"), old.lookup("swordfish")]
    assert new.lookup("swordfish") != old.lookup("swordfish")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "nonsense",
        json.dumps({"current": "k1", "keys": {}}),
        json.dumps({"current": "k1", "keys": {"k1": "c2hvcnQ="}}),
        json.dumps({"current": "k1", "keys": {"k1": "***"}}),
    ],
)
def test_a_broken_key_file_is_told_and_never_replaced(tmp_path: Path, content: str) -> None:
    file = tmp_path / "site.key"
    file.write_text(content)
    with pytest.raises(Invalid) as refused:
        load_or_create(file)
    assert str(file) in refused.value.message
    assert file.read_text() == content
