"""What becomes of the parts of snapshots: how far they are, what they publish, and that they end with their attempt."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from hearth.domain.ranges import RangeSet
from hearth.domain.snapshot import Filter, SnapshotState, Tally
from hearth.store.queries import history, snapshots
from hearth.store.queries.snapshots import Part, SnapshotRow
from hearth.wire import agent as wire

# Of how many parts of one snapshot it is kept why they failed.
FAILURES_KEPT = 10
ENDED_FIRST = "the instance ended, or its node was lost, before its files were copied"

Told = tuple[int, wire.Snapshot]  # which node, what
_Key = tuple[int, int]  # snapshot, number


@dataclass(slots=True)
class Completed:
    """What a batch brought to an end for one task."""

    snapshots: int = 0
    with_files: int = 0


class Parts:
    """The open parts that one transaction speaks about, whose tasks it has locked."""

    def __init__(self, connection: Connection, now: int, parts: Iterable[Part]) -> None:
        self._connection = connection
        self._now = now
        self._parts = {(part.snapshot_id, part.number): part for part in parts}
        self._rows: dict[int, SnapshotRow] = snapshots.many(connection, {part for part, _ in self._parts})
        self._tallies: dict[int, Tally] = {number: row.tally() for number, row in self._rows.items()}
        self._sizes: dict[_Key, tuple[int, int]] = {}
        self._closed: list[_Key] = []
        self._failed: list[tuple[str, int, int]] = []

    def find(self, snapshot_id: int, number: int, attempt: int) -> Part | None:
        """Return the part of this attempt; None when it is over already, or another attempt's."""
        part = self._parts.get((snapshot_id, number))
        return part if part is not None and part.attempt == attempt else None

    def chosen(self, part: Part) -> Filter:
        """Return which files its snapshot takes and where they appear."""
        return self._rows[part.snapshot_id].chosen()

    def tell(self, part: Part, size_bytes: int, transferred_bytes: int) -> None:
        """Note how far the part is."""
        key = (part.snapshot_id, part.number)
        had = self._sizes.get(key, (part.size_bytes, part.transferred_bytes))
        self._sizes[key] = (size_bytes, transferred_bytes)
        self._tallies[part.snapshot_id] = self._tallies[part.snapshot_id].told(
            more_size=size_bytes - had[0], more_transferred=transferred_bytes - had[1]
        )

    def close(self, part: Part, *, error: str = "", files: int = 0) -> None:
        """Note that the part is over."""
        key = (part.snapshot_id, part.number)
        del self._parts[key]
        self._sizes.pop(key, None)
        tally = self._tallies[part.snapshot_id]
        if error and tally.failed_parts < FAILURES_KEPT:
            self._failed.append((error, *key))
        else:
            self._closed.append(key)
        self._tallies[part.snapshot_id] = tally.closed(failed=bool(error), files=files)

    def close_all(self, error: str) -> None:
        """Note that all of them are over."""
        for part in list(self._parts.values()):
            self.close(part, error=error)

    def save(self) -> dict[int, Completed]:
        """Write everything that changed; return what is complete now, by task."""
        snapshots.save_progress(self._connection, [(*sizes, *key) for key, sizes in self._sizes.items()])
        snapshots.close(self._connection, self._closed)
        snapshots.close_failed(self._connection, self._failed)
        completed: dict[int, Completed] = {}
        changed = []
        lines = []
        for number, tally in self._tallies.items():
            row = self._rows[number]
            if tally == row.tally():
                continue
            changed.append((number, tally, self._now))
            if tally.state.is_over:
                done = completed.setdefault(row.task_id, Completed())
                done.snapshots += 1
                done.with_files += bool(tally.files)
                if not row.is_periodic or tally.state is SnapshotState.FAILURE:
                    lines.append(line_of(row, tally.state, self._now))
        snapshots.save(self._connection, changed)
        history.add(self._connection, lines)
        return completed


def line_of(row: SnapshotRow, state: SnapshotState, at: int) -> dict[str, object]:
    """Return the line of history that says how a snapshot stands."""
    told = state.name.title().replace("_", "")
    return history.fact(row.account_id, row.task_id, at, "snapshot", id=row.name, status=told)


def end_with_attempts(
    connection: Connection, over: Iterable[tuple[int, int, int, int]], now: int
) -> dict[int, Completed]:
    """End the parts of attempts that are over (node, task, number, attempt); return what is complete now, by task."""
    parts = Parts(connection, now, snapshots.open_of_attempts(connection, over))
    parts.close_all(ENDED_FIRST)
    return parts.save()


def orders_to_take(connection: Connection, rows: Iterable[SnapshotRow]) -> list[Told]:
    """Return what nodes must be told of these snapshots: of what was just triggered, but not while writers wait."""
    return [
        told for row in rows if row.open_parts for told in _orders({row.id: row}, snapshots.open_of(connection, row.id))
    ]


def _orders(rows: Mapping[int, SnapshotRow], parts: Iterable[Part]) -> list[Told]:
    """Return what nodes must be told of these parts."""
    groups: dict[tuple[int, int, int], list[int]] = {}
    for part in parts:
        groups.setdefault((part.snapshot_id, part.node_id, part.attempt), []).append(part.number)
    orders: list[Told] = []
    for (snapshot_id, node_id, attempt), numbers in groups.items():
        row = rows[snapshot_id]
        chosen = row.chosen()
        told = wire.Snapshot(
            row.id, row.task_id, attempt, str(RangeSet.of(numbers)), chosen.whitelist, chosen.blacklist
        )
        orders.append((node_id, told))
    return orders


def orders_of(connection: Connection, node_id: int, held: Container[tuple[int, int, int]]) -> list[wire.Snapshot]:
    """Return what a node still has to copy of the attempts (task, number, attempt) that it holds."""
    open_parts = snapshots.open_on(connection, node_id)
    parts = [part for part in open_parts if (part.task_id, part.number, part.attempt) in held]
    rows = snapshots.many(connection, {part.snapshot_id for part in parts})
    return [told for _, told in _orders(rows, parts)]
