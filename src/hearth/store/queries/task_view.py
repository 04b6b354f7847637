"""All that one look at a task needs, in one read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection, bindparam, select

from hearth.domain.instance import InstanceState
from hearth.domain.ranges import RangeSet
from hearth.domain.spec import TaskSpec
from hearth.store.hints import unlikely
from hearth.store.queries import live_times, machines
from hearth.store.queries.instances import COLUMNS as INSTANCE_COLUMNS
from hearth.store.queries.instances import InstanceRow
from hearth.store.queries.live_times import LiveTimes
from hearth.store.queries.machines import Machine, machine_times
from hearth.store.queries.tasks import TaskRow, spec_from_json
from hearth.store.tables import instances

# Failed instances whose errors become errors of the task.
FAILED_SHOWN = 10
# The states in which instances end, and the column of the task that lists them.
ENDS = {"success": "succeeded", "failure": "failed", "cancelled": "cancelled"}
# Tasks up to this size are read together.
_SMALL = 20
_KEYS = 400

# Statements are made once: each has some twenty columns, and a look at a task should cost little.
_of_task = select(*INSTANCE_COLUMNS).where(instances.c.task_id == bindparam("task"))
# Those that have not ended are few among many in a large task.
_LIVE = _of_task.where(unlikely(instances.c.ended_at.is_(None)), instances.c.node_id.is_not(None)).limit(
    bindparam("most")
)
_ENDED = (
    _of_task.where(instances.c.ended_at.is_not(None))
    .order_by(instances.c.ended_at.desc(), instances.c.number.desc())
    .limit(bindparam("most"))
)
_NUMBERED = _of_task.where(instances.c.number.in_(bindparam("numbers", expanding=True))).order_by(instances.c.number)


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task, what its instances do now, and those that ended."""

    row: TaskRow
    spec: TaskSpec
    live: Sequence[InstanceRow] = ()
    ended: Sequence[InstanceRow] = ()  # newest first, perhaps not all
    failed: Sequence[InstanceRow] = ()  # the first of them
    machines: dict[int, Machine] = field(default_factory=dict)  # all that the task's instances ran on
    live_times: LiveTimes = field(default_factory=LiveTimes)  # of all live instances, shown or not

    @property
    def ended_count(self) -> int:
        return self.row.succeeded_count + self.row.failed_count + self.row.cancelled_count


def view(connection: Connection, row: TaskRow, shown: int, now: int) -> TaskView:
    """Return the view of a task with up to `shown` live and `shown` ended instances, and its times until `now`."""
    has_live = _live_count(row) > 0
    asked = {"task": row.id, "most": shown}
    live: list[InstanceRow] = []
    if has_live:
        live = [InstanceRow(*found) for found in connection.execute(_LIVE, asked)]
    ended = [InstanceRow(*found) for found in connection.execute(_ENDED, asked)] if _ended_count(row) else []
    all_shown = _live_count(row) <= len(live)
    times = live_times.of_rows(live, now) if all_shown else live_times.read(connection, row.id, now)
    kinds = machines.many(connection, _kinds(row, times, (*live, *ended)))
    return TaskView(row, spec_from_json(row.spec), live, ended, _first_failed(connection, row, ended), kinds, times)


def views(connection: Connection, rows: Sequence[TaskRow], shown: int, now: int) -> list[TaskView]:
    """Return the views of many tasks; those with few instances cost one query together."""
    small = [
        row.id for row in rows if row.instance_total <= min(_SMALL, shown) and row.waiting_count < row.instance_total
    ]
    by_task: dict[int, list[InstanceRow]] = {task_id: [] for task_id in small}
    for begin in range(0, len(small), _KEYS):
        query = select(*INSTANCE_COLUMNS).where(instances.c.task_id.in_(small[begin : begin + _KEYS]))
        for found in connection.execute(query.order_by(instances.c.task_id, instances.c.number)):
            by_task[found[0]].append(InstanceRow(*found))
    nothing = LiveTimes()
    kinds = machines.many(connection, {k for row in rows for k in _kinds(row, nothing, by_task.get(row.id, ()))})
    result = []
    for row in rows:
        theirs = by_task.get(row.id)
        if theirs is None:
            has_any = row.waiting_count < row.instance_total
            result.append(view(connection, row, shown, now) if has_any else TaskView(row, spec_from_json(row.spec)))
            continue
        live = [i for i in theirs if i.node_id is not None]
        ended = sorted((i for i in theirs if i.ended_at is not None), key=lambda i: (-(i.ended_at or 0), -i.number))
        failed = [i for i in theirs if i.state == InstanceState.FAILED][:FAILED_SHOWN]
        times = live_times.of_rows(live, now)
        result.append(TaskView(row, spec_from_json(row.spec), live, ended, failed, kinds, times))
    return result


