"""Who runs where: `plan(cluster) -> [dispatch]`. Pure; the claim re-checks what it decides.

Tasks go by scheduling class, then by priority. Among equals the account that holds the least has its turn, its
oldest task first, so that one account's million instances do not make another's ten wait for all of them.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from hearth.domain.demand import Shape
from hearth.domain.quota import Share
from hearth.domain.ranges import RangeSet
from hearth.scheduler.fit import NodeRoom, fits_now

# How many instances an account is given at most before it is looked whose turn it is.
TURN = 64


@dataclass(frozen=True, slots=True)
class Wanting:
    """A task with waiting instances, and what each of them needs."""

    task_id: int
    account_id: int
    waiting: RangeSet
    shape: Shape
    priority: int = 0

    @property
    def rank(self) -> tuple[int, int]:
        """What comes before the turns of accounts: the smaller goes first."""
        return self.shape.scheduling, -self.priority


@dataclass(frozen=True, slots=True)
class Cluster:
    """All that a decision needs: tasks that wait, nodes with room, and the shares of the tasks' accounts."""

    tasks: Sequence[Wanting]
    nodes: Sequence[NodeRoom]
    shares: Mapping[int, Share]


@dataclass(frozen=True, slots=True)
class Dispatch:
    """The decision: these instances, on that node."""

    task_id: int
    node_id: int
    numbers: RangeSet


def plan(cluster: Cluster) -> list[Dispatch]:
    """Return what should start where, in order; nothing in it exceeds the room of a node or a quota."""
    rooms = {node.node_id: node for node in cluster.nodes}
    shares = dict(cluster.shares)
    dispatches: list[Dispatch] = []
    ordered = sorted(cluster.tasks, key=lambda task: (task.rank, task.task_id))
    for _, equals in groupby(ordered, key=lambda task: task.rank):
        _share_out(list(equals), rooms, shares, dispatches)
    return dispatches


def _share_out(
    tasks: Sequence[Wanting], rooms: dict[int, NodeRoom], shares: dict[int, Share], dispatches: list[Dispatch]
) -> None:
    """Place what there is room for, account by account, those that hold the least first."""
    waiting: dict[int, deque[Wanting]] = {}
    for task in tasks:
        waiting.setdefault(task.account_id, deque()).append(task)
    turn = _turn(len(waiting), rooms)
    order = [(shares[account].cores, queue[0].task_id, account) for account, queue in waiting.items()]
    heapq.heapify(order)
    while order and any(room.is_open for room in rooms.values()):
        _, _, account = heapq.heappop(order)
        queue, left = waiting[account], turn
        while queue and left > 0:
            task = queue.popleft()
            most = min(left, shares[account].more(task.shape.cores), len(task.waiting))
            took = _serve(task, most, rooms, dispatches)
            shares[account] = shares[account].holding(took, task.shape.cores)
            left -= took
            # What found less room than it asked for finds none later: rooms only shrink. So do quotas.
            if took == most and left == 0 and took < len(task.waiting):
                queue.appendleft(replace(task, waiting=task.waiting - task.waiting.first(took)))
        if queue:
            heapq.heappush(order, (shares[account].cores, queue[0].task_id, account))


def _turn(accounts: int, rooms: Mapping[int, NodeRoom]) -> int:
    """Return how long turns are: fair where room is scarce, quick where there is plenty."""
    if accounts == 1:
        return 1 << 30
    return max(1, min(TURN, sum(int(room.cores) + room.ahead for room in rooms.values()) // (2 * accounts)))


def _serve(task: Wanting, most: int, rooms: dict[int, NodeRoom], dispatches: list[Dispatch]) -> int:
    """Place up to `most` instances where there is room, the emptiest node first; return how many."""
    numbers = task.waiting.first(most)
    if not numbers:
        return 0
    for node_id in sorted(rooms, key=lambda n: (-rooms[n].cores, -rooms[n].ahead, n)):
        count = fits_now(rooms[node_id], task.shape)
        if count <= 0:
            continue
        part = numbers.first(count)
        rooms[node_id] = rooms[node_id].without(len(part), task.shape.cores, task.shape.memory_bytes)
        dispatches.append(Dispatch(task.task_id, node_id, part))
        numbers -= part
        if not numbers:
            break
    return most - len(numbers)
