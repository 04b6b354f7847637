"""Put resources where an instance finds them, and remember how they looked.

Blobs come from the node's cache. Where the file system can, an instance's files share their blocks with it; else a
large set of files is shown by an overlay, and a small one is copied (decision 0044).
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from hearth.agent.cache import FILE_MODE, KEPT_SECONDS, Cache, Unfit, Wanted
from hearth.agent.disk import DiskRules, can_clone, clone, require_free
from hearth.agent.link import Gone, Link
from hearth.agent.manifest import SHOWN, Manifest, Placed
from hearth.agent.mounts import Mounts
from hearth.wire import agent as wire

# From here on an overlay costs less than copies: it takes about a millisecond to make one and take it away.
OVERLAY_BYTES = 4 << 20
OVERLAY_FILES = 64


class Method(StrEnum):
    """How files come to be in the folder of a run."""

    CLONE = "clone"
    OVERLAY = "overlay"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class File:
    """A resource and the path, below the folder of the run, that it is to have."""

    path: PurePosixPath
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Wish:
    """What the buckets of a task make."""

    files: list[File]
    folders: list[PurePosixPath]
    notes: list[str]  # on keys that cannot be files

    @property
    def size_bytes(self) -> int:
        """How large all files are together."""
        return sum(file.wanted.size for file in self.files)

    def name(self) -> str:
        """Return a name for a folder that holds just this."""
        parts = [f"{file.path}\0{file.wanted.blob}" for file in self.files] + [f"{path}\0" for path in self.folders]
        return hashlib.sha256("\0\0".join(sorted(parts)).encode()).hexdigest()[:32]


def relative_path(key: str) -> PurePosixPath | None:
    """Return the path that an object key stands for below the working folder, or None when it would leave it."""
    parts = [part for part in key.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or any("\0" in part for part in parts):
        return None
    return PurePosixPath(*parts)


def wish(listing: Sequence[wire.ResourceFile], kept_seconds: Sequence[int] = ()) -> Wish:
    """Return what a listing asks for; `kept_seconds`: of each of the task's resources.

    Of several keys that make the same path the one of the last resource wins.
    """
    files: dict[PurePosixPath, File] = {}
    folders: dict[PurePosixPath, None] = {}
    notes: list[str] = []
    for file in sorted(listing, key=lambda file: file.resource):
        path = relative_path(file.path)
        if path is None:
            notes.append(f"the object '{file.path}' was left out: its key is no path below the working folder")
        elif file.path.endswith("/"):
            folders[path] = None
        else:
            kept = kept_seconds[file.resource] if file.resource < len(kept_seconds) else 0
            files[path] = File(path, Wanted(file.path, file.blob, file.size, file.etag, kept or KEPT_SECONDS))
    return Wish(list(files.values()), list(folders), notes)


class Resources:
    """How one node fills the folders of its runs."""

    def __init__(self, root: Path, link: Link, rules: DiskRules | None = None) -> None:
        self.rules = rules or DiskRules()
        self.mounts = Mounts()
        self.cache = Cache(root, link, self.rules)
        self._root = root
        self._link = link
        self._clones = can_clone(root)
        self._why_no_overlay = None if self._clones else self._try_overlays()

    def _try_overlays(self) -> str | None:
        return self.mounts.why_not(self._root) if self.rules.overlays else "runs do not see what the agent mounts"

    @property
    def method(self) -> Method:
        """How large resources come into the folders of runs here."""
        if self._clones:
            return Method.CLONE
        return Method.COPY if self._why_no_overlay else Method.OVERLAY

    @property
    def details(self) -> str:
        """Say so for people."""
        if self.method is Method.CLONE:
            return "resources share their blocks with the cache"
        if self.method is Method.OVERLAY:
            return "large resources are shown by overlays, small ones are copied"
        return f"each run gets copies of its resources ({self._why_no_overlay})"

    async def place(self, task: int, run: Path, user: object, kept_seconds: Sequence[int] = ()) -> Manifest:
        """Fill the working folder `job` of a run's folder; return how it looks now.

        Raises Unreachable, Gone (a bucket is not there any more), Unfit, and OSError for a fault of this node.
        """
        for last_try in (False, True):
            wanted = wish(await self._link.resources(task), kept_seconds)
            try:
                return await self._fill(task, run, user, wanted)
            except Gone:
                if last_try:  # it was overwritten while we read the list: a new list has the new one
                    raise
        raise AssertionError

    async def _fill(self, task: int, run: Path, user: object, wanted: Wish) -> Manifest:
        job = run / "job"
        async with self.cache.holding(task, [file.wanted for file in wanted.files]) as sources:
            placed: dict[str, Placed] = {}
            if self.method is Method.OVERLAY and _is_large(wanted):
                return await self._show(run, user, wanted, sources)
            if not self._clones:
                require_free(run, wanted.size_bytes, self.rules)
            await asyncio.to_thread(self._copy_all, job, wanted, sources, placed)
        return Manifest(placed, wanted.notes)

    async def _show(self, run: Path, user: object, wanted: Wish, sources: Sequence[Path]) -> Manifest:
        name = wanted.name()
        links = [(file.path, source) for file, source in zip(wanted.files, sources, strict=True)]
        try:
            tree = await self.cache.tree(name, user, links, wanted.folders)
        except OSError as error:
            self.cache.release_tree(name, user)
            raise _unfit(error) from error
        try:
            await asyncio.to_thread(self._mount, tree, run)
        except BaseException:
            self.cache.release_tree(name, user)
            raise
        placed = {str(file.path): Placed(file.wanted.size, SHOWN, file.wanted.etag) for file in wanted.files}
        return Manifest(placed, wanted.notes, tree=name)

    def _mount(self, tree: Path, run: Path) -> None:
        self.mounts.remove(run / "job")  # of a try that failed later
        mode = (run / "job").stat().st_mode & 0o7777
        for folder in ("upper", "work"):
            shutil.rmtree(run / folder, ignore_errors=True)
            (run / folder).mkdir(mode=0o700)
        (run / "upper").chmod(mode)
        self.mounts.overlay(tree, run / "upper", run / "work", run / "job")

    def _copy_all(self, job: Path, wanted: Wish, sources: Sequence[Path], placed: dict[str, Placed]) -> None:
        for file, source in zip(wanted.files, sources, strict=True):
            target = job / file.path
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                self.copy(source, target)
            except OSError as error:
                raise _unfit(error, file.wanted.path) from None
            target.chmod(FILE_MODE)
            info = target.stat()
            placed[str(file.path)] = Placed(info.st_size, info.st_ctime_ns, file.wanted.etag)
        for path in wanted.folders:
            try:
                (job / path).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise _unfit(error, str(path)) from None

    def copy(self, source: Path, target: Path) -> None:
        """Give a file its own content, without taking its room where that is possible."""
        if not (self._clones and clone(source, target)):
            shutil.copyfile(source, target)

    @asynccontextmanager
    async def held(self, task: int, files: Sequence[File]) -> AsyncIterator[list[Path]]:
        """Fetch some files of a task, which stay in the cache until the end."""
        async with self.cache.holding(task, [file.wanted for file in files]) as sources:
            yield sources

    def recover(self, kept: Sequence[tuple[str, object, Manifest]]) -> int:
        """Keep the overlays and trees of these runs (folder, user, manifest), and remove all others."""
        for _, user, manifest in kept:
            if manifest.tree:
                self.cache.claim_tree(manifest.tree, user)
        return self.mounts.clean(self._root, [f"{folder}/job" for folder, _, _ in kept])

    def unmount(self, run: str) -> None:
        """Take away what is shown in the folder of a run that is over (slow: not on the event loop)."""
        if os.path.lexists(f"{run}/upper"):
            self.mounts.remove(f"{run}/job")


def _is_large(wanted: Wish) -> bool:
    return wanted.size_bytes >= OVERLAY_BYTES or len(wanted.files) >= OVERLAY_FILES


def _unfit(error: OSError, path: str = "") -> OSError | Unfit:
    """Return what an error of making files says of the names of resources; else the error."""
    what = f"'{path}'" if path else f"'{os.path.basename(error.filename2 or error.filename or '')}'"
    if error.errno in (errno.EEXIST, errno.EISDIR, errno.ENOTDIR):
        return Unfit(f"{what} is both a file and the folder of another resource")
    if error.errno == errno.ENAMETOOLONG:
        return Unfit(f"{what} has a name that is too long for a file")
    return error
