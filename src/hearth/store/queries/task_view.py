"""All that one look at a task needs, in one read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection, bindparam, select

from hearth.domain.ranges import RangeSet
from hearth.domain.spec import TaskSpec
from hearth.store.hints import unlikely
from hearth.store.queries.instances import COLUMNS as INSTANCE_COLUMNS
from hearth.store.queries.instances import InstanceRow
from hearth.store.queries.tasks import TaskRow, spec_from_json
from hearth.store.tables import instances, nodes
from hearth.wire.agent import Offer

# Failed instances whose errors become errors of the task.
FAILED_SHOWN = 10
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
_OFFERS = select(nodes.c.id, nodes.c.offer).where(nodes.c.id.in_(bindparam("ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task, what its instances do now, and those that ended."""

    row: TaskRow
    spec: TaskSpec
    live: Sequence[InstanceRow] = ()
    ended: Sequence[InstanceRow] = ()  # newest first, perhaps not all
    failed: Sequence[InstanceRow] = ()  # the first of them
    offers: dict[int, Offer] = field(default_factory=dict)  # of the nodes that hold live instances

    @property
    def ended_count(self) -> int:
        return self.row.succeeded_count + self.row.failed_count + self.row.cancelled_count


def view(connection: Connection, row: TaskRow, shown: int) -> TaskView:
    """Return the view of a task with up to `shown` live and `shown` ended instances."""
    has_live = _live_count(row) > 0
    asked = {"task": row.id, "most": shown}
    live: list[InstanceRow] = []
    if has_live:
        live = [InstanceRow(*found) for found in connection.execute(_LIVE, asked)]
    ended = [InstanceRow(*found) for found in connection.execute(_ENDED, asked)] if _ended_count(row) else []
    return TaskView(
        row, spec_from_json(row.spec), live, ended, _first_failed(connection, row, ended), _offers(connection, live)
    )


def views(connection: Connection, rows: Sequence[TaskRow], shown: int) -> list[TaskView]:
    """Return the views of many tasks; those with few instances cost one query together."""
    small = [
        row.id for row in rows if row.instance_total <= min(_SMALL, shown) and row.waiting_count < row.instance_total
    ]
    by_task: dict[int, list[InstanceRow]] = {task_id: [] for task_id in small}
    for begin in range(0, len(small), _KEYS):
        query = select(*INSTANCE_COLUMNS).where(instances.c.task_id.in_(small[begin : begin + _KEYS]))
        for found in connection.execute(query.order_by(instances.c.task_id, instances.c.number)):
            by_task[found[0]].append(InstanceRow(*found))
    result = []
    for row in rows:
        theirs = by_task.get(row.id)
        if theirs is None:
            has_any = row.waiting_count < row.instance_total
            result.append(view(connection, row, shown) if has_any else TaskView(row, spec_from_json(row.spec)))
            continue
        live = [i for i in theirs if i.node_id is not None]
        ended = sorted((i for i in theirs if i.ended_at is not None), key=lambda i: (-(i.ended_at or 0), -i.number))
        failed = [i for i in theirs if i.error_code is not None and i.ended_at is not None][:FAILED_SHOWN]
        result.append(TaskView(row, spec_from_json(row.spec), live, ended, failed, _offers(connection, live)))
    return result


def ended_page(connection: Connection, task_id: int, after: int, limit: int) -> list[InstanceRow]:
    """Return ended instances by number, those above `after`."""
    query = (
        select(*INSTANCE_COLUMNS)
        .where(instances.c.task_id == task_id, instances.c.number > after, instances.c.ended_at.is_not(None))
        .order_by(instances.c.number)
        .limit(limit)
    )
    return [InstanceRow(*found) for found in connection.execute(query)]


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


def _offers(connection: Connection, live: Sequence[InstanceRow]) -> dict[int, Offer]:
    ids = sorted({i.node_id for i in live if i.node_id is not None})
    if not ids:
        return {}
    found = connection.execute(_OFFERS, {"ids": ids})
    return {node_id: msgspec.json.decode(offer, type=Offer) for node_id, offer in found}
