"""Who runs where: `plan(cluster) -> [dispatch]`. Pure; the claim re-checks what it decides.

The tasks come in order of dispatch (scheduling class, priority, age) and each takes what it can get, node by
node; between accounts the room is shared in turns, so that one account's million instances do not make
another's ten wait for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hearth.domain.ranges import RangeSet
from hearth.scheduler.fit import NodeRoom, fits_now

# How many instances one task takes before the next account has its turn.
TURN = 64


@dataclass(frozen=True, slots=True)
class Wanting:
    """A task with waiting instances, and what each of them needs."""

    task_id: int
    account_id: int
    waiting: RangeSet
    cores: float
    memory_bytes: int
    needs_image: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """All that a decision needs: tasks in order of dispatch, nodes with room, and quotas left per account."""

    tasks: Sequence[Wanting]
    nodes: Sequence[NodeRoom]
    instances_left: dict[int, int]


@dataclass(frozen=True, slots=True)
class Dispatch:
    """The decision: these instances, on that node."""

    task_id: int
    node_id: int
    numbers: RangeSet


def plan(cluster: Cluster) -> list[Dispatch]:
    """Return what should start where, in order; nothing in it exceeds the room of a node or a quota."""
    rooms = {node.node_id: node for node in cluster.nodes}
    left = dict(cluster.instances_left)
    waiting = {task.task_id: task.waiting for task in cluster.tasks}
    dispatches: list[Dispatch] = []
    queue = list(cluster.tasks)
    while queue and any(room.is_open for room in rooms.values()):
        served: dict[int, int] = {}
        again: list[Wanting] = []
        for task in queue:
            turn = min(TURN - served.get(task.account_id, 0), left.get(task.account_id, 0))
            if turn <= 0:
                if left.get(task.account_id, 0) > 0:
                    again.append(task)
                continue
            took = _serve(task, waiting[task.task_id].first(turn), rooms, dispatches)
            if took:
                count = len(took)
                served[task.account_id] = served.get(task.account_id, 0) + count
                left[task.account_id] -= count
                waiting[task.task_id] -= took
                if waiting[task.task_id]:
                    again.append(task)
        if not served:
            break
        queue = again
    return dispatches


def _serve(task: Wanting, numbers: RangeSet, rooms: dict[int, NodeRoom], dispatches: list[Dispatch]) -> RangeSet:
    """Place as many of `numbers` as there is room for; the emptiest node first."""
    took = RangeSet()
    for node_id in sorted(rooms, key=lambda n: (-rooms[n].cores, -rooms[n].ahead, n)):
        count = fits_now(rooms[node_id], task.cores, task.memory_bytes)
        if count <= 0 or (task.needs_image and not rooms[node_id].takes_images):
            continue
        part = numbers.first(count)
        rooms[node_id] = rooms[node_id].without(len(part), task.cores, task.memory_bytes)
        dispatches.append(Dispatch(task.task_id, node_id, part))
        took |= part
        numbers -= part
        if not numbers:
            break
    return took
