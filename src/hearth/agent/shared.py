"""What the parts of one agent share: its decisions, its folders, its connections, and how they talk to each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from hearth.agent.attempt import Effect, Key, RunEnd
from hearth.agent.command import run_spec
from hearth.agent.folders import Folders
from hearth.agent.link import Link
from hearth.agent.logic import Logic
from hearth.agent.resources import Resources
from hearth.agent.runtime.base import RunSpec, Runtime
from hearth.agent.tail import Tails
from hearth.domain.command import expand
from hearth.wire import agent as wire

RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(slots=True)
class Shared:
    """The agent, as its parts see it."""

    logic: Logic
    link: Link
    runtime: Runtime
    folders: Folders
    resources: Resources
    tails: Tails
    carry_out: Callable[[list[Effect]], None]
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    in_folder: Callable[[Key, Coroutine[Any, Any, None]], None]  # spawn a job that uses the attempt's folder
    using: Callable[[Key], AbstractContextManager[None]]  # nobody else gets the attempt's folder meanwhile
    news: Callable[[], None]  # there may be something to report
    specs: dict[Key, RunSpec] = field(default_factory=dict)
    notes: dict[Key, list[str]] = field(default_factory=dict)  # for people, told with the end
    is_server_away: bool = False

    def note(self, key: Key, notes: list[str]) -> None:
        """Tell these with the end of the attempt, each once."""
        if notes and key in self.logic.attempts:
            before = self.notes.setdefault(key, [])
            before += [note for note in dict.fromkeys(notes) if note not in before]

    def expanded(self, key: Key, work: wire.Work, *patterns: str) -> list[str]:
        """Return patterns with the references to constants replaced (contract: 1.3)."""
        if not any(patterns):
            return list(patterns)
        spec = self.specs.get(key) or run_spec(work, key, self.folders, self.runtime)
        return [expand(pattern, spec.environment) for pattern in patterns]


def wall() -> int:
    """Return the time of the wall clock in microseconds."""
    return time.time_ns() // 1000


def retry_seconds(failures: int) -> float:
    """Return how long to wait after so many failures in a row before this one."""
    return RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]


def broken(what: str, error: BaseException) -> RunEnd:
    """Return the end of an attempt that this node failed: it may run elsewhere."""
    return RunEnd(wall(), lost=True, error_message=could_not(what, error))


def could_not(what: str, error: BaseException) -> str:
    """Say what this node could not do, and why."""
    return f"the node could not {what}: {error or type(error).__name__}"
