"""Give waiting instances to nodes with room: plan and claim in one transaction, so that no plan is stale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from hearth.control.changes import Changes
from hearth.domain.errors import TransitionRefused
from hearth.domain.instance import Claimed
from hearth.domain.quota import Share, tasks_left
from hearth.domain.ranges import RangeSet
from hearth.scheduler.fit import NodeRoom, fits_now
from hearth.scheduler.plan import Cluster, Dispatch, Wanting, plan
from hearth.store.queries import accounts_counters, instances, nodes, queue
from hearth.store.queries.queue import Live
from hearth.store.queries.tasks import TaskRow

# Tasks of one shape that one claim takes at most, and the shapes that it takes tasks of.
CANDIDATES = 256
SHAPES_SERVED = 64
# How many shapes one claim looks at; where there are more, claims take turns.
SHAPES = 512


@dataclass(frozen=True, slots=True)
class Grant:
    """Attempts that a node was given by a claim which is on disk."""

    node_id: int
    task: TaskRow
    attempt: int
    numbers: RangeSet


@dataclass(frozen=True, slots=True)
class Round:
    """What one claim gave away, and after which shape the next one goes on; 0: from the first again."""

    grants: list[Grant]
    after: int


def claim(connection: Connection, rooms: Sequence[NodeRoom], boots: dict[int, int], now: int) -> list[Grant]:
    """Look at all shapes until something can be given to a node, and write it down."""
    after = 0
    while True:
        done = claim_some(connection, rooms, boots, now, after=after)
        if done.grants or not done.after:
            return done.grants
        after = done.after


def claim_some(
    connection: Connection, rooms: Sequence[NodeRoom], boots: dict[int, int], now: int, *, after: int
) -> Round:
    """Decide who runs where, and write it down; `boots` are the nodes' current boots."""
    found = queue.live(connection, after=after, limit=SHAPES)
    next_after = found[-1].shape_id if len(found) == SHAPES else 0
    wanting, rows = _candidates(connection, found, rooms)
    dispatches = _decided(connection, wanting, rows, rooms) if wanting else []
    grants = _write_down(connection, dispatches, rows, boots, now) if dispatches else []
    return Round(grants, next_after)


def _candidates(
    connection: Connection, found: Sequence[Live], rooms: Sequence[NodeRoom]
) -> tuple[list[Wanting], dict[int, TaskRow]]:
    """Return and lock the first tasks of each shape that may have something started now.

    Shapes that fit nowhere, and those of accounts that may not have more, are passed over: they hold up nobody.
    """
    able: list[tuple[Live, int]] = []
    for one in found:
        fits = min(CANDIDATES, sum(fits_now(room, one.shape) for room in rooms))
        if not (one.head_runs or tasks_left(one.share.limits, one.share.running_tasks)):
            continue
        if fits and (most := min(fits, one.share.more(one.shape.cores))) > 0:
            able.append((one, most))
    room = max((most for _, most in able), default=0)  # for the smallest instances there are
    chosen = _in_turns(able)[: min(SHAPES_SERVED, room)]
    each = -(-room // len(chosen)) + 1 if chosen else 0  # what is left over is the next claim's
    wanting: list[Wanting] = []
    rows: dict[int, TaskRow] = {}
    for one, most in chosen:
        for task in queue.first(connection, one.shape_id, min(most, each)):
            rows[task.id] = task
            wanting.append(Wanting(task.id, task.account_id, RangeSet.parse(task.waiting), one.shape, task.priority))
    return wanting, rows


def _in_turns(able: Sequence[tuple[Live, int]]) -> list[tuple[Live, int]]:
    """Sort as the plan will: class and priority, then one shape of each account, the least holding first."""
    by_age = sorted(able, key=lambda pair: (pair[0].shape.scheduling, -pair[0].head_priority, pair[0].head_id))
    turns: dict[tuple[int, int, int], int] = {}
    keys: dict[int, tuple[int, int, int, float]] = {}
    for one, _ in by_age:
        rank = (int(one.shape.scheduling), -one.head_priority)
        turn = turns[(*rank, one.account_id)] = turns.get((*rank, one.account_id), 0) + 1
        keys[one.shape_id] = (*rank, turn, one.share.cores)
    return sorted(by_age, key=lambda pair: keys[pair[0].shape_id])


def _decided(
    connection: Connection, wanting: Sequence[Wanting], rows: dict[int, TaskRow], rooms: Sequence[NodeRoom]
) -> list[Dispatch]:
    """Plan with what the accounts have, held until the transaction ends: nobody else gives them more meanwhile."""
    counters = accounts_counters.lock(connection, {task.account_id for task in wanting})
    shares = {key: Share(c.limits, c.live_instances, c.live_cores) for key, c in counters.items()}
    left = {key: tasks_left(c.limits, c.running_tasks) for key, c in counters.items()}
    allowed: list[Wanting] = []
    for task in wanting:
        if not _is_running(rows[task.task_id]):
            if not left[task.account_id]:
                continue
            left[task.account_id] -= 1
        allowed.append(task)
    return plan(Cluster(allowed, rooms, shares))


def _is_running(task: TaskRow) -> bool:
    return task.dispatched_count + task.running_count + task.uploading_count + task.cancelling_count > 0


def _write_down(
    connection: Connection,
    dispatches: Sequence[Dispatch],
    rows: dict[int, TaskRow],
    boots: dict[int, int],
    now: int,
) -> list[Grant]:
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
