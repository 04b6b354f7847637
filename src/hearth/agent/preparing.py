"""Make attempts ready to start: folder, image, resources."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import structlog

from hearth.agent.attempt import Effect, Filled, Key, Phase, RunEnd
from hearth.agent.cache import Unfit
from hearth.agent.command import refusal_of_image, run_spec
from hearth.agent.disk import Crowded, is_fault
from hearth.agent.folders import key_text
from hearth.agent.link import Gone, Unreachable
from hearth.agent.manifest import Manifest, write_manifest
from hearth.agent.runtime.base import Image, Refused, RunSpec
from hearth.agent.shared import Shared, broken, could_not, retry_seconds, wall
from hearth.domain.errors import Invalid
from hearth.wire import agent as wire

_log = structlog.get_logger(__name__)

# So often resources are tried again while the server answers otherwise, some two minutes: then another node may try.
PREPARE_TRIES = 60
# So long resources wait for room on the disk, try by try: then it may be another node that has it.
CROWDED_SECONDS = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 8.0)


class Preparing:
    """Answers `Prepare` with `prepared`, `failed` or `fault`."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._logic = shared.logic
        self._images: dict[Image, asyncio.Task[Refused | None]] = {}

    def prepare(self, key: Key) -> list[Effect]:
        """Make the attempt ready: at once when only a folder is needed, else in a job of its own."""
        shared = self._shared
        work = self._logic.works[key[0]]
        refusal = refusal_of_image(work, shared.runtime)
        if refusal is not None:
            return self._refuse(key, "IMAGES_NEED_DOCKER", refusal)
        try:
            shared.folders.make(key)
            spec = shared.specs[key] = run_spec(work, key, shared.folders, shared.runtime)
        except Invalid as error:
            return self._refuse(key, "BAD_COMMAND", error.message)
        except Exception as error:
            return self._could_not("make its folder", key, error)
        if work.resources or (spec.image is not None and not self._is_present(spec.image)):
            shared.in_folder(key, self._prepare_slowly(key, work, spec))
            return []
        return self._ready(key, spec, None)

    def _could_not(self, what: str, key: Key, error: Exception) -> list[Effect]:
        if is_fault(error):
            _log.warning("this node cannot take work now", run=key_text(key), what=what, error=str(error))
            return self._logic.fault(key, could_not(what, error), wall(), time.monotonic())
        _log.error("an attempt could not be prepared", run=key_text(key), exc_info=error)
        return self._logic.failed(key, broken(what, error), 0.0)

    def _is_queued(self, key: Key) -> bool:
        attempt = self._logic.attempts.get(key)
        return attempt is not None and attempt.phase is Phase.QUEUED

    def _ready(self, key: Key, spec: RunSpec, filled: Filled | None) -> list[Effect]:
        if not self._is_queued(key):
            return []  # it was taken away meanwhile
        limit = self._logic.works[key[0]].output_bytes
        self._shared.tails.add(key, str(spec.stdout), str(spec.stderr), limit)
        return self._logic.prepared(key, time.monotonic(), filled)

    def _refuse(self, key: Key, code: str, message: str, exit_code: int | None = None) -> list[Effect]:
        end = RunEnd(wall(), exit_code=exit_code, error_code=code, error_message=message)
        return self._logic.failed(key, end, time.monotonic())

    def _is_present(self, image: Image) -> bool:
        pulling = self._images.get(image)
        return pulling is not None and pulling.done() and not pulling.cancelled() and pulling.result() is None

    async def _prepare_slowly(self, key: Key, work: wire.Work, spec: RunSpec) -> None:
        began = time.monotonic()
        failures = tries = crowded = 0
        while self._is_queued(key):
            try:
                if spec.image is not None and (refused := await self._pull(spec.image)) is not None:
                    self._tell(self._refuse(key, refused.code, refused.message, refused.exit_code))
                    return
                # What is listed from now on is at least as new as any push that was heard of.
                version = max(self._logic.versions.of(key[0]), work.resources_version)
                manifest = Manifest()
                if work.resources:
                    manifest = await self._place(key, work)
                took = int((time.monotonic() - began) * 1_000_000)
                manifest.version, manifest.microseconds = version, took
                if self._shared.folders.has(key):
                    write_manifest(self._shared.folders.path(key), manifest)
                self._tell(self._ready(key, spec, Filled(took, bool(work.resources), version)))
                return
            except Gone as error:
                self._tell(self._refuse(key, "RESOURCE_MISSING", f"a resource is not there any more: {error}"))
                return
            except Unfit as error:
                self._tell(self._refuse(key, "RESOURCE_UNFIT", str(error)))
                return
            except Unreachable as error:
                # The server is away: the lease says how long to wait for it. If it answers, it may be our request.
                tries += not self._shared.is_server_away
                if tries >= PREPARE_TRIES:
                    self._tell(self._logic.failed(key, broken("get its resources", error), time.monotonic()))
                    return
                _log.warning("resources did not arrive; trying again", run=key_text(key), error=str(error))
                await asyncio.sleep(retry_seconds(failures))
                failures += 1
            except Crowded as error:
                # No pause for the node: what others want may fit. It counts, so that it does not go round for ever.
                if crowded == len(CROWDED_SECONDS):
                    self._tell(self._logic.failed(key, broken("get its resources", error), time.monotonic()))
                    return
                _log.warning("resources do not fit now; trying again", run=key_text(key), error=str(error))
                await asyncio.sleep(CROWDED_SECONDS[crowded])
                crowded += 1
            except Exception as error:
                self._tell(self._could_not("prepare it", key, error))
                return

    async def _place(self, key: Key, work: wire.Work) -> Manifest:
        kept = [resource.cache_ttl_seconds for resource in work.resources]
        return await self._shared.resources.place(key[0], Path(self._shared.folders.path(key)), key, kept)

    def _tell(self, effects: list[Effect]) -> None:
        self._shared.carry_out(effects)

    async def _pull(self, image: Image) -> Refused | None:
        pulling = self._images.get(image)
        if pulling is None:
            pulling = self._images[image] = asyncio.create_task(self._shared.runtime.prepare(image))
        try:
            refused = await asyncio.shield(pulling)
        except Exception:
            self._images.pop(image, None)
            raise
        if refused is not None:
            self._images.pop(image, None)  # it may be pushed later
        return refused
