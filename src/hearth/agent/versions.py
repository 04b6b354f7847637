"""How new the resources are that this node's attempts have, and where newer ones must be pushed.

A user may push resources into a running task; the server counts how often. An attempt that was filled after
that has them already. One that was filled before gets a push, and the node tells the lowest number that all its
attempts of the task have.
"""

from __future__ import annotations

from collections.abc import Iterable

from hearth.agent.attempt import Attempt, Phase, Push
from hearth.wire import agent as wire


class Versions:
    """The newest version of each task's resources that was heard of."""

    def __init__(self) -> None:
        self._heard: dict[int, int] = {}

    def hear(self, task: int, version: int) -> bool:
        """Take in the version of a task; answer whether it is news."""
        if version <= self._heard.get(task, 0):
            return False
        self._heard[task] = version
        return True

    def of(self, task: int) -> int:
        """Return the version that a listing of the task's resources has at least, if it is asked for now."""
        return self._heard.get(task, 0)

    def forget(self, task: int) -> None:
        """The node has no attempt of the task any more."""
        self._heard.pop(task, None)

    def push(self, task: int, attempts: Iterable[Attempt]) -> list[Push]:
        """Return the push that a task's attempts need now."""
        version = self.of(task)
        return [Push(task, version)] if any(lacks(attempt, version) for attempt in attempts) else []

    def tell(self, attempts: Iterable[Attempt]) -> dict[int, int]:
        """Return what this node has of each task whose resources were pushed."""
        if not self._heard:
            return {}
        told = dict(self._heard)
        for attempt in attempts:
            task = attempt.key[0]
            if task in told and lacks(attempt, told[task]):
                told[task] = attempt.resources_version
        return told


def lacks(attempt: Attempt, version: int) -> bool:
    """Answer whether an attempt has a folder with resources older than this, and may still read them."""
    may_read = attempt.phase is Phase.READY or (attempt.phase is Phase.RUNNING and attempt.exit is None)
    return attempt.has_files and may_read and not attempt.dropped and attempt.resources_version < version


def newest(updates: Iterable[wire.Update], works: Iterable[wire.Work]) -> dict[int, int]:
    """Return the versions that orders tell."""
    versions: dict[int, int] = {}
    told = [(work.task, work.resources_version) for work in works]
    for task, version in [*told, *((update.task, update.version) for update in updates)]:
        versions[task] = max(versions.get(task, 0), version)
    return {task: version for task, version in versions.items() if version}
