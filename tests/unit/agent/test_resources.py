"""Resources become files of a run: fetched once, whole, inside its folder, and remembered as they were."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from hearth.agent.cache import FILE_MODE, Unfit
from hearth.agent.disk import DiskRules
from hearth.agent.link import Gone, Link, Unreachable
from hearth.agent.manifest import Manifest, Placed, read_manifest, write_manifest
from hearth.agent.resources import Resources, relative_path
from hearth.wire.agent import ResourceFile

TASK = 1


class Server:
    """Buckets and blobs behind a link."""

    def __init__(self) -> None:
        self.files: list[ResourceFile] = []
        self.blobs: dict[int, bytes] = {}
        self.asked: list[int] = []
        self.gate: asyncio.Event | None = None

    def holds(self, key: str, data: bytes = b"data", *, blob: int | None = None, size: int | None = None) -> None:
        number = blob if blob is not None else len(self.blobs) + 1
        self.blobs[number] = data
        self.files.append(ResourceFile(key, number, len(data) if size is None else size, f"etag-{number}"))

    async def resources(self, task: int) -> list[ResourceFile]:
        return list(self.files)

    async def blob(self, task: int, blob: int) -> AsyncIterator[bytes]:
        self.asked.append(blob)
        if self.gate is not None:
            await self.gate.wait()
        if blob not in self.blobs:
            raise Gone(str(blob))
        data = self.blobs[blob]
        for at in range(0, len(data), 3):
            yield data[at : at + 3]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def cache(server: Server, tmp_path: Path) -> Resources:
    return Resources(tmp_path, cast(Link, server))


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    return folder


def there(job: Path) -> dict[str, bytes]:
    return {str(path.relative_to(job)): path.read_bytes() for path in job.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a", "a"),
        ("a/b", "a/b"),
        ("/a//b/", "a/b"),
        ("./a/./b", "a/b"),
        ("..a/b..", "..a/b.."),
        ("", None),
        ("/", None),
        (".", None),
        ("..", None),
        ("a/../../b", None),
        ("a/..", None),
        ("a\0b", None),
    ],
)
def test_a_key_is_a_path_below_the_folder_or_none(key: str, path: str | None):
    found = relative_path(key)
    assert (None if found is None else str(found)) == path


async def test_objects_become_files_that_anybody_can_run(cache: Resources, server: Server, job: Path):
    server.holds("run.sh", b"#!/bin/sh")
    server.holds("deep/er/file", b"")
    server.holds("empty/")
    manifest = await cache.place(TASK, job.parent, None)
    assert there(job) == {"run.sh": b"#!/bin/sh", "deep/er/file": b""}
    assert (job / "empty").is_dir()
    assert (job / "run.sh").stat().st_mode & 0o777 == FILE_MODE
    assert manifest.placed == {
        path: Placed((job / path).stat().st_size, (job / path).stat().st_ctime_ns, etag)
        for path, etag in (("run.sh", "etag-1"), ("deep/er/file", "etag-2"))
    }
    assert manifest.notes == []


async def test_a_key_that_would_leave_the_folder_is_left_out_with_a_note(cache: Resources, server: Server, job: Path):
    server.holds("../../escaped")
    server.holds("../outside/")
    server.holds("good")
    notes = (await cache.place(TASK, job.parent, None)).notes
    assert there(job) == {"good": b"data"}
    assert [note.split("'")[1] for note in notes] == ["../../escaped", "../outside/"]
    assert not (job.parent / "outside").exists()


async def test_a_blob_is_fetched_once_whoever_asks(cache: Resources, server: Server, tmp_path: Path):
    server.holds("file", blob=7)
    folders = [tmp_path / f"{number}/job" for number in range(3)]
    for folder in folders:
        folder.mkdir(parents=True)
    await asyncio.gather(*(cache.place(TASK, folder.parent, None) for folder in folders[:2]))
    await cache.place(TASK, folders[2].parent, None)
    assert server.asked == [7]
    (folders[0] / "file").write_bytes(b"edited")
    assert there(folders[1]) == there(folders[2]) == {"file": b"data"}


async def test_resources_that_are_more_than_the_cache_holds_arrive_all_the_same(
    server: Server, tmp_path: Path, job: Path
):
    cache = Resources(tmp_path, cast(Link, server), DiskRules(cache_bytes=100))
    for number in range(5):
        server.holds(f"file{number}", bytes([number]) * 90)
    await cache.place(TASK, job.parent, None)
    assert there(job) == {f"file{number}": bytes([number]) * 90 for number in range(5)}


async def test_what_was_not_used_for_longest_makes_room(server: Server, tmp_path: Path, job: Path):
    cache = Resources(tmp_path, cast(Link, server), DiskRules(cache_bytes=200))
    for blob in (1, 2, 3):
        server.files.clear()
        server.holds(f"file{blob}", b"x" * 90, blob=blob)
        await cache.place(TASK, job.parent, None)
        os.utime(tmp_path / "cache" / str(blob), (blob, blob))
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["2", "3"]


async def test_a_file_that_a_power_cut_shortened_is_fetched_again(
    cache: Resources, server: Server, tmp_path: Path, job: Path
):
    server.holds("file", b"whole", blob=1)
    (tmp_path / "cache" / "1").write_bytes(b"")
    await cache.place(TASK, job.parent, None)
    assert there(job) == {"file": b"whole"}


async def test_numbers_of_another_incarnation_are_other_blobs(
    cache: Resources, server: Server, tmp_path: Path, job: Path
):
    server.holds("file", b"old", blob=1)
    cache.cache.use("first")
    await cache.place(TASK, job.parent, None)
    server.blobs[1] = b"new"
    again = Resources(tmp_path, cast(Link, server))
    again.cache.use("first")
    await again.place(TASK, job.parent, None)
    assert there(job) == {"file": b"old"}
    again.cache.use("second")
    await again.place(TASK, job.parent, None)
    assert there(job) == {"file": b"new"}
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["second"]


async def test_what_an_agent_that_died_had_begun_is_removed(server: Server, tmp_path: Path):
    begun = tmp_path / "cache" / "here" / "5.part"
    begun.parent.mkdir(parents=True)
    begun.write_bytes(b"half")
    Resources(tmp_path, cast(Link, server)).cache.use("here")
    assert not begun.exists()


async def test_an_object_that_was_overwritten_meanwhile_is_asked_for_again(
    cache: Resources, server: Server, job: Path, monkeypatch: pytest.MonkeyPatch
):
    server.holds("file", b"new", blob=2)
    lists = [[ResourceFile("file", 1, 3, "old")], server.files]

    async def resources(task: int) -> list[ResourceFile]:
        return lists.pop(0)

    monkeypatch.setattr(server, "resources", resources)
    await cache.place(TASK, job.parent, None)
    assert there(job) == {"file": b"new"}


async def test_an_object_that_is_not_there_again_and_again_is_gone(cache: Resources, server: Server, job: Path):
    server.holds("file")
    server.blobs.clear()
    with pytest.raises(Gone):
        await cache.place(TASK, job.parent, None)
    assert server.asked == [1, 1]


async def test_a_download_that_breaks_leaves_nothing_and_may_be_tried_again(
    cache: Resources, server: Server, tmp_path: Path, job: Path, monkeypatch: pytest.MonkeyPatch
):
    server.holds("file")

    async def broken(task: int, blob: int) -> AsyncIterator[bytes]:
        yield b"da"
        raise Unreachable("reset")

    with monkeypatch.context() as patch:
        patch.setattr(server, "blob", broken)
        with pytest.raises(Unreachable):
            await cache.place(TASK, job.parent, None)
    assert list((tmp_path / "cache").iterdir()) == []
    await cache.place(TASK, job.parent, None)
    assert there(job) == {"file": b"data"}


async def test_bytes_of_another_size_are_refused(cache: Resources, server: Server, job: Path):
    server.holds("file", size=9)
    with pytest.raises(Unfit, match="'file' arrived with 4 bytes instead of 9"):
        await cache.place(TASK, job.parent, None)


@pytest.mark.parametrize("keys", [("a", "a/b"), ("a/b", "a"), ("a", "a/")])
async def test_a_key_cannot_be_a_file_and_a_folder(cache: Resources, server: Server, job: Path, keys: tuple[str, str]):
    for key in keys:
        server.holds(key)
    with pytest.raises(Unfit, match="is both a file and "):
        await cache.place(TASK, job.parent, None)


@pytest.mark.parametrize("key", ["f" * 300, "f" * 300 + "/file", "f" * 300 + "/"])
async def test_a_name_that_is_too_long_for_a_file_is_said_to_be(cache: Resources, server: Server, job: Path, key: str):
    server.holds(key)
    with pytest.raises(Unfit, match="has a name that is too long"):
        await cache.place(TASK, job.parent, None)


def test_the_story_of_the_resources_is_kept_beside_the_run(tmp_path: Path):
    assert read_manifest(str(tmp_path)) is None
    manifest = Manifest({"a/b": Placed(4, 123, "etag")}, ["note"], version=2)
    write_manifest(str(tmp_path), manifest)
    assert read_manifest(str(tmp_path)) == manifest
