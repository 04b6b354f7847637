"""Blobs that this node has fetched, for runs that want them again. No instance can reach or change them.

A blob is a file named by its number, which stands for the same bytes for ever within one incarnation of the
server's database. Its modification time says when it was last used, its access time until when it is kept
(nothing here changes that by reading). Trees are folders of links to blobs, which overlays show.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import structlog

from hearth.agent.disk import DiskRules, disk_bytes, free_bytes, require_free
from hearth.agent.link import Link

_log = structlog.get_logger(__name__)

FILE_MODE = 0o755  # S3 knows no modes, and scripts in buckets are run as they are (contract: 1.1)
KEPT_SECONDS = 7_776_000  # where nothing is said (contract: cacheTTLSec)
FETCHES_AT_ONCE = 8
FETCH_TRIES = 3
# Times of use are written down if they differ by this much: an agent that returns need not know them better.
STAMP_SECONDS = 30.0
# Larger pieces are hashed and written beside the event loop.
_LARGE = 256 << 10
_MD5 = re.compile(r"[0-9a-f]{32}\Z")
_DEAD = itertools.count()


class Unfit(Exception):
    """The resources cannot become files; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A blob that is to be there."""

    path: str
    blob: int
    size: int
    etag: str
    kept_seconds: int = KEPT_SECONDS


@dataclass(slots=True)
class _Blob:
    size: int
    used_at: float
    kept_until: float
    stamped_at: float = 0.0


class Cache:
    """The cache of one node."""

    def __init__(self, root: Path, link: Link, rules: DiskRules, clock: Callable[[], float] = time.time) -> None:
        self._root = root / "cache"
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = self._root
        self._link = link
        self._rules = rules
        self._clock = clock
        self._blobs: dict[int, _Blob] = {}
        self._bytes = 0  # of blobs that are here, or have begun to arrive
        self._pins: Counter[int] = Counter()  # of those that somebody is about to use
        self._fetching: dict[int, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(FETCHES_AT_ONCE)
        self._users: dict[str, set[object]] = {}  # of trees
        self._building: dict[str, asyncio.Task[Path]] = {}

    @property
    def stored_bytes(self) -> int:
        """How much is here, with what has begun to arrive."""
        return self._bytes

    def use(self, incarnation: str) -> None:
        """Keep what belongs to this incarnation of the server's database: in another, numbers mean other blobs."""
        folder = self._root / incarnation
        if folder == self._folder:
            return
        self._folder = folder
        for other in list(os.scandir(self._root)):
            if other.name != incarnation:
                shutil.rmtree(other.path, ignore_errors=True) if other.is_dir() else os.unlink(other.path)
        folder.mkdir(mode=0o700, exist_ok=True)
        self._blobs.clear()
        self._bytes = 0
        for entry in list(os.scandir(folder)):
            if entry.name.isdigit():
                status = entry.stat(follow_symlinks=False)
                self._blobs[int(entry.name)] = _Blob(
                    status.st_size, status.st_mtime, status.st_atime, stamped_at=status.st_mtime
                )
                self._bytes += status.st_size
            elif not entry.is_dir():
                os.unlink(entry.path)  # begun, or dying, when an agent died
        self._drop_unused_trees()

    # Blobs -------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def holding(self, task: int, wanted: Sequence[Wanted]) -> AsyncIterator[list[Path]]:
        """Fetch what is not here; yield the files, which stay until the end. Raises Unreachable, Gone, Unfit."""
        blobs = [want.blob for want in wanted]
        self._pins.update(blobs)
        try:
            folder = self._folder
            self._require_disk(wanted)
            jobs = [asyncio.ensure_future(self._present(task, want)) for want in wanted if not self._has(want)]
            try:
                await asyncio.gather(*jobs)
            finally:
                for job in jobs:
                    job.cancel()
                await asyncio.gather(*jobs, return_exceptions=True)
            yield [folder / str(blob) for blob in blobs]
            self._used(wanted)
        finally:
            self._pins.subtract(blobs)
            self._pins += Counter()  # forgets those that nobody wants
            self._trim(0)

    def _require_disk(self, wanted: Sequence[Wanted]) -> None:
        missing = {want.blob: want.size for want in wanted if want.blob not in self._blobs}
        size = sum(missing.values())
        most = disk_bytes(self._root) - self._rules.free_bytes
        if size > most:
            raise Unfit(f"the resources have {size} bytes that are not on the node, whose disk holds {most}")
        self._trim(size)
        self._make_room(lambda: free_bytes(self._root) - size >= self._rules.free_bytes)
        require_free(self._root, size, self._rules)

    def _has(self, want: Wanted) -> bool:
        return want.blob in self._blobs and want.blob not in self._fetching and self._is_whole(want)

    def _is_whole(self, want: Wanted) -> bool:
        # After a power cut a file may be shorter than it was.
        with contextlib.suppress(OSError):
            if (self._folder / str(want.blob)).stat().st_size == want.size:
                return True
        return False

    async def _present(self, task: int, want: Wanted) -> None:
        fetching = self._fetching.get(want.blob)
        if fetching is None:
            fetching = self._fetching[want.blob] = asyncio.create_task(self._fetch(task, want))
            fetching.add_done_callback(lambda _: self._fetched(want.blob))
        await asyncio.shield(fetching)

    def _fetched(self, blob: int) -> None:
        self._fetching.pop(blob, None)
        self._trim(0)  # whoever wanted it may have gone meanwhile

    async def _fetch(self, task: int, want: Wanted) -> None:
        async with self._places:
            self._forget(want.blob)  # it is there, but not whole
            self._trim(want.size)
            now = self._clock()
            blob = self._blobs[want.blob] = _Blob(want.size, now, now + want.kept_seconds)
            self._bytes += want.size
            path = self._folder / str(want.blob)
            try:
                for tries in range(1, FETCH_TRIES + 1):
                    wrong = await self._download(task, want, path)
                    if not wrong:
                        break
                    _log.warning("a resource arrived damaged", path=want.path, blob=want.blob, what=wrong)
                    if tries == FETCH_TRIES:
                        raise Unfit(f"'{want.path}' {wrong}")
            except BaseException:
                if self._blobs.get(want.blob) is blob:
                    del self._blobs[want.blob]
                    self._bytes -= want.size
                raise

    async def _download(self, task: int, want: Wanted, path: Path) -> str:
        """Fetch a blob; return what is wrong with it."""
        part = path.with_suffix(".part")
        digest = hashlib.md5(usedforsecurity=False)
        size = 0
        try:
            with part.open("wb") as out:

                def write(block: bytes) -> None:
                    digest.update(block)
                    out.write(block)

                async for block in self._link.blob(task, want.blob):
                    size += len(block)
                    if size > want.size:
                        break
                    if len(block) >= _LARGE:
                        await asyncio.to_thread(write, block)
                    else:
                        write(block)
                os.fchmod(out.fileno(), FILE_MODE)
                if self._rules.owner is not None:
                    os.fchown(out.fileno(), *self._rules.owner)
            if size != want.size:
                return f"arrived with {size} bytes instead of {want.size}"
            if _MD5.match(want.etag) and digest.hexdigest() != want.etag:
                return f"arrived with the MD5 {digest.hexdigest()} instead of {want.etag}"
            part.rename(path)
            self._stamp(want.blob)
            return ""
        finally:
            part.unlink(missing_ok=True)

    def _used(self, wanted: Sequence[Wanted]) -> None:
        now = self._clock()
        for want in wanted:
            blob = self._blobs.get(want.blob)
            if blob is not None:
                blob.used_at = now
                blob.kept_until = max(blob.kept_until, now + want.kept_seconds)
                if now - blob.stamped_at >= STAMP_SECONDS:
                    self._stamp(want.blob)

    def _stamp(self, number: int) -> None:
        blob = self._blobs.get(number)
        if blob is None:
            return
        blob.stamped_at = blob.used_at
        with contextlib.suppress(OSError):
            os.utime(self._folder / str(number), (blob.kept_until, blob.used_at))

    # Making room -------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Remove what was not used for as long as it is kept."""
        now = self._clock()
        if any(blob.kept_until <= now for blob in self._blobs.values()):
            self._drop_unused_trees()
        for number in [number for number, blob in self._blobs.items() if blob.kept_until <= now]:
            if self._is_free(number):
                self._forget(number)

    def _trim(self, coming: int) -> None:
        """Remove what was not used for longest until `coming` more bytes fit, or the rest is in use."""
        self._make_room(lambda: self._bytes + coming <= self._rules.cache_bytes)

    def _make_room(self, is_enough: Callable[[], bool]) -> None:
        if is_enough():
            return
        self._drop_unused_trees()
        for _, number in sorted((blob.used_at, number) for number, blob in self._blobs.items()):
            if self._is_free(number):
                self._forget(number)
                if is_enough():
                    return

    def _is_free(self, number: int) -> bool:
        if self._pins[number] or number in self._fetching:
            return False
        try:
            # What a tree has too, an overlay may be showing.
            return (self._folder / str(number)).stat().st_nlink == 1
        except OSError:
            return True

    def _forget(self, number: int) -> None:
        blob = self._blobs.pop(number, None)
        if blob is None:
            return
        self._bytes -= blob.size
        with contextlib.suppress(OSError):
            path = self._folder / str(number)
            dead = path.with_suffix(f".dead{next(_DEAD)}")
            path.rename(dead)  # at once, so that its name is free
            dead.unlink()

    # Trees -------------------------------------------------------------------------------------------

    def claim_tree(self, name: str, user: object) -> None:
        """Keep a tree for a run that outlived an earlier agent."""
        self._users.setdefault(name, set()).add(user)

    async def tree(
        self, name: str, user: object, files: Sequence[tuple[PurePosixPath, Path]], folders: Sequence[PurePosixPath]
    ) -> Path:
        """Return a folder with links to blobs that are held now; it stays until `user` releases it."""
        self.claim_tree(name, user)
        place = self._folder / "trees" / name
        if not place.exists():
            building = self._building.get(name)
            if building is None:
                building = asyncio.create_task(asyncio.to_thread(self._build, place, files, folders))
                self._building[name] = building
                building.add_done_callback(lambda _: self._building.pop(name, None))
            await asyncio.shield(building)
        return place

    def release_trees(self, user: object) -> None:
        """A run is no more."""
        for name in [name for name, users in self._users.items() if user in users]:
            self.release_tree(name, user)

    def release_tree(self, name: str, user: object) -> None:
        """A run has no use for its tree any more."""
        users = self._users.get(name, set())
        users.discard(user)
        if not users:
            self._users.pop(name, None)
            self._trim(0)

    def _build(
        self, place: Path, files: Sequence[tuple[PurePosixPath, Path]], folders: Sequence[PurePosixPath]
    ) -> Path:
        part = place.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        made = {part}
        for path, blob in files:
            self._make_parents(part, part / path.parent, made)
            os.link(blob, part / path)
        for path in folders:
            self._make_parents(part, part / path, made)
        part.rename(place)
        return place

    def _make_parents(self, top: Path, folder: Path, made: set[Path]) -> None:
        missing = []
        while folder not in made:
            missing.append(folder)
            folder = folder.parent
        for each in reversed(missing):
            each.mkdir()
            made.add(each)
            if self._rules.owner is not None:
                os.chown(each, *self._rules.owner)

    def _drop_unused_trees(self) -> None:
        trees = self._folder / "trees"
        with contextlib.suppress(FileNotFoundError):
            for entry in list(os.scandir(trees)):
                if not self._users.get(entry.name) and entry.name.removesuffix(".part") not in self._building:
                    shutil.rmtree(entry.path, ignore_errors=True)
