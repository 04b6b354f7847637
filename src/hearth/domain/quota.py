"""What an account may have at once. The claim and the submit check it in the transaction that would exceed it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hearth.domain.errors import QuotaExceeded


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one account (contract: UserInfo); 0 stands for no limit."""

    max_tasks: int = 100_000
    max_running_tasks: int = 100_000  # with instances on nodes; further ones wait
    max_instances: int = 1_000_000  # on nodes at the same time
    max_cores: int = 1_000_000
    max_buckets: int = 10_000
    max_bucket_bytes: int = 0
    max_pools: int = 1_000
    max_running_pools: int = 1_000
    max_jobs: int = 100_000
    max_instances_per_task: int = 10_000_000


def require_room_for_tasks(limits: Limits, have: int, more: int) -> None:
    """Raise `QuotaExceeded` in the words that clients match on when `more` tasks are too many."""
    if limits.max_tasks and have + more > limits.max_tasks:
        raise QuotaExceeded(
            f"Maximum number of tasks reached: {have} of {limits.max_tasks}; delete tasks that ended, "
            "or submit them with autoDeleteOnCompletion"
        )


def tasks_left(limits: Limits, running: int) -> int:
    """Return how many more tasks may have instances on nodes."""
    return max(0, limits.max_running_tasks - running) if limits.max_running_tasks else 1 << 40


def instances_left(limits: Limits, live: int, live_cores: float, cores_each: float) -> int:
    """Return how many more instances of `cores_each` cores may go to nodes now."""
    left = limits.max_instances - live if limits.max_instances else 1 << 40
    if limits.max_cores and cores_each > 0:
        left = min(left, int((limits.max_cores - live_cores) / cores_each + 1e-9))
    return max(0, left)


@dataclass(frozen=True, slots=True)
class Share:
    """What an account may have on nodes, and what it holds there."""

    limits: Limits
    instances: int
    cores: float
    running_tasks: int = 0

    def more(self, cores_each: float) -> int:
        """Return how many more instances of so many cores may go to nodes."""
        return instances_left(self.limits, self.instances, self.cores, cores_each)

    def holding(self, count: int, cores_each: float) -> Share:
        """Return the share with so many more."""
        return replace(self, instances=self.instances + count, cores=self.cores + count * cores_each)
