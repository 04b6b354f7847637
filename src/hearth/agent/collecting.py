"""See to what a run left: the rest of its output, its results, its last words."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import structlog

from hearth.agent import results
from hearth.agent.attempt import Effect, Key, Phase, RunEnd
from hearth.agent.command import notes_on
from hearth.agent.folders import key_text
from hearth.agent.last_words import last_words
from hearth.agent.link import Gone, NotOurs, Unreachable
from hearth.agent.manifest import read_manifest
from hearth.agent.shared import Shared, broken, retry_seconds, wall
from hearth.agent.uploads import upload, upload_all
from hearth.domain.errors import Invalid
from hearth.wire import agent as wire

_log = structlog.get_logger(__name__)

# Output that waits for the server; beyond it the spool files wait instead.
PENDING_OUTPUT_BYTES = 8 << 20
UPLOADS_AT_ONCE = 8


class Collecting:
    """Answers `Collect` with `collected`."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._logic = shared.logic
        self._uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)

    def collect(self, key: Key, upload: bool) -> list[Effect]:
        """Hand over what the run left: at once when that is little output and nothing to upload."""
        work = self._logic.works[key[0]]
        mono = time.monotonic()
        is_little = not upload and self._logic.pending_output_bytes < PENDING_OUTPUT_BYTES
        with contextlib.suppress(OSError):
            if is_little and not self._shared.tails.poll(key, mono, at_most=1 << 20, flush=True):
                notes, words = self._notes(key, work), self._last_words(key, work)
                return self._logic.collected(key, [], notes, None, mono, words)
        self._shared.in_folder(key, self._collect_slowly(key, work, upload))
        return []

    def _notes(self, key: Key, work: wire.Work) -> list[str]:
        shared = self._shared
        return notes_on(work, shared.runtime) + shared.tails.notes(key) + shared.notes.pop(key, [])

    def _last_words(self, key: Key, work: wire.Work) -> str:
        attempt = self._logic.attempts.get(key)
        end = attempt.exit if attempt is not None else None
        if attempt is None or end is None or attempt.cancelled or not (end.exit_code or end.error_code):
            return ""
        return last_words(self._shared.folders.stderr(key), work.constants)

    async def _collect_slowly(self, key: Key, work: wire.Work, upload: bool) -> None:
        try:
            files, notes, failure = await self._collected(key, work, upload)
        except NotOurs:
            return  # the receipt of the next report says so too
        except Exception as error:
            _log.exception("a run could not be collected", run=key_text(key))
            files, notes, failure = [], [], broken("collect what it left", error)
        words = self._last_words(key, work)
        self._shared.carry_out(self._logic.collected(key, files, notes, failure, time.monotonic(), words))

    async def _collected(
        self, key: Key, work: wire.Work, upload: bool
    ) -> tuple[list[wire.ResultFile], list[str], RunEnd | None]:
        while self._shared.tails.poll(key, time.monotonic(), at_most=1 << 20, flush=True):
            self._shared.news()
            while self._logic.pending_output_bytes >= PENDING_OUTPUT_BYTES:
                await asyncio.sleep(0.01)
        files: list[wire.ResultFile] = []
        more: list[str] = []
        failure = None
        if upload:
            try:
                files, more = await self._upload(key, work)
            except (results.BadFilter, Invalid) as error:
                failure = RunEnd(wall(), None, "BAD_RESULTS_FILTER", str(error))
            except results.TooMany as error:
                failure = RunEnd(wall(), None, "TOO_MANY_RESULTS", str(error))
            except _Unwanted:
                pass
        return files, self._notes(key, work) + more, failure

    async def _upload(self, key: Key, work: wire.Work) -> tuple[list[wire.ResultFile], list[str]]:
        manifest = await asyncio.to_thread(read_manifest, self._shared.folders.path(key))
        patterns = self._shared.expanded(key, work, work.results_whitelist, work.results_blacklist)
        job = self._shared.folders.job(key)
        selection = await asyncio.to_thread(results.select, job, manifest, *patterns)

        async def one(path: str, file: Path) -> wire.ResultFile:
            return await self._upload_one(key, work, job, path, file)

        files = await upload_all(selection.files, UPLOADS_AT_ONCE, one)
        return files, (manifest.notes if manifest else []) + selection.notes

    async def _upload_one(self, key: Key, work: wire.Work, job: Path, path: str, file: Path) -> wire.ResultFile:
        failures = 0
        async with self._uploads:
            while True:
                attempt = self._logic.attempts.get(key)
                if attempt is None or attempt.phase is not Phase.COLLECTING:
                    raise NotOurs(key_text(key))
                if attempt.cancelled and not work.upload_on_cancel:
                    raise _Unwanted
                try:
                    return await upload(self._shared.link, key, job, path, file)
                except (Unreachable, Gone) as error:
                    _log.warning("a result did not get through; trying again", run=key_text(key), error=str(error))
                    await asyncio.sleep(retry_seconds(failures))
                    failures += 1


class _Unwanted(Exception):
    """The user does not want the results any more."""
