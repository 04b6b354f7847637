"""Waiting for an engine that does not answer."""

from __future__ import annotations

import asyncio

import structlog

from hearth.agent.runtime.docker_engine import Engine, EngineGone, EngineRefused

LONGEST_PAUSE_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.05

log = structlog.get_logger(__name__)


class Recovery:
    """One prober for all who wait for the engine, so that a dead one is not stormed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._probe: asyncio.Task[None] | None = None

    async def pause(self, failures: int, cause: Exception) -> None:
        """Wait, the longer the more `failures` in a row there were, and then until the engine answers."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._until_it_answers(cause))
        await asyncio.gather(asyncio.sleep(pause_seconds(failures)), asyncio.shield(self._probe))

    async def close(self) -> None:
        """Stop probing."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)

    async def _until_it_answers(self, cause: Exception) -> None:
        failures = 0
        while True:
            try:
                await self._engine.ping()
            except (EngineGone, EngineRefused) as error:
                failures += 1
                if failures == 1:
                    log.warning("engine.lost", engine=self._engine.docker_host, cause=str(cause or error))
                await asyncio.sleep(pause_seconds(failures))
            else:
                if failures:
                    log.info("engine.back", engine=self._engine.docker_host, tries=failures)
                return


def pause_seconds(failures: int) -> float:
    """Return how long to wait after so many failures in a row."""
    return min(LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 20))
