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
from hearth.scheduler.fit import TINY, NodeRoom
from hearth.scheduler.plan import Cluster, Wanting, plan
from hearth.store.queries import accounts_counters, instances, nodes, tasks
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
    queue, left = _candidates(connection, rooms)
    if not queue:
        return []
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
    machines = nodes.machines(connection, {dispatch.node_id for dispatch in dispatches})
    for dispatch in dispatches:
        claimed = Claimed(dispatch.node_id, boots[dispatch.node_id], now, machines.get(dispatch.node_id))
        for number in dispatch.numbers:
            try:
                changes.advance(dispatch.task_id, number, claimed)
            except TransitionRefused:
                continue  # somebody else's claim or a cancel came first
            attempt = changes.stored(dispatch.task_id, number).instance.attempt
            granted.setdefault((dispatch.node_id, dispatch.task_id, attempt), []).append(number)
    changes.save()
    return [
        Grant(node_id, rows[task_id], attempt, RangeSet.of(numbers))
        for (node_id, task_id, attempt), numbers in granted.items()
    ]


def _candidates(connection: Connection, rooms: Sequence[NodeRoom]) -> tuple[list[TaskRow], dict[int, int]]:
    """Return the first tasks that may have something started, and how many instances their accounts may start.

    Tasks that are over their account's quota, or larger than any room, do not hold up those behind them.
    """
    limit = min(CANDIDATES, 2 * sum(node.ahead + max(1, int(node.cores)) for node in rooms) + 16)
    most_cores = None if any(node.ahead for node in rooms) else max((node.cores for node in rooms), default=0.0) + TINY
    refused: dict[int, tasks.Refused] = {}
    while True:
        queue = tasks.queue(connection, limit, most_cores=most_cores, without=refused.values())
        counters = accounts_counters.lock(connection, {task.account_id for task in queue})
        left: dict[int, int] = {}
        allowed: list[TaskRow] = []
        for task in queue:
            counter = counters[task.account_id]
            more = instances_left(counter.limits, counter.live_instances, counter.live_cores, task.demand_cores)
            if more > 0:
                allowed.append(task)
                left[task.account_id] = min(more, left.get(task.account_id, more))
            elif (before := refused.get(task.account_id)) is None or task.demand_cores < before.demand_cores:
                refused[task.account_id] = tasks.Refused(task.account_id, task.demand_cores)
        if allowed or len(queue) < limit:
            return allowed, left
