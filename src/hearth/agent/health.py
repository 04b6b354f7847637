"""Whether this node can do its part: now and then it looks at its disk, and at what its cache keeps for too long."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import structlog

from hearth.agent.disk import DiskRules, look
from hearth.agent.shared import Shared

_log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
SWEEP_SECONDS = 60.0


class Health:
    """The looks of one agent."""

    def __init__(self, shared: Shared, *, root: Path, disk: DiskRules) -> None:
        self._shared = shared
        self._room = shared.logic.room
        self._root = root
        self._disk = disk

    async def look_forever(self) -> None:
        """See to it that the disk can take what runs write, and that the cache keeps nothing for too long."""
        swept = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            mono = time.monotonic()
            # Writing waits for the journal whenever somebody syncs, so it is tried only if something was wrong.
            by_writing = self._room.should_look(mono)
            self._take_in(mono, await asyncio.to_thread(look, self._root, self._disk, by_writing=by_writing))
            if mono - swept >= SWEEP_SECONDS:
                swept = mono
                self._shared.resources.cache.sweep()

    def _take_in(self, mono: float, wrong: str | None) -> None:
        if wrong is not None and not self._room.is_faulty:
            _log.warning("this node takes no work for now", reason=wrong)
            self._room.fault(mono)
        elif self._room.should_look(mono):
            if wrong is not None:
                self._room.still_faulty(mono)
            else:
                _log.info("this node takes work again")
                self._room.mended()
        else:
            return
        self._shared.news()
