"""The words between what an agent decides and what it does: attempts, ends of runs, effects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

Key = tuple[int, int, int]  # task, number, attempt


class Phase(IntEnum):
    """How far an attempt is on this node."""

    QUEUED = 0
    READY = 1
    RUNNING = 2
    COLLECTING = 3
    ENDED = 4


@dataclass(slots=True)
class Attempt:
    """One attempt that this node holds."""

    key: Key
    phase: Phase
    cores: float = 0.0
    memory_bytes: int = 0
    confirmed: bool = True  # False: found after a restart, and the server has not said yet that it is ours
    cancelled: bool = False
    dropped: bool = False  # not ours any more: it is being killed, and nothing is told of it
    killed: bool = False
    held_back: bool = False  # its output must be sent again before its end
    verdict: RunEnd | None = None  # why this node killed it, when that is what must be told
    started_at: int | None = None
    exit: RunEnd | None = None
    download_microseconds: int = 0
    is_overdue: bool = False  # it ran longer than it may, and is being killed for that
    has_files: bool = False  # its resources are in its folder
    resources_version: int = 0  # how new those are


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended, as its runtime tells."""

    at: int
    exit_code: int | None = None
    error_code: str = ""  # "" when the exit code tells all
    error_message: str = ""
    lost: bool = False
    returned: bool = False  # lost before it began, by a fault of this node: it costs the instance nothing
    cpu_microseconds: int = 0
    peak_memory: int = 0
    debug: str = ""  # more on the error: the end of what it wrote to stderr


@dataclass(frozen=True, slots=True)
class Filled:
    """What was fetched for an attempt before it started."""

    microseconds: int  # how long that took, its image included
    has_resources: bool = False
    version: int = 0  # how often the user had pushed resources by then


@dataclass(frozen=True, slots=True)
class Prepare:
    """Effect: make the folder, fetch resources and image; answer `prepared` or `failed`."""

    key: Key


@dataclass(frozen=True, slots=True)
class Start:
    """Effect: start the run; answer `started`, then `exited`."""

    key: Key


@dataclass(frozen=True, slots=True)
class Kill:
    """Effect: kill the run with all its children; `exited` follows."""

    key: Key


@dataclass(frozen=True, slots=True)
class Resume:
    """Effect: read the run's output again from these offsets on."""

    key: Key
    stdout_bytes: int
    stderr_bytes: int


@dataclass(frozen=True, slots=True)
class Collect:
    """Effect: hand over the rest of the output, upload results if wanted; answer `collected`."""

    key: Key
    upload: bool


@dataclass(frozen=True, slots=True)
class Discard:
    """Effect: nothing of this attempt is needed any more."""

    key: Key


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Effect: upload what the run has made so far; answer `snapshot_progress`, then `snapshot_over`."""

    snapshot: int
    key: Key
    whitelist: str
    blacklist: str


@dataclass(frozen=True, slots=True)
class Push:
    """Effect: put new and changed resources into the folders of these attempts; answer `pushed` for each."""

    task: int
    version: int


Effect = Prepare | Start | Kill | Resume | Collect | Discard | TakeSnapshot | Push
