"""Rows of instances: only those that a node has touched have one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, insert, select, update

from hearth.domain.instance import NODE_FAULT, Failure, Instance, InstanceState
from hearth.domain.ranges import RangeSet
from hearth.store.bulk import Bulk
from hearth.store.hints import unlikely
from hearth.store.pairs import boxes
from hearth.store.tables import attempts, instances, tasks


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """One row of `instances`, a field per column."""

    task_id: int
    number: int
    account_id: int
    state: int
    attempt: int
    failures: int
    losses: int
    node_id: int | None
    boot: int | None
    dispatched_at: int | None
    started_at: int | None
    exited_at: int | None
    ended_at: int | None
    exit_code: int | None
    error_code: str | None
    error_message: str | None
    cpu_microseconds: int
    peak_memory: int
    machine_id: int | None
    download_microseconds: int
    stdout_bytes: int
    stderr_bytes: int
    results: str | None
    details: str | None


COLUMNS = tuple(instances.c[field.name] for field in fields(InstanceRow))
_CHANGING = [
    "state",
    "attempt",
    "failures",
    "losses",
    "node_id",
    "boot",
    "dispatched_at",
    "started_at",
    "exited_at",
    "ended_at",
    "exit_code",
    "error_code",
    "error_message",
    "cpu_microseconds",
    "peak_memory",
    "machine_id",
    "download_microseconds",
    "stdout_bytes",
    "stderr_bytes",
]
_DOMAIN = tuple(instances.c[name] for name in ("task_id", "number", *_CHANGING))
_KEY_LIMIT = 400


class Stored(msgspec.Struct, frozen=True):
    """An instance as the domain sees it, and how much output its current attempt has stored."""

    instance: Instance
    stdout_bytes: int
    stderr_bytes: int


def _stored(row: Sequence[Any]) -> Stored:
    instance = Instance(
        row[0],
        row[1],
        InstanceState(row[2]),
        row[3],
        row[4],
        row[5],
        row[6],
        row[7],
        row[8],
        row[9],
        row[10],
        row[11],
        row[12],
        None if row[13] is None else Failure(row[13], row[14] or ""),
        row[15],
        row[16],
        row[17],
        row[18],
    )
    return Stored(instance, row[19], row[20])


_in_box = select(*_DOMAIN).where(
    instances.c.task_id.in_(bindparam("tasks", expanding=True)),
    instances.c.number.in_(bindparam("numbers", expanding=True)),
)
_by_number = select(*_DOMAIN).where(
    instances.c.task_id == bindparam("task"), instances.c.number.in_(bindparam("numbers", expanding=True))
)


def load(connection: Connection, keys: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Stored]:
    """Return the rows that there are for these (task, number)."""
    found: dict[tuple[int, int], Stored] = {}
    numbers: dict[int, list[int]] = {}
    for task_id, number in keys:
        numbers.setdefault(task_id, []).append(number)
    singles: list[tuple[int, int]] = []
    for task_id, wanted in numbers.items():
        if len(wanted) < 4:
            singles.extend((task_id, number) for number in wanted)
            continue
        for begin in range(0, len(wanted), _KEY_LIMIT):
            part = wanted[begin : begin + _KEY_LIMIT]
            for row in connection.execute(_by_number, {"task": task_id, "numbers": part}):
                found[(row[0], row[1])] = _stored(row)
    asked = set(singles)
    for tasks_of, numbers_of in boxes(singles):
        for row in connection.execute(_in_box, {"tasks": tasks_of, "numbers": numbers_of}):
            if (row[0], row[1]) in asked:
                found[(row[0], row[1])] = _stored(row)
    return found


def load_ranges(connection: Connection, task_id: int, numbers: RangeSet) -> dict[tuple[int, int], Stored]:
    """Return the rows that there are for these numbers of one task."""
    found = {}
    for low, high in numbers.spans:
        query = select(*_DOMAIN).where(instances.c.task_id == task_id, instances.c.number.between(low, high))
        for row in connection.execute(query):
            found[(row[0], row[1])] = _stored(row)
    return found


_CLAIMED = [
    "task_id",
    "number",
    "account_id",
    "state",
    "attempt",
    "failures",
    "losses",
    "node_id",
    "boot",
    "dispatched_at",
    "machine_id",
]
_insert = Bulk(lambda: insert(instances).values({n: bindparam(n) for n in _CLAIMED}), _CLAIMED)


def _update(columns: Sequence[str]) -> Bulk:
    return Bulk(
        lambda: (
            update(instances)
            .where(instances.c.task_id == bindparam("key_task"), instances.c.number == bindparam("key_number"))
            .values({name: bindparam("v_" + name) for name in columns})
        ),
        [*("v_" + name for name in columns), "key_task", "key_number"],
    )


_save = _update(_CHANGING)
_save_results = _update(["results", "details"])


def insert_claimed(connection: Connection, account_of: dict[int, int], fresh: Sequence[Instance]) -> None:
    """Add rows for instances that were claimed for the first time."""
    _insert.run(
        connection,
        (
            (
                i.task_id,
                i.number,
                account_of[i.task_id],
                int(i.state),
                i.attempt,
                i.failures,
                i.losses,
                i.node_id,
                i.boot,
                i.dispatched_at,
                i.machine_id,
            )
            for i in fresh
        ),
    )


def save(connection: Connection, changed: Sequence[Stored]) -> None:
    """Write instances that have a row already."""
    _save.run(connection, (_changing(stored) for stored in changed))


def _changing(stored: Stored) -> tuple[Any, ...]:
    """Return the values of `_CHANGING`, then the key."""
    i = stored.instance
    failure = i.failure
    return (
        int(i.state),
        i.attempt,
        i.failures,
        i.losses,
        i.node_id,
        i.boot,
        i.dispatched_at,
        i.started_at,
        i.exited_at,
        i.ended_at,
        i.exit_code,
        None if failure is None else failure.code,
        None if failure is None else failure.message,
        i.cpu_microseconds,
        i.peak_memory,
        i.machine_id,
        i.download_microseconds,
        stored.stdout_bytes,
        stored.stderr_bytes,
        i.task_id,
        i.number,
    )


def set_results(connection: Connection, rows: Iterable[tuple[str | None, str | None, int, int]]) -> None:
    """Write what attempts published and noted: rows of results, details, task, number."""
    _save_results.run(connection, rows)


def add_attempts(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Keep the story of attempts that did not become the instance's end."""
    if rows:
        connection.execute(insert(attempts), rows)


