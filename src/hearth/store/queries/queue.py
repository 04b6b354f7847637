"""The queue: tasks with waiting instances, by shape (index ix_tasks_queue).

The shapes that somebody waits for are found by jumping from one to the next in the index, whatever number of tasks
each has; nothing here reads more rows than it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec
from sqlalchemy import Connection, and_, bindparam, func, select, text

from hearth.domain.demand import Shape, shape_from_json
from hearth.domain.quota import Limits, Share
from hearth.store.queries.tasks import COLUMNS, TaskRow
from hearth.store.tables import accounts, tasks


@dataclass(frozen=True, slots=True)
class Live:
    """A shape that tasks wait for: its first task, and what its account may have and holds."""

    shape_id: int
    account_id: int
    shape: Shape
    head_priority: int
    head_id: int
    share: Share
    head_runs: bool  # it has instances on nodes already


_LIVE = text(
    """
    WITH RECURSIVE live(shape_id, place) AS (
      SELECT (SELECT min(shape_id) FROM tasks WHERE waiting_count > 0 AND shape_id > :after), 1
      UNION ALL
      SELECT (SELECT min(t.shape_id) FROM tasks t WHERE t.waiting_count > 0 AND t.shape_id > live.shape_id), place + 1
      FROM live WHERE live.shape_id IS NOT NULL AND place < :most
    )
    SELECT live.shape_id, s.account_id, s.body, head.priority, head.id, a.limits, a.live_instances, a.live_cores,
      a.running_tasks,
      head.dispatched_count + head.running_count + head.uploading_count + head.cancelling_count > 0
    FROM live
    JOIN shapes s ON s.id = live.shape_id
    JOIN accounts a ON a.id = s.account_id
    JOIN tasks head ON head.id = (
      SELECT t.id FROM tasks t WHERE t.shape_id = live.shape_id AND t.waiting_count > 0
      ORDER BY t.priority DESC, t.id LIMIT 1
    )
    ORDER BY live.shape_id
    """
)


def live(connection: Connection, *, after: int, limit: int) -> list[Live]:
    """Return the shapes that tasks wait for, by number, those above `after`."""
    rows = connection.execute(_LIVE, {"after": after, "most": limit})
    return [
        Live(
            shape,
            account,
            shape_from_json(body),
            priority,
            head,
            Share(limits_from_json(limits), held, cores, running),
            bool(runs),
        )
        for shape, account, body, priority, head, limits, held, cores, running, runs in rows
    ]


def share_of(connection: Connection, account_id: int) -> Share:
    """Return what an account may have on nodes, and what it holds there."""
    row = connection.execute(
        select(accounts.c.limits, accounts.c.live_instances, accounts.c.live_cores, accounts.c.running_tasks).where(
            accounts.c.id == account_id
        )
    ).one()
    return Share(limits_from_json(row[0]), *row[1:])


@lru_cache(maxsize=1 << 10)
def limits_from_json(stored: str) -> Limits:
    """Read what an account may have."""
    return msgspec.json.decode(stored or "{}", type=Limits)


# The literal, not a parameter: both planners must see that it is the index's own condition.
_first = (
    select(*COLUMNS)
    .where(tasks.c.shape_id == bindparam("shape"), text("waiting_count > 0"))
    .order_by(tasks.c.priority.desc(), tasks.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True, key_share=True)
)


def first(connection: Connection, shape_id: int, limit: int) -> list[TaskRow]:
    """Return and lock the first tasks of a shape, others than those that somebody else has locked."""
    return [TaskRow(*row) for row in connection.execute(_first, {"shape": shape_id, "most": limit})]


def ahead(
    connection: Connection, higher: Sequence[int], equal: Sequence[int], priority: int, task_id: int, limit: int
) -> int:
    """Count the tasks before this one, up to `limit`: those of higher shapes, and of equal ones by priority and age."""
    waits, shape = text("waiting_count > 0"), tasks.c.shape_id
    found = 0
    for condition in (
        shape.in_(higher),
        and_(shape.in_(equal), tasks.c.priority > priority),
        and_(shape.in_(equal), tasks.c.priority == priority, tasks.c.id < task_id),
    ):
        some = select(tasks.c.id).where(condition, waits).limit(limit - found).subquery()
        found += connection.execute(select(func.count()).select_from(some)).scalar_one()
        if found >= limit:
            break
    return found
