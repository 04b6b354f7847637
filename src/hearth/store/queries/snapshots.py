"""Rows of snapshots, and of the shares that instances have in them: those that are open, and some that failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    select,
    update,
)

from hearth.domain.instance import InstanceState
from hearth.domain.snapshot import Filter, SnapshotState, Tally, filter_of
from hearth.domain.spec import TaskSpec
from hearth.store.bulk import Bulk
from hearth.store.hints import unlikely
from hearth.store.pairs import boxes
from hearth.store.tables import instances, snapshot_parts, snapshots

_BATCH = 400
_filters = msgspec.json.Decoder(Filter)


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """One row of `snapshots`, a field per column."""

    id: int
    account_id: int
    task_id: int
    name: str
    is_periodic: int
    filter: str
    state: int
    triggered_at: int
    updated_at: int
    open_parts: int
    failed_parts: int
    files: int
    size_bytes: int
    transferred_bytes: int

    def chosen(self) -> Filter:
        """Return which files it takes and where they appear."""
        return filter_from_json(self.filter)

    def tally(self) -> Tally:
        """Return what its parts come to."""
        return Tally(
            self.open_parts,
            self.failed_parts,
            self.files,
            self.size_bytes,
            self.transferred_bytes,
            self.state != SnapshotState.TRIGGERED,
        )


@dataclass(frozen=True, slots=True)
class Part:
    """The share of an instance that runs in a snapshot that is not over."""

    snapshot_id: int
    number: int
    attempt: int
    task_id: int
    node_id: int
    size_bytes: int
    transferred_bytes: int


_COLUMNS = tuple(snapshots.c[field.name] for field in fields(SnapshotRow))
_PART = tuple(snapshot_parts.c[field.name] for field in fields(Part))


def filter_to_json(chosen: Filter) -> str:
    """Return the stored form of a filter."""
    return msgspec.json.encode(chosen).decode()


def filter_from_json(text: str) -> Filter:
    """Read the stored form of a filter."""
    return _filters.decode(text)


def own_filter(stored: str | None, spec: TaskSpec) -> Filter:
    """Return what a task says of its snapshots: its newest periodic call, else its submission."""
    return filter_of(spec) if stored is None else filter_from_json(stored)


def find(connection: Connection, task_id: int, name: str) -> SnapshotRow | None:
    """Return the task's snapshot of that name."""
    return _one(connection, select(*_COLUMNS).where(snapshots.c.name == name, snapshots.c.task_id == task_id))


def get(connection: Connection, snapshot_id: int) -> SnapshotRow | None:
    """Return a snapshot by its number."""
    return _one(connection, select(*_COLUMNS).where(snapshots.c.id == snapshot_id))


def many(connection: Connection, ids: Iterable[int]) -> dict[int, SnapshotRow]:
    """Return snapshots by their numbers."""
    found: dict[int, SnapshotRow] = {}
    for batch in _batches(sorted(ids)):
        rows = connection.execute(select(*_COLUMNS).where(snapshots.c.id.in_(batch)))
        found.update((row[0], SnapshotRow(*row)) for row in rows)
    return found


def is_taken(connection: Connection, name: str) -> bool:
    """Answer whether a snapshot has this name."""
    return bool(connection.execute(select(exists().where(snapshots.c.name == name))).scalar())


def has_open_periodic(connection: Connection, task_id: int) -> bool:
    """Answer whether the newest periodic snapshot of the task is not over yet."""
    newest = connection.execute(
        select(snapshots.c.state)
        .where(snapshots.c.task_id == task_id, snapshots.c.is_periodic == 1)
        .order_by(snapshots.c.id.desc())
        .limit(1)
    ).scalar()
    return newest is not None and not SnapshotState(newest).is_over