def forget_returns(connection: Connection, keys: Iterable[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Remove the attempts of these (task, number) that were given back free of charge; return the messages."""
    # Task by task: SQLite reads the whole table for pairs that are only the beginning of its key.
    numbers: dict[int, list[int]] = {}
    for task_id, number in keys:
        numbers.setdefault(task_id, []).append(number)
    found: dict[tuple[int, int], str] = {}
    for task_id, wanted in numbers.items():
        for begin in range(0, len(wanted), _KEY_LIMIT):
            gone = (
                delete(attempts)
                .where(attempts.c.task_id == task_id, attempts.c.number.in_(wanted[begin : begin + _KEY_LIMIT]))
                .where(attempts.c.error_code == NODE_FAULT)
                .returning(attempts.c.number, attempts.c.error_message)
            )
            found |= {(task_id, row[0]): row[1] for row in connection.execute(gone)}
    return found


def given_back(connection: Connection, task_id: int, limit: int) -> list[tuple[int, int, str]]:
    """Return (number, when, message) of instances that wait because a node gave them back, the newest first."""
    query = (
        select(attempts.c.number, attempts.c.ended_at, attempts.c.error_message)
        .join(
            instances,
            (instances.c.task_id == attempts.c.task_id)
            & (instances.c.number == attempts.c.number)
            & (instances.c.attempt == attempts.c.attempt),
        )
        .where(attempts.c.task_id == task_id, attempts.c.error_code == NODE_FAULT)
        .where(instances.c.state == int(InstanceState.WAITING))
        .order_by(attempts.c.ended_at.desc(), attempts.c.number)
        .limit(limit)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def live_on(connection: Connection, node_id: int) -> list[Stored]:
    """Return the instances that a node holds."""
    return [_stored(row) for row in connection.execute(select(*_DOMAIN).where(instances.c.node_id == node_id))]


def nodes_of(connection: Connection, task_id: int) -> list[int]:
    """Return the nodes that hold instances of a task."""
    query = (
        select(instances.c.node_id)
        .where(instances.c.task_id == task_id, _not_ended(), instances.c.node_id.is_not(None))
        .distinct()
    )
    return sorted(connection.execute(query).scalars())


def resource_versions_on(connection: Connection, node_id: int) -> dict[int, int]:
    """Return how often the resources of the tasks that a node holds were pushed: those that were."""
    query = (
        select(tasks.c.id, tasks.c.resources_version)
        .where(tasks.c.id.in_(select(instances.c.task_id).where(instances.c.node_id == node_id)))
        .where(tasks.c.resources_version > 0)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def live_of(connection: Connection, task_id: int) -> list[Stored]:
    """Return the instances of a task that nodes hold."""
    query = select(*_DOMAIN).where(instances.c.task_id == task_id, _not_ended(), instances.c.node_id.is_not(None))
    return [_stored(row) for row in connection.execute(query)]


def _not_ended() -> ColumnElement[bool]:
    """Those that have not ended are few among many in a large task; SQLite reads them all unless it is told so."""
    return unlikely(instances.c.ended_at.is_(None))


def page(connection: Connection, task_id: int, after: int, limit: int) -> list[InstanceRow]:
    """Return touched instances by number, those above `after`."""
    query = (
        select(*COLUMNS)
        .where(instances.c.task_id == task_id, instances.c.number > after)
        .order_by(instances.c.number)
        .limit(limit)
    )
    return [InstanceRow(*row) for row in connection.execute(query)]


def get(connection: Connection, task_id: int, number: int) -> InstanceRow | None:
    """Return one instance's row, if it was ever touched."""
    row = connection.execute(
        select(*COLUMNS).where(instances.c.task_id == task_id, instances.c.number == number)
    ).first()
    return None if row is None else InstanceRow(*row)


def cancel_waiting(connection: Connection, task_id: int, at: int) -> None:
    """End the waiting instances that have rows (those without need none to be cancelled)."""
    waiting = select(instances.c.number).where(
        instances.c.task_id == task_id, _not_ended(), instances.c.state == int(InstanceState.WAITING)
    )
    connection.execute(
        update(instances)
        .where(instances.c.task_id == task_id, instances.c.number.in_(waiting))
        .values(state=int(InstanceState.CANCELLED), ended_at=at)
    )


def recount(connection: Connection, task_id: int) -> dict[int, int]:
    """Count rows by state: for checks, not for answers."""
    query = select(instances.c.state, func.count()).where(instances.c.task_id == task_id).group_by(instances.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


def delete_some(connection: Connection, task_id: int, limit: int) -> int:
    """Remove up to `limit` rows of a deleted task; return how many."""
    numbers = [
        row[0]
        for row in connection.execute(select(instances.c.number).where(instances.c.task_id == task_id).limit(limit))
    ]
    if numbers:
        connection.execute(
            delete(instances).where(
                instances.c.task_id == task_id, instances.c.number.between(min(numbers), max(numbers))
            )
        )
    return len(numbers)


def delete_some_attempts(connection: Connection, task_id: int, limit: int) -> int:
    """Forget up to `limit` attempts of a deleted task, and the others of their last instance; return how many."""
    query = select(attempts.c.number).where(attempts.c.task_id == task_id).order_by(attempts.c.number).limit(limit)
    numbers = list(connection.execute(query).scalars())
    if numbers:
        connection.execute(
            delete(attempts).where(attempts.c.task_id == task_id, attempts.c.number.between(numbers[0], numbers[-1]))
        )
    return len(numbers)
