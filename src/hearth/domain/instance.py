"""The life of one instance, as a pure function.

    WAITING ──Claimed──► DISPATCHED ──Started──► RUNNING ──Exited──► UPLOADING
       ▲                     │                      │                    │
       │                     └──────────┬───────────┴────────────────────┤
       │   Lost, or Ended unwell        │                                │ Ended
       └── with retries left ◄──────────┤                                ▼
                                        │                 SUCCEEDED | FAILED
                                        ▼
    WAITING ──Cancelled──► CANCELLED ◄──Ended── CANCELLING

The fence is the attempt: an event of any attempt but the current one raises `StaleLease`, and so does any
event after the end. Agents report at least once, so an event which is already true changes nothing.
A lost attempt does not count as a failure of the user's; it has a cap of its own. CANCELLING is left only by
the word of the node that holds the attempt (its container is gone) or by the loss of that node.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import assert_never

import msgspec
from msgspec.structs import replace

from hearth.domain.errors import StaleLease, TransitionRefused

# The code of an attempt that its node gave back before it began.
NODE_FAULT = "NODE_FAULT"


class InstanceState(IntEnum):
    """Where an instance is; the numbers are stored."""

    WAITING = 0
    DISPATCHED = 1
    RUNNING = 2
    UPLOADING = 3
    CANCELLING = 4
    SUCCEEDED = 5
    FAILED = 6
    CANCELLED = 7

    @property
    def is_final(self) -> bool:
        return self >= InstanceState.SUCCEEDED

    @property
    def is_live(self) -> bool:
        """Answer whether a node may hold it."""
        return InstanceState.DISPATCHED <= self <= InstanceState.CANCELLING


class Phase(IntEnum):
    """What a node does with an attempt that it holds (contract: phase of a running instance)."""

    DOWNLOAD = 0
    ENVIRONMENT = 1
    EXECUTION = 2
    UPLOAD = 3
    SHUTDOWN = 4


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt did not succeed: a stable code, and a sentence for people."""

    code: str
    message: str


class Instance(msgspec.Struct, frozen=True):
    """One numbered run of a task. A struct: thousands are made a second, several times faster than a dataclass."""

    task_id: int
    number: int
    state: InstanceState = InstanceState.WAITING
    attempt: int = 0  # 0: never claimed
    failures: int = 0
    losses: int = 0
    node_id: int | None = None
    boot: int | None = None
    dispatched_at: int | None = None
    started_at: int | None = None
    exited_at: int | None = None
    ended_at: int | None = None
    exit_code: int | None = None
    failure: Failure | None = None
    cpu_microseconds: int = 0
    peak_memory: int = 0
    machine_id: int | None = None  # the kind of machine of the newest attempt
    download_microseconds: int = 0


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How often a failed instance may be tried again (contract: RetrySettings; None or 0 means no limit given).

    Both absent: never. One set: that limit alone. Both: the stricter.
    """

    total: int | None = None
    per_instance: int | None = None

    def allows(self, failures: int, task_retries: int) -> bool:
        """Answer whether one more try is due after `failures` of this instance and `task_retries` of its task."""
        if not self.total and not self.per_instance:
            return False
        return (not self.total or task_retries < self.total) and (
            not self.per_instance or failures <= self.per_instance
        )


@dataclass(frozen=True, slots=True)
class Claimed:
    """A node was given the next attempt."""

    node_id: int
    boot: int
    at: int
    machine_id: int | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The command runs."""

    attempt: int
    at: int
    download_microseconds: int = 0


@dataclass(frozen=True, slots=True)
class Exited:
    """The command is over; its results are on their way."""

    attempt: int
    exit_code: int
    at: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The attempt is over, and so is its container. No failure means success."""

    attempt: int
    at: int
    exit_code: int | None = None
    failure: Failure | None = None
    started_at: int | None = None
    exited_at: int | None = None
    cpu_microseconds: int = 0
    peak_memory: int = 0
    download_microseconds: int = 0
    retry: bool = False  # whether the task's rule allows one more try, if this one failed
    results_wanted: bool = False  # whether its results are to be shown although it was cancelled


@dataclass(frozen=True, slots=True)
class Lost:
    """The node no longer holds the attempt, and nobody can say how it went."""

    attempt: int
    at: int
    reason: str
    losses_allowed: int
    counts: bool = True  # False: the node gave it back before it began


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The user does not want it any more."""

    at: int


Event = Claimed | Started | Exited | Ended | Lost | Cancelled


@dataclass(frozen=True, slots=True)
class Retried:
    """Effect: the attempt is over but the instance is not; keep the attempt's story."""

    attempt: int
    failure: Failure
    counts: bool  # against the user's retries


