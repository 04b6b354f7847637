"""Put resources where an instance finds them, and remember how they looked.

A blob is fetched once per node into a cache that no instance can reach; each instance gets a copy.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
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
        self._caches = root / "cache"
        self._caches.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._cache = self._caches
        self._link = link
        self._capacity = capacity
        self._fetching: dict[int, asyncio.Task[Path]] = {}
        self._limit = asyncio.Semaphore(8)
        self._wanted: Counter[int] = Counter()  # blobs that somebody is about to copy

    def use(self, incarnation: str) -> None:
        """Keep what belongs to this incarnation of the server's database: in another, numbers mean other blobs."""
        cache = self._caches / incarnation
        if cache == self._cache:
            return
        self._cache = cache
        for other in os.scandir(self._caches):
            if other.is_dir(follow_symlinks=False) and other.name != incarnation:
                shutil.rmtree(other.path, ignore_errors=True)
        cache.mkdir(mode=0o700, exist_ok=True)
        for begun in cache.glob("*.part"):
            begun.unlink(missing_ok=True)

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
        folders: list[PurePosixPath] = []
        for file in files:
            path = relative_path(file.path)
            if path is None:
                notes.append(f"the object '{file.path}' was left out: its key is no path below the working folder")
            elif file.path.endswith("/"):
                folders.append(path)
            else:
                wanted.append((file, path))
        blobs = [file.blob for file, _ in wanted]
        self._wanted.update(blobs)
        try:
            # All are fetched before the first is copied, so what is wanted stays even if it is more than fits.
            sources = await asyncio.gather(*(self._fetch(task, file) for file, _ in wanted))
            await asyncio.to_thread(_copy, job, wanted, sources, placed)
            await asyncio.to_thread(_make_folders, job, folders)
        finally:
            self._wanted.subtract(blobs)
            self._wanted += Counter()  # forgets those that nobody wants
        return placed, notes

    async def _fetch(self, task: int, file: wire.ResourceFile) -> Path:
        """Return the cached file of a blob, fetching it if need be, once for all who ask."""
        path = self._cache / str(file.blob)
        with contextlib.suppress(FileNotFoundError):
            # After a power cut a file may be shorter than it was.
            if path.stat().st_size == file.size:
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
            try:
                with part.open("wb") as out:
                    async for block in self._link.blob(task, file.blob):
                        out.write(block)
                        size += len(block)
                if size != file.size:
                    raise Unfit(f"'{file.path}' arrived with {size} bytes instead of {file.size}")
                part.rename(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            return path

    def _make_room(self, size: int) -> None:
        """Remove the files that were not used for longest until `size` more bytes fit."""
        entries = sorted((e.stat().st_mtime, e.stat().st_size, e.path) for e in os.scandir(self._cache))
        total = sum(entry[1] for entry in entries) + size
        for _, entry_size, path in entries:
            if total <= self._capacity:
                break
            name = os.path.basename(path)
            if name.isdigit() and not self._wanted[int(name)]:
                Path(path).unlink(missing_ok=True)
                total -= entry_size


def _copy(
    job: Path,
    wanted: Sequence[tuple[wire.ResourceFile, PurePosixPath]],
    sources: Sequence[Path],
    placed: dict[str, Placed],
) -> None:
    for (file, path), source in zip(wanted, sources, strict=True):
        target = job / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            raise Unfit(f"'{file.path}' is both a file and the folder of another resource") from None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise Unfit(f"'{file.path}' has a name that is too long for a file") from None
            raise
        target.chmod(FILE_MODE)
        info = target.stat()
        placed[str(path)] = Placed(info.st_size, info.st_ctime_ns, file.etag)


def _make_folders(job: Path, folders: Sequence[PurePosixPath]) -> None:
    for path in folders:
        try:
            (job / path).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise Unfit(f"'{path}' is both a file and a folder") from None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise Unfit(f"'{path}' has a name that is too long for a folder") from None
            raise


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
