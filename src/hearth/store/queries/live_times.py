"""How long what is on nodes now has taken so far, by phase and by kind of machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import BigInteger, BindParameter, Connection, bindparam, case, func, select

from hearth.store.hints import unlikely
from hearth.store.queries.instances import InstanceRow
from hearth.store.tables import instances


@dataclass(slots=True)
class LiveTimes:
    """Microseconds until now of all instances of one task that are on nodes."""

    download: int = 0
    environment: int = 0
    upload: int = 0
    by_machine: dict[int | None, int] = field(default_factory=dict)  # execution

    @property
    def execution(self) -> int:
        return sum(self.by_machine.values())


_c = instances.c
_now: BindParameter[int] = bindparam("now", type_=BigInteger)
_SUMS = (
    select(
        _c.machine_id,
        func.sum(_c.download_microseconds),
        func.sum(func.coalesce(_c.started_at, _now) - _c.dispatched_at - _c.download_microseconds),
        func.sum(case((_c.started_at.is_not(None), func.coalesce(_c.exited_at, _now) - _c.started_at), else_=0)),
        func.sum(case((_c.exited_at.is_not(None), _now - _c.exited_at), else_=0)),
    )
    .where(_c.task_id == bindparam("task"), unlikely(_c.ended_at.is_(None)), _c.node_id.is_not(None))
    .group_by(_c.machine_id)
)


def read(connection: Connection, task_id: int, now: int) -> LiveTimes:
    """Sum up the instances of a task without fetching them."""
    times = LiveTimes()
    for machine_id, download, environment, execution, upload in connection.execute(
        _SUMS, {"task": task_id, "now": now}
    ):
        times.download += int(download)
        times.environment += max(0, int(environment))
        times.upload += max(0, int(upload))
        times.by_machine[machine_id] = max(0, int(execution))
    return times


def of_rows(rows: Iterable[InstanceRow], now: int) -> LiveTimes:
    """Sum up instances that are at hand."""
    times = LiveTimes()
    for row in rows:
        times.download += row.download_microseconds
        preparing = between(row.dispatched_at, now if row.started_at is None else row.started_at)
        times.environment += max(0, preparing - row.download_microseconds)
        times.upload += between(row.exited_at, now)
        if row.started_at is not None:
            execution = between(row.started_at, now if row.exited_at is None else row.exited_at)
            times.by_machine[row.machine_id] = times.by_machine.get(row.machine_id, 0) + execution
    return times


def between(begin: int | None, end: int | None) -> int:
    """Return how long it was from one moment to the other; 0 when one of them never came."""
    return 0 if begin is None or end is None else max(0, end - begin)
