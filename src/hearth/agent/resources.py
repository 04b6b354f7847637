"""Put resources where an instance finds them, and remember how they looked.

A blob is fetched once per node into a cache that no instance can reach; each instance gets a copy.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from hearth.agent.link import Gone, Link
from hearth.wire import agent as wire

FILE_MODE = 0o755  # S3 knows no modes, and scripts in buckets are run as they are (contract: 1.1)
CACHE_BYTES = 20 << 30


@dataclass(frozen=True, slots=True)
class Placed:
    """A resource as it was when it was put there: what differs from this at the end was edited."""

    size: int
    changed_ns: int  # ctime: no instance can set it back
    etag: str


class Unfit(Exception):
    """The resources cannot become files; the sentence says why."""


def relative_path(key: str) -> PurePosixPath | None:
    """Return the path that an object key stands for below the working folder, or None when it would leave it."""
    parts = [part for part in key.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or any("\0" in part for part in parts):
        return None
    return PurePosixPath(*parts)


class Resources:
    """The cache of one node."""

    def __init__(self, root: Path, link: Link, *, capacity: int = CACHE_BYTES) -> None:
        self._cache = root / "cache"
        self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._link = link
        self._capacity = capacity
        self._fetching: dict[int, asyncio.Task[Path]] = {}
        self._limit = asyncio.Semaphore(8)

    async def place(self, task: int, job: Path) -> tuple[dict[str, Placed], list[str]]:
        """Fill the working folder; return how each file looks now, and notes on keys that cannot be files.

        Raises Unreachable, Gone (a bucket is not there any more) and Unfit.
        """
        for last_try in (False, True):
            files = await self._link.resources(task)
            try:
                return await self._copy_all(task, job, files)
            except Gone:
                if last_try:  # it was overwritten while we read the list: a new list has the new one
                    raise
        raise AssertionError

    async def _copy_all(
        self, task: int, job: Path, files: list[wire.ResourceFile]
    ) -> tuple[dict[str, Placed], list[str]]:
        notes: list[str] = []
        placed: dict[str, Placed] = {}
        wanted: list[tuple[wire.ResourceFile, PurePosixPath]] = []
        for file in files:
            path = relative_path(file.path)
            if path is None:
                notes.append(f"the object '{file.path}' was left out: its key is no path below the working folder")
            elif file.path.endswith("/"):
                (job / path).mkdir(parents=True, exist_ok=True)
            else:
                wanted.append((file, path))
        sources = await asyncio.gather(*(self._fetch(task, file) for file, _ in wanted))

        def copy() -> None:
            for (file, path), source in zip(wanted, sources, strict=True):
                target = job / path
                try:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, target)
                except (FileExistsError, IsADirectoryError, NotADirectoryError):
                    raise Unfit(f"'{file.path}' is both a file and the folder of another resource") from None
                target.chmod(FILE_MODE)
                info = target.stat()
                placed[str(path)] = Placed(info.st_size, info.st_ctime_ns, file.etag)

        await asyncio.to_thread(copy)
        return placed, notes

    async def _fetch(self, task: int, file: wire.ResourceFile) -> Path:
        """Return the cached file of a blob, fetching it if need be, once for all who ask."""
        path = self._cache / str(file.blob)
        if path.exists():
            os.utime(path)
            return path
        fetching = self._fetching.get(file.blob)
        if fetching is None:
            fetching = self._fetching[file.blob] = asyncio.create_task(self._download(task, file, path))
            fetching.add_done_callback(lambda _: self._fetching.pop(file.blob, None))
        return await asyncio.shield(fetching)

    async def _download(self, task: int, file: wire.ResourceFile, path: Path) -> Path:
        async with self._limit:
            await asyncio.to_thread(self._make_room, file.size)
            part = path.with_suffix(".part")
            size = 0
            with part.open("wb") as out:
                async for block in self._link.blob(task, file.blob):
                    out.write(block)
                    size += len(block)
            if size != file.size:
                raise Unfit(f"'{file.path}' arrived with {size} bytes instead of {file.size}")
            part.rename(path)
            return path

    def _make_room(self, size: int) -> None:
        """Remove the files that were not used for longest until `size` more bytes fit."""
        entries = sorted((e.stat().st_mtime, e.stat().st_size, e.path) for e in os.scandir(self._cache))
        total = sum(entry[1] for entry in entries) + size
        for _, entry_size, path in entries:
            if total <= self._capacity:
                break
            if not path.endswith(".part"):
                Path(path).unlink(missing_ok=True)
                total -= entry_size


def write_manifest(folder: str, placed: Mapping[str, Placed], notes: list[str]) -> None:
    """Keep the story of the resources beside the run, for an agent that comes back."""
    Path(folder, "resources").write_bytes(msgspec.json.encode((placed, notes)))


def read_manifest(folder: str) -> tuple[dict[str, Placed], list[str]]:
    """Read what `write_manifest` kept; nothing when the run had no resources."""
    try:
        data = Path(folder, "resources").read_bytes()
    except FileNotFoundError:
        return {}, []
    return msgspec.json.decode(data, type=tuple[dict[str, Placed], list[str]])
