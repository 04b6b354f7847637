"""The cache of a node: bounded, forgetful in time, never wrong about what it has, and out of reach of runs."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import cast

import pytest

from hearth.agent.cache import FETCH_TRIES, Cache, Unfit, Wanted
from hearth.agent.disk import Crowded, DiskRules
from hearth.agent.link import Link

TASK = 1
DAY = 86_400


class Server:
    """Blobs by number, and how often each was asked for."""

    def __init__(self) -> None:
        self.blobs: dict[int, list[bytes]] = {}
        self.asked: list[int] = []

    def holds(self, blob: int, data: bytes, *, kept_seconds: int = DAY, first: bytes | None = None) -> Wanted:
        """`first` is what comes when it is asked for the first time."""
        self.blobs[blob] = [data] if first is None else [data, first]
        return Wanted(f"file{blob}", blob, len(data), hashlib.md5(data).hexdigest(), kept_seconds)

    async def blob(self, task: int, blob: int) -> AsyncIterator[bytes]:
        self.asked.append(blob)
        data = self.blobs[blob].pop() if len(self.blobs[blob]) > 1 else self.blobs[blob][0]
        yield data


class Clock:
    """A time that tests choose; it begins now, since file systems stamp what was read long after its own stamp."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def a_cache(tmp_path: Path, server: Server, clock: Clock, cache_bytes: int = 1000, free_bytes: int = 0) -> Cache:
    cache = Cache(tmp_path, cast(Link, server), DiskRules(cache_bytes=cache_bytes, free_bytes=free_bytes), clock)
    cache.use("here")
    return cache


def kept(tmp_path: Path) -> list[int]:
    return sorted(int(path.name) for path in (tmp_path / "cache/here").iterdir() if path.name.isdigit())


async def use(cache: Cache, *wanted: Wanted) -> list[bytes]:
    async with cache.holding(TASK, wanted) as files:
        return [file.read_bytes() for file in files]


async def test_it_never_holds_more_than_it_may_and_lets_the_longest_unused_go(
    tmp_path: Path, server: Server, clock: Clock
):
    cache = a_cache(tmp_path, server, clock, cache_bytes=250)
    one, two, three = (server.holds(number, bytes([number]) * 100) for number in (1, 2, 3))
    for wanted in (one, two, one, three):
        clock.now += 1
        await use(cache, wanted)
        assert cache.stored_bytes <= 250
    assert kept(tmp_path) == [1, 3]
    assert server.asked == [1, 2, 3]


async def test_what_is_wanted_now_may_be_more_than_it_may_hold_and_goes_when_nobody_wants_it(
    tmp_path: Path, server: Server, clock: Clock
):
    cache = a_cache(tmp_path, server, clock, cache_bytes=250)
    wanted = [server.holds(number, b"x" * 100) for number in range(5)]
    async with cache.holding(TASK, wanted) as files:
        assert [file.read_bytes() for file in files] == [b"x" * 100] * 5
        assert cache.stored_bytes == 500
    assert cache.stored_bytes == 200
    assert len(kept(tmp_path)) == 2


async def test_a_file_that_was_not_used_for_its_time_is_removed(tmp_path: Path, server: Server, clock: Clock):
    cache = a_cache(tmp_path, server, clock)
    short, long = server.holds(1, b"a", kept_seconds=10), server.holds(2, b"b", kept_seconds=100)
    await use(cache, short, long)
    clock.now += 9
    cache.sweep()
    assert kept(tmp_path) == [1, 2]
    await use(cache, short)
    clock.now += 9
    cache.sweep()
    assert kept(tmp_path) == [1, 2]
    clock.now += 1
    cache.sweep()
    assert kept(tmp_path) == [2]


async def test_the_longest_time_that_somebody_asked_for_counts(tmp_path: Path, server: Server, clock: Clock):
    cache = a_cache(tmp_path, server, clock)
    await use(cache, server.holds(1, b"a", kept_seconds=100))
    await use(cache, server.holds(1, b"a", kept_seconds=1))
    clock.now += 50
    cache.sweep()
    assert kept(tmp_path) == [1]


async def test_an_agent_that_returns_knows_what_is_there_and_for_how_long(tmp_path: Path, server: Server, clock: Clock):
    await use(a_cache(tmp_path, server, clock), server.holds(1, b"a", kept_seconds=100))
    clock.now += 50
    again = a_cache(tmp_path, server, clock)
    assert again.stored_bytes == 1
    assert await use(again, server.holds(1, b"a", kept_seconds=1)) == [b"a"]
    assert server.asked == [1]
    clock.now += 49
    again.sweep()
    assert kept(tmp_path) == [1]
    clock.now += 2
    again.sweep()
    assert kept(tmp_path) == []


