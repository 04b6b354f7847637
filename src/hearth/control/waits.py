"""Why tasks wait, now and over time: looked at about once a second, written down when it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from hearth.control.claim import SHAPES
from hearth.control.hardware import machine_in
from hearth.domain.demand import Shape
from hearth.domain.quota import Share
from hearth.scheduler.why import Kind, Reason, reason
from hearth.store.door import Store
from hearth.store.queries import node_kinds, queue, waits

SECOND = 1_000_000
KEPT = 30 * 86_400 * SECOND
SWEEP_EVERY = 600 * SECOND
# Rows that one transaction writes or looks at.
SLICE = 200
# A node that says nothing for so many heartbeats is silent.
HEARTBEATS_MISSED = 4


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of the site, as its database knows them."""

    kinds: Sequence[Kind]
    last_heard: int | None

    def reason(self, shape: Shape, share: Share, now: int, *, is_running: bool) -> Reason:
        """Return why instances of this shape wait."""
        return reason(shape, self.kinds, share, is_running=is_running, now=now, last_heard=self.last_heard)


def read_nodes(connection: Connection, now: int, heartbeat_seconds: float) -> Nodes:
    """Return the nodes of the site."""
    heard_since = now - int(HEARTBEATS_MISSED * heartbeat_seconds * SECOND)
    kinds = [
        Kind(machine_in(kind.offer), kind.heard, kind.silent, kind.seen_at)
        for kind in node_kinds.kinds(connection, now=now, heard_since=heard_since)
    ]
    return Nodes(kinds, None if kinds else node_kinds.last_heard(connection))


def survey(connection: Connection, now: int, heartbeat_seconds: float) -> dict[int, Reason]:
    """Return why each shape waits that tasks wait for."""
    found: dict[int, Reason] = {}
    after, nodes = 0, None
    while part := queue.live(connection, after=after, limit=SHAPES):
        nodes = nodes or read_nodes(connection, now, heartbeat_seconds)
        for one in part:
            found[one.shape_id] = nodes.reason(one.shape, one.share, now, is_running=one.head_runs)
        after = part[-1].shape_id
        if len(part) < SHAPES:
            break
    return found


class Waits:
    """What one server last wrote down of why tasks wait."""

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], int],
        heartbeat_seconds: float,
        show: Callable[[Mapping[str, int]], None] = lambda stuck: None,
    ) -> None:
        self._store = store
        self._now = now
        self._heartbeat_seconds = heartbeat_seconds
        self._show = show
        self._written: dict[int, str] | None = None
        self._shown: dict[str, int] = {}
        self._swept_at = 0

    async def look(self) -> None:
        """Write down what changed since the last look, and show what will not pass by itself."""
        now = self._now()
        if self._written is None:
            self._written = await self._store.read(waits.still_open)
        reasons = await self._store.read(survey, now, self._heartbeat_seconds)
        self._show_stuck(reasons.values())
        changed: dict[int, tuple[str, Mapping[str, float | str]] | None] = {
            shape_id: (found.code.value, found.numbers)
            for shape_id, found in reasons.items()
            if self._written.get(shape_id) != found.code
        }
        changed |= dict.fromkeys(self._written.keys() - reasons.keys())
        shapes = sorted(changed)
        for begin in range(0, len(shapes), SLICE):
            part = {shape_id: changed[shape_id] for shape_id in shapes[begin : begin + SLICE]}
            await self._store.write(waits.change, part, now)
            for shape_id, told in part.items():
                if told is None:
                    self._written.pop(shape_id, None)
                else:
                    self._written[shape_id] = told[0]
        if now - self._swept_at >= SWEEP_EVERY:
            self._swept_at = now
            while await self._store.write(waits.forget_before, now - KEPT, SLICE) == SLICE:
                pass

    def _show_stuck(self, reasons: Iterable[Reason]) -> None:
        stuck: dict[str, int] = {}
        for found in reasons:
            if sentence := found.needs_help:
                stuck[sentence] = stuck.get(sentence, 0) + 1
        if stuck != self._shown:
            self._shown = stuck
            self._show(stuck)
