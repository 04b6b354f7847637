"""Put resources that the user has pushed into the folders of running instances.

A file appears whole or not at all: it is written under another name and then renamed. New and changed objects are
pushed, deletions are not. A push wins over what an instance has made of the file (decision 0045).
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import structlog

from hearth.agent import beneath
from hearth.agent.attempt import Effect, Key, Push
from hearth.agent.cache import FILE_MODE, Unfit
from hearth.agent.disk import is_fault
from hearth.agent.folders import key_text
from hearth.agent.link import Gone, Unreachable
from hearth.agent.manifest import Manifest, Placed, read_manifest, write_manifest
from hearth.agent.resources import File, Wish, wish
from hearth.agent.results import PUSHING
from hearth.agent.shared import Shared

_log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 30.0


class Pushes:
    """Answers `Push` with `pushed` for each attempt of the task."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._logic = shared.logic
        self._at_work: set[int] = set()  # tasks
        self._numbers = count()

    def push(self, order: Push) -> list[Effect]:
        """Begin, unless it is being done already."""
        if order.task not in self._at_work:
            self._at_work.add(order.task)
            self._shared.spawn(self._push(order.task))
        return []

    async def _push(self, task: int) -> None:
        pause = FIRST_PAUSE_SECONDS
        try:
            while keys := self._logic.needing(task):
                version = self._logic.versions.of(task)
                try:
                    await self._push_version(task, version, keys)
                except (Unreachable, OSError) as error:
                    _log.warning("pushed resources did not arrive; trying again", task=task, error=str(error))
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        finally:
            self._at_work.discard(task)

    async def _push_version(self, task: int, version: int, keys: Sequence[Key]) -> None:
        work = self._logic.works.get(task)
        problem = ""
        wanted = Wish([], [], [])
        try:
            listing = await self._shared.link.resources(task)
            wanted = wish(listing, [resource.cache_ttl_seconds for resource in work.resources] if work else [])
        except Gone as error:
            problem = f"pushed resources were left out: {error}"
        for key in keys:
            if key not in self._logic.attempts or not self._shared.folders.has(key):
                continue
            with self._shared.using(key):
                try:
                    await self._push_into(key, wanted, version)
                except (Unfit, Gone) as error:
                    problem = f"pushed resources were left out: {error}"
            self._shared.note(key, [problem] if problem else [])
            self._logic.pushed(key, version)

    async def _push_into(self, key: Key, wanted: Wish, version: int) -> None:
        folder = self._shared.folders.path(key)
        job = self._shared.folders.job(key)
        manifest = await asyncio.to_thread(read_manifest, folder) or Manifest()
        news = [file for file in wanted.files if _is_new(file, manifest)]
        async with self._shared.resources.held(key[0], news) as sources:
            manifest.pushing = {str(file.path): Placed(file.wanted.size, 0, file.wanted.etag) for file in news}
            await asyncio.to_thread(write_manifest, folder, manifest)
            placed, notes = await asyncio.to_thread(self._put_all, job, news, sources, wanted.folders)
        manifest.placed.update(placed)
        manifest.pushing = {}
        manifest.version = version
        manifest.notes += [note for note in (*wanted.notes, *notes) if note not in manifest.notes]
        await asyncio.to_thread(write_manifest, folder, manifest)
        _log.info("resources were pushed", run=key_text(key), files=len(placed), version=version)

    def _put_all(
        self, job: Path, news: Sequence[File], sources: Sequence[Path], folders: Sequence[os.PathLike[str]]
    ) -> tuple[dict[str, Placed], list[str]]:
        placed: dict[str, Placed] = {}
        notes: list[str] = []
        with beneath.folder(job) as root:
            status = os.fstat(root)
            owner = (status.st_uid, status.st_gid)
            for name in os.listdir(root):
                if name.startswith(PUSHING):  # of an agent that died
                    with suppress(OSError):
                        os.unlink(name, dir_fd=root)
            for file, source in zip(news, sources, strict=True):
                try:
                    placed[str(file.path)] = self._put(root, file, source, owner)
                except OSError as error:
                    if is_fault(error):
                        raise
                    notes.append(f"the pushed resource '{file.path}' was left out: {error.strerror}")
            for path in folders:
                with suppress(OSError), beneath.made_folder(root, Path(path).parts, owner):
                    pass
        return placed, notes

    def _put(self, root: int, file: File, source: Path, owner: tuple[int, int]) -> Placed:
        part = f"{PUSHING}{next(self._numbers)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(part, flags, FILE_MODE, dir_fd=root), "wb") as out:
            try:
                with source.open("rb") as blob:
                    shutil.copyfileobj(blob, out, 1 << 20)
                out.flush()
                os.fchmod(out.fileno(), FILE_MODE)
                beneath.give(out.fileno(), owner)
                with beneath.made_folder(root, file.path.parts[:-1], owner) as folder:
                    os.rename(part, file.path.name, src_dir_fd=root, dst_dir_fd=folder)
                status = os.fstat(out.fileno())
            except BaseException:
                with suppress(OSError):
                    os.unlink(part, dir_fd=root)
                raise
        return Placed(status.st_size, status.st_ctime_ns, file.wanted.etag)


def _is_new(file: File, manifest: Manifest) -> bool:
    before = manifest.placed.get(str(file.path))
    return before is None or (before.size, before.etag) != (file.wanted.size, file.wanted.etag)