@dataclass(frozen=True, slots=True)
class EndedPage:
    """Ended instances by number, those without a row too, and where the next page begins."""

    instances: Sequence[InstanceRow]
    next_after: int | None  # None: there are no more
    total: int
    machines: dict[int, Machine]


def ended_page(connection: Connection, row: TaskRow, after: int, limit: int, state: str = "") -> EndedPage:
    """Return ended instances above the number `after`, those in one of `ENDS` if `state` names it.

    Those that ended before a node had them have no row: the task's ranges know of them.
    """
    may_lack_row = {"cancelled": InstanceState.CANCELLED}
    if row.error:  # only a task that failed as a whole has failures without a row: others' ranges may be long to read
        may_lack_row["failed"] = InstanceState.FAILED
    if state:
        numbers = RangeSet.parse(getattr(row, ENDS[state]))
        total = len(numbers)
        wanted = list(_behind(numbers, after).first(limit + 1))
        found = connection.execute(_NUMBERED, {"task": row.id, "numbers": wanted[:limit]})
        by_number = {i.number: i for i in (InstanceRow(*f) for f in found)}
        ranges = {column: numbers for column in may_lack_row if column == ENDS[state]}
    else:
        total = _ended_count(row)
        query = _of_task.where(instances.c.number > after, instances.c.ended_at.is_not(None))
        rows = connection.execute(query.order_by(instances.c.number).limit(limit + 1), {"task": row.id})
        by_number = {i.number: i for i in (InstanceRow(*f) for f in rows)}
        ranges = {column: _behind(RangeSet.parse(getattr(row, column)), after) for column in may_lack_row}
        # The first of both together are among the first of each.
        wanted = sorted(by_number.keys() | {n for some in ranges.values() for n in some.first(limit + 1)})
        wanted = wanted[: limit + 1]
    page = wanted[:limit]
    next_after = page[-1] if len(wanted) > limit else None
    for column, some in ranges.items():
        for number in page:
            if number not in by_number and number in some:
                by_number[number] = _without_row(row, number, may_lack_row[column])
    shown = [by_number[number] for number in page if number in by_number]
    kinds = machines.many(connection, {i.machine_id for i in shown if i.machine_id is not None})
    return EndedPage(shown, next_after, total, kinds)


def _behind(numbers: RangeSet, after: int) -> RangeSet:
    return numbers - RangeSet.count(after + 1)


def _without_row(row: TaskRow, number: int, state: InstanceState) -> InstanceRow:
    """Return an instance that ended before a node had it; when it failed, for the reason that the task has."""
    failure = _error.decode(row.error) if row.error and state is InstanceState.FAILED else _Error()
    return InstanceRow(
        task_id=row.id,
        number=number,
        account_id=row.account_id,
        state=state,
        attempt=0,
        failures=0,
        losses=0,
        node_id=None,
        boot=None,
        dispatched_at=None,
        started_at=None,
        exited_at=None,
        ended_at=row.ended_at,
        exit_code=None,
        error_code=failure.code or None,
        error_message=failure.message or None,
        cpu_microseconds=0,
        peak_memory=0,
        machine_id=None,
        download_microseconds=0,
        stdout_bytes=0,
        stderr_bytes=0,
        results=None,
        details=None,
    )


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


_error = msgspec.json.Decoder(_Error)


def _live_count(row: TaskRow) -> int:
    return row.dispatched_count + row.running_count + row.uploading_count + row.cancelling_count


def _ended_count(row: TaskRow) -> int:
    return row.succeeded_count + row.failed_count + row.cancelled_count


def _first_failed(connection: Connection, row: TaskRow, ended: Sequence[InstanceRow]) -> list[InstanceRow]:
    """Return the failed instances with the smallest numbers: they may not be among the newest."""
    if not row.failed_count:
        return []
    beginning = ",".join(row.failed.split(",", FAILED_SHOWN)[:FAILED_SHOWN])
    numbers = list(RangeSet.parse(beginning).first(FAILED_SHOWN))
    at_hand = {i.number: i for i in ended}
    if all(number in at_hand for number in numbers):
        return [at_hand[number] for number in numbers]
    return [InstanceRow(*found) for found in connection.execute(_NUMBERED, {"task": row.id, "numbers": numbers})]


def _kinds(row: TaskRow, times: LiveTimes, shown: Iterable[InstanceRow]) -> set[int]:
    """Return the kinds of machines that a look at a task speaks of."""
    told = machine_times(row.machines).keys() | times.by_machine.keys() | {i.machine_id for i in shown}
    return {machine_id for machine_id in told if machine_id is not None}