@dataclass(frozen=True, slots=True)
class Published:
    """Effect: this attempt is the instance's; make its results visible."""

    attempt: int


@dataclass(frozen=True, slots=True)
class StopWanted:
    """Effect: the node must stop the attempt."""

    node_id: int
    attempt: int


Effect = Retried | Published | StopWanted


def advance(instance: Instance, event: Event) -> tuple[Instance, list[Effect]]:
    """Return the instance after `event`, and what the outside world must now do."""
    match event:
        case Claimed(node_id, boot, at, machine_id):
            if instance.state is not InstanceState.WAITING:
                raise TransitionRefused(f"instance {instance.number} is {instance.state.name}, not WAITING")
            return (
                Instance(
                    task_id=instance.task_id,
                    number=instance.number,
                    state=InstanceState.DISPATCHED,
                    attempt=instance.attempt + 1,
                    failures=instance.failures,
                    losses=instance.losses,
                    node_id=node_id,
                    boot=boot,
                    dispatched_at=at,
                    machine_id=machine_id,
                ),
                [],
            )
        case Started(attempt, at, download):
            _require_current(instance, attempt)
            if instance.state is not InstanceState.DISPATCHED:
                return instance, []  # told twice, or it came after what follows it
            started = replace(instance, state=InstanceState.RUNNING, started_at=at, download_microseconds=download)
            return started, []
        case Exited(attempt, exit_code, at):
            _require_current(instance, attempt)
            if instance.state not in (InstanceState.DISPATCHED, InstanceState.RUNNING):
                return instance, []
            return replace(instance, state=InstanceState.UPLOADING, exit_code=exit_code, exited_at=at), []
        case Ended(attempt):
            _require_current(instance, attempt)
            return _end(instance, event)
        case Lost(attempt):
            _require_current(instance, attempt)
            return _lose(instance, event)
        case Cancelled(at):
            if instance.state.is_final or instance.state is InstanceState.CANCELLING:
                return instance, []
            if instance.state is InstanceState.WAITING:
                return replace(instance, state=InstanceState.CANCELLED, ended_at=at), []
            assert instance.node_id is not None
            return (
                replace(instance, state=InstanceState.CANCELLING),
                [StopWanted(instance.node_id, instance.attempt)],
            )
        case _:
            assert_never(event)


def _require_current(instance: Instance, attempt: int) -> None:
    if attempt != instance.attempt or not instance.state.is_live:
        raise StaleLease(instance.task_id, instance.number, attempt, instance.attempt)


def _end(instance: Instance, event: Ended) -> tuple[Instance, list[Effect]]:
    measured = replace(
        instance,
        node_id=None,
        boot=None,
        started_at=event.started_at if event.started_at is not None else instance.started_at,
        exited_at=event.exited_at if event.exited_at is not None else instance.exited_at,
        exit_code=event.exit_code,
        failure=event.failure,
        cpu_microseconds=event.cpu_microseconds,
        peak_memory=event.peak_memory,
        download_microseconds=event.download_microseconds or instance.download_microseconds,
        ended_at=event.at,
    )
    if instance.state is InstanceState.CANCELLING:
        return replace(measured, state=InstanceState.CANCELLED), [Published(event.attempt)] * event.results_wanted
    if event.failure is None:
        return replace(measured, state=InstanceState.SUCCEEDED), [Published(event.attempt)]
    failed = replace(measured, failures=instance.failures + 1)
    if event.retry:
        again = replace(failed, state=InstanceState.WAITING, ended_at=None)
        return again, [Retried(event.attempt, event.failure, counts=True)]
    # What a failed instance wrote is shown too: users fetch the good part of a bad run.
    return replace(failed, state=InstanceState.FAILED), [Published(event.attempt)]


def _lose(instance: Instance, event: Lost) -> tuple[Instance, list[Effect]]:
    # What has begun counts always: it may have brought the node down itself, again and again.
    counts = event.counts or instance.state is not InstanceState.DISPATCHED
    gone = replace(instance, node_id=None, boot=None, losses=instance.losses + counts)
    if instance.state is InstanceState.CANCELLING:
        return replace(gone, state=InstanceState.CANCELLED, ended_at=event.at), []
    failure = Failure("NODE_LOST" if counts else NODE_FAULT, event.reason)
    if not counts or gone.losses <= event.losses_allowed:
        return replace(gone, state=InstanceState.WAITING), [Retried(event.attempt, failure, counts=False)]
    told = Failure("NODE_LOST_TOO_OFTEN", f"{event.reason}; this was node loss number {gone.losses} of this instance")
    return replace(gone, state=InstanceState.FAILED, failure=told, ended_at=event.at), []
