"""What a task is, computed from its instances.

A task has no state of its own: `task_state` derives it from the counts, in the transaction that changes them.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec.structs import replace

from hearth.domain.instance import InstanceState
from hearth.domain.ranges import EMPTY, RangeSet


class TaskState(StrEnum):
    """The states that users see (contract: eleven, in the wire's spelling)."""

    SUBMITTED = "Submitted"
    PARTIALLY_DISPATCHED = "PartiallyDispatched"
    FULLY_DISPATCHED = "FullyDispatched"
    PARTIALLY_EXECUTING = "PartiallyExecuting"
    FULLY_EXECUTING = "FullyExecuting"
    UPLOADING_RESULTS = "UploadingResults"
    SUCCESS = "Success"
    FAILURE = "Failure"
    CANCELLED = "Cancelled"
    PENDING_CANCEL = "PendingCancel"
    PENDING_DELETE = "PendingDelete"

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({TaskState.SUCCESS, TaskState.FAILURE, TaskState.CANCELLED})


class Progress(msgspec.Struct, frozen=True):
    """How far the instances of one task are: who waits, who ended how, and how many are in between."""

    total: int
    waiting: RangeSet
    dispatched: int = 0
    running: int = 0
    uploading: int = 0
    cancelling: int = 0
    succeeded: RangeSet = EMPTY
    failed: RangeSet = EMPTY
    cancelled: RangeSet = EMPTY
    started: RangeSet = EMPTY  # ran at least once

    @property
    def ended(self) -> int:
        return len(self.succeeded) + len(self.failed) + len(self.cancelled)

    @property
    def is_over(self) -> bool:
        return self.ended == self.total

    @property
    def live(self) -> int:
        """How many are on nodes."""
        return self.dispatched + self.running + self.uploading + self.cancelling

    def check(self) -> None:
        """Raise AssertionError when the parts do not make the whole."""
        assert len(self.waiting) + self.live + self.ended == self.total, self
        assert min(self.dispatched, self.running, self.uploading, self.cancelling) >= 0, self
        for left, right in (
            (self.waiting, self.succeeded),
            (self.waiting, self.failed),
            (self.waiting, self.cancelled),
            (self.succeeded, self.failed),
            (self.succeeded, self.cancelled),
            (self.failed, self.cancelled),
        ):
            assert not left & right, self


_COUNTED = {
    InstanceState.DISPATCHED: "dispatched",
    InstanceState.RUNNING: "running",
    InstanceState.UPLOADING: "uploading",
    InstanceState.CANCELLING: "cancelling",
}
_LISTED = {
    InstanceState.WAITING: "waiting",
    InstanceState.SUCCEEDED: "succeeded",
    InstanceState.FAILED: "failed",
    InstanceState.CANCELLED: "cancelled",
}


class Moves:
    """Collects how instances of one task moved, then gives the progress after all of it."""

    __slots__ = ("_counts", "_listed", "_started")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._listed: dict[str, dict[int, bool]] = {}  # by range set: who is in it after all moves, who is not
        self._started: list[int] = []

    def add(self, number: int, before: InstanceState, after: InstanceState) -> None:
        """Note that instance `number` went from `before` to `after`."""
        if before is after:
            return
        for state, is_in in ((before, False), (after, True)):
            name = _COUNTED.get(state)
            if name is None:
                self._listed.setdefault(_LISTED[state], {})[number] = is_in
            else:
                self._counts[name] = self._counts.get(name, 0) + (1 if is_in else -1)

    def started(self, number: int) -> None:
        """Note that instance `number` ran."""
        self._started.append(number)

    def apply(self, progress: Progress) -> Progress:
        """Return the progress after the moves."""
        changes: dict[str, int | RangeSet] = {
            name: getattr(progress, name) + step for name, step in self._counts.items()
        }
        for name, moved in self._listed.items():
            value: RangeSet = getattr(progress, name)
            gone = RangeSet.of(number for number, is_in in moved.items() if not is_in)
            changes[name] = (value - gone) | RangeSet.of(number for number, is_in in moved.items() if is_in)
        if self._started:
            changes["started"] = progress.started | RangeSet.of(self._started)
        return replace(progress, **changes)


def task_state(progress: Progress, *, cancel_requested: bool, delete_requested: bool) -> TaskState:
    """Return the state that these counts make (contract: platform semantics, section 3)."""
    if progress.is_over:
        if progress.cancelled:
            return TaskState.CANCELLED
        return TaskState.FAILURE if progress.failed else TaskState.SUCCESS
    if delete_requested:
        return TaskState.PENDING_DELETE
    if cancel_requested:
        return TaskState.PENDING_CANCEL
    queued = bool(progress.waiting) or progress.dispatched > 0
    if progress.running:
        return TaskState.PARTIALLY_EXECUTING if queued else TaskState.FULLY_EXECUTING
    if not queued:
        return TaskState.UPLOADING_RESULTS
    if progress.ended or progress.uploading:
        return TaskState.PARTIALLY_EXECUTING  # between two runs; a task never goes back to its dispatch
    if progress.dispatched:
        return TaskState.PARTIALLY_DISPATCHED if progress.waiting else TaskState.FULLY_DISPATCHED
    return TaskState.SUBMITTED
