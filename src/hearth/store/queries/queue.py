"""The queue: tasks with waiting instances, by shape (index ix_tasks_queue).

The shapes that somebody waits for are found by jumping from one to the next in the index, whatever number of tasks
each has; nothing here reads more rows than it returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import msgspec
from sqlalchemy import Connection, bindparam, select, text

from hearth.domain.demand import Shape, shape_from_json
from hearth.domain.quota import Limits
from hearth.store.queries.tasks import COLUMNS, TaskRow
from hearth.store.tables import tasks


@dataclass(frozen=True, slots=True)
class Live:
    """A shape that tasks wait for: its first task, and what its account may have and holds."""

    shape_id: int
    account_id: int
    shape: Shape
    head_priority: int
    head_id: int
    limits: Limits
    live_instances: int
    live_cores: float
    running_tasks: int
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
            limits_from_json(limits),
            held,
            cores,
            running,
            bool(runs),
        )
        for shape, account, body, priority, head, limits, held, cores, running, runs in rows
    ]


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
