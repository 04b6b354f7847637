"""Upload what running instances have made so far, without being in the way of their ends."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import structlog

from hearth.agent import results
from hearth.agent.attempt import Effect, TakeSnapshot
from hearth.agent.folders import key_text
from hearth.agent.link import Gone, NotOurs, Unreachable
from hearth.agent.manifest import read_manifest
from hearth.agent.shared import Shared, retry_seconds
from hearth.agent.snapshot_parts import ENDED_BEFORE
from hearth.agent.uploads import Changed, upload, upload_all
from hearth.domain.errors import Invalid
from hearth.wire import agent as wire

_log = structlog.get_logger(__name__)

# Of all snapshots of this node together: results go first.
UPLOADS_AT_ONCE = 4
UPLOAD_TRIES = 60


class Snapshots:
    """Answers `TakeSnapshot` with `snapshot_progress` and `snapshot_over`."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._logic = shared.logic
        self._uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)

    def take(self, order: TakeSnapshot) -> list[Effect]:
        """Begin."""
        if not self._shared.folders.has(order.key):
            return self._logic.snapshot_over(order.snapshot, order.key, [], ENDED_BEFORE)
        self._shared.in_folder(order.key, self._take(order))
        return []

    async def _take(self, order: TakeSnapshot) -> None:
        files: list[wire.ResultFile] = []
        error = ""
        try:
            files = await _Part(self._shared, order, self._uploads).upload()
        except (results.BadFilter, results.TooMany, Invalid) as refusal:
            error = str(refusal)
        except NotOurs:
            error = "the instance ended before its snapshot was whole"
        except Exception as failure:
            _log.warning("a snapshot could not be taken", run=key_text(order.key), error=str(failure))
            error = f"its files could not be uploaded: {failure or type(failure).__name__}"
        self._shared.carry_out(self._logic.snapshot_over(order.snapshot, order.key, files, error))


class _Part:
    """One instance's share of a snapshot."""

    def __init__(self, shared: Shared, order: TakeSnapshot, uploads: asyncio.Semaphore) -> None:
        self._shared = shared
        self._order = order
        self._uploads = uploads
        self._size = 0
        self._sent = 0
        self._left_out: list[str] = []

    async def upload(self) -> list[wire.ResultFile]:
        shared, order = self._shared, self._order
        work = shared.logic.works.get(order.key[0])
        if work is None:
            raise NotOurs(key_text(order.key))
        manifest = await asyncio.to_thread(read_manifest, shared.folders.path(order.key))
        patterns = shared.expanded(order.key, work, order.whitelist, order.blacklist)
        job = shared.folders.job(order.key)
        selection = await asyncio.to_thread(results.select, job, manifest, *patterns)
        self._size = await asyncio.to_thread(_size_of, selection.files)
        self._tell()

        async def one(path: str, file: Path) -> wire.ResultFile | None:
            async with self._uploads:
                return await self._upload_one(job, path, file)

        files = await upload_all(selection.files, UPLOADS_AT_ONCE, one)
        notes = [f"snapshot: {note}" for note in (*selection.notes, *self._left_out)]
        shared.note(order.key, notes)
        return files

    async def _upload_one(self, job: Path, path: str, file: Path) -> wire.ResultFile | None:
        changes = failures = 0
        while True:
            if self._order.key not in self._shared.logic.attempts:
                raise NotOurs(key_text(self._order.key))
            before = self._sent
            try:
                # What is always being written, as a log, is taken as far as it was.
                return await upload(
                    self._shared.link,
                    self._order.key,
                    job,
                    path,
                    file,
                    while_unchanged=changes == 0,
                    sent=self._count,
                )
            except Changed:
                changes += 1
                if changes == 3:
                    self._left_out.append(f"'{path}' was left out: it became shorter whenever it was read")
                    return None
            except OSError as error:
                self._left_out.append(f"'{path}' was left out: {error.strerror or error}")
                return None
            except (Unreachable, Gone):
                failures += 1
                if failures == UPLOAD_TRIES:
                    raise
                await asyncio.sleep(retry_seconds(failures))
            self._sent = before

    def _count(self, size: int) -> None:
        self._sent += size
        self._tell()

    def _tell(self) -> None:
        order = self._order
        self._shared.logic.snapshot_progress(order.snapshot, order.key, max(self._size, self._sent), self._sent)
        self._shared.news()


def _size_of(files: dict[str, Path]) -> int:
    size = 0
    for file in files.values():
        with contextlib.suppress(OSError):
            size += file.stat(follow_symlinks=False).st_size
    return size
