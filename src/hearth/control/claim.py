"""Give waiting instances to nodes with room: plan and claim in one transaction, so that no plan is stale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from hearth.control.changes import Changes
from hearth.domain.errors import TransitionRefused
from hearth.domain.instance import Claimed
from hearth.domain.quota import instances_left
from hearth.domain.ranges import RangeSet
from hearth.scheduler.fit import NodeRoom
from hearth.scheduler.plan import Cluster, Wanting, plan
from hearth.store.queries import accounts_counters, instances, tasks
from hearth.store.queries.tasks import TaskRow

CANDIDATES = 256


@dataclass(frozen=True, slots=True)
class Grant:
    """Attempts that a node was given by a claim which is on disk."""

    node_id: int
    task: TaskRow
    attempt: int
    numbers: RangeSet


def claim(connection: Connection, rooms: Sequence[NodeRoom], boots: dict[int, int], now: int) -> list[Grant]:
    """Decide who runs where, and write it down; `boots` are the nodes' current boots."""
    room = sum(node.ahead + max(1, int(node.cores)) for node in rooms)
    queue = tasks.queue(connection, min(CANDIDATES, 2 * room + 16))
    if not queue:
        return []
    counters = accounts_counters.lock(connection, {task.account_id for task in queue})
    left = {
        account_id: min(
            instances_left(counter.limits, counter.live_instances, counter.live_cores, task.demand_cores)
            for task in queue
            if task.account_id == account_id
        )
        for account_id, counter in counters.items()
    }
    wanting = [
        Wanting(task.id, task.account_id, RangeSet.parse(task.waiting), task.demand_cores, task.demand_memory)
        for task in queue
    ]
    dispatches = plan(Cluster(wanting, rooms, left))
    if not dispatches:
        return []
    rows = {task.id: task for task in queue}
    changes = Changes(connection, now)
    changes.adopt_tasks(rows[task_id] for task_id in dict.fromkeys(d.task_id for d in dispatches))
    for dispatch in dispatches:
        if changes.tasks[dispatch.task_id].requeued:
            changes.adopt(instances.load_ranges(connection, dispatch.task_id, dispatch.numbers))
    granted: dict[tuple[int, int, int], list[int]] = {}
    for dispatch in dispatches:
        for number in dispatch.numbers:
            try:
                changes.advance(dispatch.task_id, number, Claimed(dispatch.node_id, boots[dispatch.node_id], now))
            except TransitionRefused:
                continue  # somebody else's claim or a cancel came first
            attempt = changes.stored(dispatch.task_id, number).instance.attempt
            granted.setdefault((dispatch.node_id, dispatch.task_id, attempt), []).append(number)
    changes.save()
    return [
        Grant(node_id, rows[task_id], attempt, RangeSet.of(numbers))
        for (node_id, task_id, attempt), numbers in granted.items()
    ]