async def test_what_arrives_damaged_is_fetched_again(tmp_path: Path, server: Server, clock: Clock):
    cache = a_cache(tmp_path, server, clock)
    assert await use(cache, server.holds(1, b"whole", first=b"wh0le")) == [b"whole"]
    assert server.asked == [1, 1]


async def test_what_is_damaged_each_time_is_refused_and_not_kept(tmp_path: Path, server: Server, clock: Clock):
    cache = a_cache(tmp_path, server, clock)
    wanted = server.holds(1, b"whole")
    server.blobs[1] = [b"wh0le"]
    with pytest.raises(Unfit, match="'file1' arrived with the MD5"):
        await use(cache, wanted)
    assert server.asked == [1] * FETCH_TRIES
    assert (kept(tmp_path), cache.stored_bytes) == ([], 0)


async def test_an_etag_of_parts_is_not_taken_for_an_md5(tmp_path: Path, server: Server, clock: Clock):
    wanted = server.holds(1, b"data")
    parts = Wanted(wanted.path, 1, 4, "0123456789abcdef0123456789abcdef-2")
    assert await use(a_cache(tmp_path, server, clock), parts) == [b"data"]


async def test_what_does_not_fit_beside_what_is_there_is_told_from_a_full_disk_and_the_cache_gives_way_first(
    tmp_path: Path, server: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    cache = a_cache(tmp_path, server, clock, free_bytes=100)
    await use(cache, server.holds(1, b"x" * 200))
    free = {"bytes": 350}
    monkeypatch.setattr("hearth.agent.disk.free_bytes", lambda folder: free["bytes"] - cache.stored_bytes)
    monkeypatch.setattr("hearth.agent.cache.free_bytes", lambda folder: free["bytes"] - cache.stored_bytes)
    assert await use(cache, server.holds(2, b"y" * 250)) == [b"y" * 250]
    assert kept(tmp_path) == [2]
    free["bytes"] = 340
    with pytest.raises(Crowded, match="too full: 251 bytes are needed and 340 are free, of which 100 are kept"):
        await use(cache, server.holds(3, b"z" * 251))
    free["bytes"] = 99
    with pytest.raises(OSError, match="the disk of the node is too full: 1 bytes are needed and 99 are free") as full:
        await use(cache, server.holds(4, b"z"))
    assert not isinstance(full.value, Crowded)


async def test_resources_that_are_more_than_the_whole_disk_are_the_users(tmp_path: Path, server: Server, clock: Clock):
    huge = Wanted("huge", 1, 1 << 60, "etag-2")
    with pytest.raises(Unfit, match=r"the resources have [0-9]+ bytes that are not on the node"):
        await use(a_cache(tmp_path, server, clock), huge)
    assert server.asked == []


async def test_what_a_tree_shows_stays_as_long_as_somebody_uses_it(tmp_path: Path, server: Server, clock: Clock):
    cache = a_cache(tmp_path, server, clock, cache_bytes=100)
    shown = server.holds(1, b"a" * 100)
    async with cache.holding(TASK, [shown]) as [file]:
        tree = await cache.tree("name", "run", [(PurePosixPath("deep/er/file"), file)], [PurePosixPath("empty")])
    assert (tree / "deep/er/file").read_bytes() == b"a" * 100
    assert (tree / "empty").is_dir()
    await use(cache, server.holds(2, b"b" * 100))
    assert (tree / "deep/er/file").read_bytes() == b"a" * 100
    assert kept(tmp_path) == [1]
    cache.release_tree("name", "run")
    await use(cache, server.holds(3, b"c" * 100))
    assert not tree.exists()
    assert kept(tmp_path) == [3]


async def test_a_tree_of_a_run_that_was_found_again_stays(tmp_path: Path, server: Server, clock: Clock):
    first = a_cache(tmp_path, server, clock)
    async with first.holding(TASK, [server.holds(1, b"a")]) as [file]:
        tree = await first.tree("name", "run", [(PurePosixPath("file"), file)], [])
    again = Cache(tmp_path, cast(Link, server), DiskRules(cache_bytes=0, free_bytes=0), clock)
    again.claim_tree("name", "run")
    again.use("here")
    again.sweep()
    assert (tree / "file").read_bytes() == b"a"
    again.release_tree("name", "run")
    assert not tree.exists()
    assert kept(tmp_path) == []


async def test_nobody_but_its_owner_reaches_it(tmp_path: Path, server: Server, clock: Clock):
    cache = a_cache(tmp_path, server, clock)
    await use(cache, server.holds(1, b"a"))
    assert os.stat(tmp_path / "cache").st_mode & 0o777 == 0o700
    assert os.stat(tmp_path / "cache/here").st_mode & 0o777 == 0o700
