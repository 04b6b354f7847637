"""Which snapshots this node takes, one part per instance, and what the server was told of them.

    WAITING ──place free──► TAKING ──over──► OVER ──receipt──► KNOWN

A part is told again by the server until it is over there; it is taken once here. A part whose run ends before
its turn is over with an error.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from hearth.agent.attempt import Attempt, Key, Phase, TakeSnapshot
from hearth.agent.outbox import REPORT_BYTES, weight
from hearth.wire import agent as wire

AT_ONCE = 2
PROGRESS_SECONDS = 0.5
ENDED_BEFORE = "the instance ended before its snapshot was taken"
NOT_HERE = "the instance no longer runs on this node"

_Id = tuple[int, Key]


class _State(IntEnum):
    WAITING = 0
    TAKING = 1
    OVER = 2
    KNOWN = 3


@dataclass(slots=True)
class _Part:
    effect: TakeSnapshot
    state: _State = _State.WAITING
    size_bytes: int = 0
    transferred_bytes: int = 0
    is_void: bool = False  # of a database that is no more: nothing is told of it
    told_at: float = 0.0
    told: wire.SnapshotPart | None = None  # what ends it


class SnapshotParts:
    """The parts that one node has to do with."""

    def __init__(self) -> None:
        self._parts: dict[_Id, _Part] = {}
        self._waiting: deque[_Id] = deque()
        self._taking = 0
        self._talking: dict[_Id, None] = {}  # with something to tell

    # What is heard -----------------------------------------------------------------------------------

    def wanted(self, order: TakeSnapshot, attempt: Attempt | None) -> list[TakeSnapshot]:
        """Take an order of the server, whether it is new or not."""
        part_id = (order.snapshot, order.key)
        if part_id in self._parts:
            return []
        if attempt is not None and not attempt.confirmed:
            return []  # it is said again
        part = self._parts[part_id] = _Part(order)
        if attempt is None or attempt.dropped:
            self._end(part, error=NOT_HERE)
        elif attempt.phase < Phase.RUNNING or attempt.started_at is None:
            self._end(part)  # it has made nothing yet
        elif attempt.exit is not None or attempt.phase is not Phase.RUNNING:
            self._end(part, error=ENDED_BEFORE)
        else:
            self._waiting.append(part_id)
        return self._next()

    def progress(self, snapshot: int, key: Key, size_bytes: int, transferred_bytes: int) -> None:
        """Note how far a part is."""
        part = self._parts.get((snapshot, key))
        if part is not None and part.state is _State.TAKING:
            part.size_bytes, part.transferred_bytes = size_bytes, transferred_bytes
            if not part.is_void:
                self._talking[(snapshot, key)] = None

    def over(self, snapshot: int, key: Key, files: list[wire.ResultFile], error: str) -> list[TakeSnapshot]:
        """Take in the outcome of a part; return which may begin now."""
        part = self._parts.get((snapshot, key))
        if part is None or part.state is not _State.TAKING:
            return []
        self._taking -= 1
        if part.is_void:
            del self._parts[(snapshot, key)]
        else:
            self._end(part, files, error)
        return self._next()

    def run_ended(self, key: Key) -> None:
        """The run is over: what of it was not begun will not be."""
        if not self._waiting:
            return
        for part_id in [part_id for part_id in self._waiting if part_id[1] == key]:
            self._end(self._parts[part_id], error=ENDED_BEFORE)
        self._waiting = deque(part_id for part_id in self._waiting if part_id[1] != key)

    def forget(self, key: Key) -> None:
        """The attempt is no longer held: what the server knows of its parts need not be remembered."""
        for part_id in [i for i, part in self._parts.items() if i[1] == key and part.state is _State.KNOWN]:
            del self._parts[part_id]

    def forget_all(self) -> None:
        """The server's database is another one: nothing that it ordered counts."""
        self._parts = {i: part for i, part in self._parts.items() if part.state is _State.TAKING}
        for part in self._parts.values():
            part.is_void = True
        self._waiting.clear()
        self._talking.clear()

    def _next(self) -> list[TakeSnapshot]:
        effects: list[TakeSnapshot] = []
        while self._waiting and self._taking < AT_ONCE:
            part = self._parts[self._waiting.popleft()]
            part.state = _State.TAKING
            self._taking += 1
            effects.append(part.effect)
        return effects

    def _end(self, part: _Part, files: Iterable[wire.ResultFile] = (), error: str = "") -> None:
        files = list(files)
        size = sum(file.size for file in files) if not error else part.size_bytes
        part.state = _State.OVER
        part.told = wire.SnapshotPart(
            part.effect.snapshot,
            *part.effect.key,
            size_bytes=size,
            transferred_bytes=size if not error else part.transferred_bytes,
            over=True,
            error=error,
            files=files,
        )
        self._talking[(part.effect.snapshot, part.effect.key)] = None

    # What is told ------------------------------------------------------------------------------------

    def due(self) -> float | None:
        """Return when (monotonic) the next report about parts should leave; None: there is nothing to tell."""
        times = [
            0.0 if (part := self._parts[part_id]).state is _State.OVER else part.told_at + PROGRESS_SECONDS
            for part_id in self._talking
        ]
        return min(times, default=None)

    def take(self, mono: float, size_bytes: int) -> list[wire.SnapshotPart]:
        """Take what goes into a report that has `size_bytes` already."""
        told: list[wire.SnapshotPart] = []
        for part_id in list(self._talking):
            part = self._parts[part_id]
            if part.state is _State.OVER:
                assert part.told is not None
                if size_bytes >= REPORT_BYTES:
                    continue
                size_bytes += weight(part.told.files)
                told.append(part.told)
            elif part.told_at + PROGRESS_SECONDS <= mono:
                sizes = (part.size_bytes, part.transferred_bytes)
                told.append(wire.SnapshotPart(part_id[0], *part_id[1], *sizes))
            else:
                continue
            part.told_at = mono
            del self._talking[part_id]
        return told

    def take_back(self, parts: list[wire.SnapshotPart]) -> None:
        """Tell the ends of a report again that may not have arrived; progress is told by what follows it."""
        for told in parts:
            part_id = (told.snapshot, (told.task, told.number, told.attempt))
            part = self._parts.get(part_id)
            if part is not None and part.state is _State.OVER:
                self._talking[part_id] = None

    def acknowledged(self, parts: list[wire.SnapshotPart], held: Iterable[Key]) -> None:
        """The server has these."""
        held = set(held)
        for told in parts:
            if not told.over:
                continue  # its end came while its progress was on the way: the server does not have that yet
            part_id = (told.snapshot, (told.task, told.number, told.attempt))
            part = self._parts.get(part_id)
            if part is None or part.state is not _State.OVER:
                continue
            if part_id[1] in held:
                part.state = _State.KNOWN
                part.told = None
            else:
                del self._parts[part_id]
