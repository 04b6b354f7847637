"""An event loop in which time passes only when everybody waits."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

EPOCH = 1_700_000_000_000_000  # microseconds: when a simulation begins


class Deadlock(Exception):
    """Everybody waits, and nothing will ever happen."""


class _NoSockets(selectors.SelectSelector):
    """A selector that lets the clock jump instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock
        if timeout > 0:
            self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock is virtual: a simulated hour takes as long as what happens in it."""

    def __init__(self) -> None:
        self._sockets = _NoSockets()
        super().__init__(self._sockets)

    def time(self) -> float:
        """Return virtual monotonic seconds."""
        return self._sockets.now

    def wall(self) -> int:
        """Return virtual microseconds UTC."""
        return EPOCH + int(self._sockets.now * 1_000_000)