def add(
    connection: Connection, *, account_id: int, task_id: int, name: str, is_periodic: bool, chosen: Filter, now: int
) -> SnapshotRow:
    """Add a snapshot with a part for each instance of the task that runs now."""
    made = connection.execute(
        insert(snapshots).values(
            account_id=account_id,
            task_id=task_id,
            name=name,
            is_periodic=int(is_periodic),
            filter=filter_to_json(chosen),
            state=int(SnapshotState.TRIGGERED),
            triggered_at=now,
            updated_at=now,
            open_parts=0,
        )
    )
    assert made.inserted_primary_key is not None
    snapshot_id = int(made.inserted_primary_key[0])
    runs = select(
        literal(snapshot_id),
        instances.c.number,
        instances.c.attempt,
        instances.c.account_id,
        instances.c.task_id,
        instances.c.node_id,
    ).where(
        instances.c.task_id == task_id,
        unlikely(instances.c.ended_at.is_(None)),
        instances.c.state == int(InstanceState.RUNNING),
    )
    columns = ["snapshot_id", "number", "attempt", "account_id", "task_id", "node_id"]
    connection.execute(insert(snapshot_parts).from_select(columns, runs))
    parts = connection.execute(
        select(func.count()).select_from(snapshot_parts).where(snapshot_parts.c.snapshot_id == snapshot_id)
    ).scalar_one()
    save(connection, [(snapshot_id, Tally(parts), now)])
    row = get(connection, snapshot_id)
    assert row is not None
    return row


_save = Bulk(
    lambda: (
        update(snapshots)
        .where(snapshots.c.id == bindparam("key"))
        .values(
            {
                name: bindparam("v_" + name)
                for name in (
                    "state",
                    "open_parts",
                    "failed_parts",
                    "files",
                    "size_bytes",
                    "transferred_bytes",
                    "updated_at",
                )
            }
        )
    ),
    [
        "v_state",
        "v_open_parts",
        "v_failed_parts",
        "v_files",
        "v_size_bytes",
        "v_transferred_bytes",
        "v_updated_at",
        "key",
    ],
)


def save(connection: Connection, changed: Iterable[tuple[int, Tally, int]]) -> None:
    """Write what the parts of snapshots come to now: rows of snapshot, tally, moment."""
    _save.run(
        connection,
        (
            (
                int(tally.state),
                tally.open_parts,
                tally.failed_parts,
                tally.files,
                tally.size_bytes,
                tally.transferred_bytes,
                now,
                snapshot_id,
            )
            for snapshot_id, tally, now in changed
        ),
    )


def open_of(connection: Connection, snapshot_id: int) -> list[Part]:
    """Return the open parts of a snapshot."""
    query = select(*_PART).where(snapshot_parts.c.snapshot_id == snapshot_id, snapshot_parts.c.node_id.is_not(None))
    return _parts(connection, query)


def open_on(connection: Connection, node_id: int) -> list[Part]:
    """Return the open parts that a node has to make."""
    return _parts(connection, select(*_PART).where(snapshot_parts.c.node_id == node_id))


def open_by_key(connection: Connection, keys: Iterable[tuple[int, int]]) -> list[Part]:
    """Return those of these parts (snapshot, number) that are open."""
    asked = set(keys)
    found: list[Part] = []
    for firsts, seconds in boxes(asked):
        query = select(*_PART).where(
            snapshot_parts.c.snapshot_id.in_(firsts),
            snapshot_parts.c.number.in_(seconds),
            snapshot_parts.c.node_id.is_not(None),
        )
        found += [part for part in _parts(connection, query) if (part.snapshot_id, part.number) in asked]
    return found


def open_of_attempts(connection: Connection, over: Iterable[tuple[int, int, int, int]]) -> list[Part]:
    """Return the open parts of attempts, given as node, task, number, attempt."""
    numbers: dict[tuple[int, int], dict[int, int]] = {}
    for node_id, task_id, number, attempt in over:
        numbers.setdefault((node_id, task_id), {})[number] = attempt
    found: list[Part] = []
    for (node_id, task_id), attempts in numbers.items():
        for batch in _batches(sorted(attempts)):
            query = select(*_PART).where(
                snapshot_parts.c.node_id == node_id,
                snapshot_parts.c.task_id == task_id,
                snapshot_parts.c.number.in_(batch),
            )
            found += [part for part in _parts(connection, query) if attempts[part.number] == part.attempt]
    return found


