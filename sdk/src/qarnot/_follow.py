"""Waiting for a task, and showing what it does meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from qarnot._progress import ProgressLine

if TYPE_CHECKING:
    from qarnot.task import Task

# `wait` ends with any other state.
RUNNING_STATES: Final = frozenset(
    {
        "Submitted",
        "PartiallyDispatched",
        "FullyDispatched",
        "PartiallyExecuting",
        "FullyExecuting",
        "DownloadingResults",
        "UploadingResults",
        "PendingCancel",
    }
)

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0
_FOLLOWING_PAUSE_SECONDS: Final = 0.5


@dataclass(slots=True)
class Follower:
    """What is shown of a task while somebody waits for it."""

    task: Task
    live_progress: bool
    state: bool
    stdout: bool
    stderr: bool
    line: ProgressLine = field(default_factory=ProgressLine)
    _last_state: str | None = None

    def pauses(self) -> _Pauses:
        """Return the pauses between two looks: short and even when somebody watches."""
        watched = self.live_progress or self.state or self.stdout or self.stderr
        return _Pauses(_FOLLOWING_PAUSE_SECONDS if watched else _LONGEST_PAUSE_SECONDS)

    def look(self) -> None:
        """Show what is new."""
        if self.state or self.stdout or self.stderr:
            self._last_state = self.task.print_progress(self.state, self._last_state, self.stdout, self.stderr)
        if self.live_progress:
            self.line.show(self.task._progress / 100, self.task._state)

    def end(self) -> None:
        """Leave the terminal tidy."""
        self.line.end()


@dataclass(slots=True)
class _Pauses:
    longest: float
    _next: float = _FIRST_PAUSE_SECONDS

    def next(self) -> float:
        pause = min(self._next, self.longest)
        self._next = min(self._next * 1.5, self.longest)
        return pause


def wait(follower: Follower, timeout: float | None) -> bool:
    """Return True when the task is over, False when `timeout` seconds were."""
    task = follower.task
    connection = task._connection
    deadline = None if timeout is None else connection._now() + timeout
    pauses = follower.pauses()
    try:
        while True:
            task._fetch(keep_changes=True)
            follower.look()
            if task._state not in RUNNING_STATES:
                return True
            left = None if deadline is None else deadline - connection._now()
            if left is not None and left <= 0:
                return False
            pause = pauses.next()
            connection._sleep(pause if left is None else min(pause, left))
    finally:
        follower.end()