_of_part = (snapshot_parts.c.snapshot_id == bindparam("key_id")) & (snapshot_parts.c.number == bindparam("key_number"))
_progress = Bulk(
    lambda: (
        update(snapshot_parts)
        .where(_of_part)
        .values(size_bytes=bindparam("v_size"), transferred_bytes=bindparam("v_transferred"))
    ),
    ["v_size", "v_transferred", "key_id", "key_number"],
)
_fail = Bulk(
    lambda: update(snapshot_parts).where(_of_part).values(node_id=null(), error=bindparam("v_error")),
    ["v_error", "key_id", "key_number"],
)
_remove = Bulk(lambda: delete(snapshot_parts).where(_of_part), ["key_id", "key_number"])


def save_progress(connection: Connection, rows: Iterable[tuple[int, int, int, int]]) -> None:
    """Write how far parts are: rows of size, transferred, snapshot, number."""
    _progress.run(connection, rows)


def close_failed(connection: Connection, rows: Iterable[tuple[str, int, int]]) -> None:
    """Close parts and keep why: rows of error, snapshot, number."""
    _fail.run(connection, rows)


def close(connection: Connection, rows: Iterable[tuple[int, int]]) -> None:
    """Close parts without a word: rows of snapshot, number."""
    _remove.run(connection, rows)


def failures(connection: Connection, snapshot_id: int) -> list[tuple[int, str]]:
    """Return the instances whose parts failed, and why: the first of them."""
    rows = connection.execute(
        select(snapshot_parts.c.number, snapshot_parts.c.error)
        .where(snapshot_parts.c.snapshot_id == snapshot_id, snapshot_parts.c.error.is_not(None))
        .order_by(snapshot_parts.c.number)
    )
    return [(row[0], row[1]) for row in rows]


def keep_newest(connection: Connection, task_id: int, count: int) -> None:
    """Forget the snapshots of a task that are over, but for the newest."""
    oldest = connection.execute(
        select(snapshots.c.id)
        .where(snapshots.c.task_id == task_id)
        .order_by(snapshots.c.id.desc())
        .offset(count)
        .limit(1)
    ).scalar()
    if oldest is not None:
        _forget(connection, task_id, below=oldest + 1, limit=_BATCH)


def delete_some(connection: Connection, task_id: int, limit: int) -> int:
    """Remove up to `limit` snapshots of a deleted task, with some of their parts; return how many rows went."""
    numbers = connection.execute(
        select(snapshot_parts.c.snapshot_id, snapshot_parts.c.number)
        .join(snapshots, snapshots.c.id == snapshot_parts.c.snapshot_id)
        .where(snapshots.c.task_id == task_id)
        .limit(limit)
    ).all()
    if numbers:
        close(connection, [(row[0], row[1]) for row in numbers])
        return len(numbers)
    return _forget(connection, task_id, below=None, limit=limit)


def _forget(connection: Connection, task_id: int, *, below: int | None, limit: int) -> int:
    query = select(snapshots.c.id).where(snapshots.c.task_id == task_id).order_by(snapshots.c.id).limit(limit)
    if below is not None:
        query = query.where(snapshots.c.id < below, snapshots.c.open_parts == 0)
    ids = list(connection.execute(query).scalars())
    connection.execute(delete(snapshot_parts).where(snapshot_parts.c.snapshot_id.in_(ids)))
    connection.execute(delete(snapshots).where(snapshots.c.id.in_(ids)))
    return len(ids)


def _one(connection: Connection, query: Select[Any]) -> SnapshotRow | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else SnapshotRow(*row)


def _parts(connection: Connection, query: Select[Any]) -> list[Part]:
    return [Part(*row) for row in connection.execute(query)]


def _batches(keys: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (keys[begin : begin + _BATCH] for begin in range(0, len(keys), _BATCH))
