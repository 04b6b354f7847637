"""What isolates an instance: the protocol that docker, sandbox and process keep.

A *run* is one attempt of one instance on this node. The agent makes the run's folder and puts the
resources in it, then hands a `RunSpec` to the runtime; the runtime starts it, writes its two output
streams to the spool files, and tells what happened through `events`. A run stays known to the runtime
(so that an agent which died and returned finds it) until `forget`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Image:
    """A container image and the right to pull it."""

    reference: str  # as an engine takes it: [registry/]repository:tag
    login: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RunSpec:
    """All that a runtime needs to start one attempt."""

    key: str  # "<task>.<number>.<attempt>": unique on this site for ever
    argv: tuple[str, ...] = field(repr=False)  # empty: the image's own command. It may hold secrets
    # Complete: nothing of the agent's own environment is inherited. It may hold secrets.
    environment: dict[str, str] = field(repr=False)
    directory: Path  # the host folder that becomes the working folder; exists
    stdout: Path  # spool file, appended to; its folder exists
    stderr: Path
    image: Image | None = None
    mount_point: str = "/job"  # where `directory` appears inside; `process` ignores it
    working_directory: str = ""  # inside; empty: mount_point
    user: str = ""
    hostname: str = ""
    network: bool = False
    cores: float = 1.0
    memory_bytes: int = 0  # 0: no limit
    pids: int = 4096


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run has used so far; a value that cannot be measured is 0."""

    cpu_microseconds: int = 0
    memory_bytes: int = 0
    peak_memory_bytes: int = 0
    network_in_bytes: int = 0  # 0 too for a run without a network of its own
    network_out_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """The command runs."""

    key: str
    at: int  # microseconds UTC


@dataclass(frozen=True, slots=True)
class Exited:
    """The command and every process that it left behind are gone; the spool files are complete."""

    key: str
    at: int
    exit_code: int  # 128 + signal when a signal ended it, as shells count
    usage: Usage
    started_at: int
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The run could not start and it is the user's to mend (no such command, no such image, ...)."""

    key: str
    at: int
    exit_code: int  # 127 not found, 126 not executable, 125 otherwise, as container engines count
    code: str  # stable, UPPER_SNAKE: "COMMAND_NOT_FOUND", "COMMAND_NOT_EXECUTABLE", "IMAGE_NOT_FOUND", ...
    message: str  # for people: what was wrong and what would be right


@dataclass(frozen=True, slots=True)
class Lost:
    """The run ended and nobody can tell how: its spawner or engine died. Not the user's failure."""

    key: str
    at: int
    message: str
    is_fault: bool = False  # it has not begun, and this machine is why


RunEvent = Started | Exited | Refused | Lost


@dataclass(frozen=True, slots=True)
class Found:
    """A run that outlived the agent which started it."""

    key: str
    started_at: int
    exited: Exited | None  # None while it runs


class Runtime(Protocol):
    """One way to isolate runs. Methods never block the loop; `events` carries all outcomes, in order per run."""

    name: str
    isolated: bool
    takes_images: bool
    events: asyncio.Queue[RunEvent]

    async def open(self) -> list[Found]:
        """Connect, and return every run of this site that is still known, with spool files made whole."""
        ...

    async def prepare(self, image: Image) -> Refused | None:
        """Make the image present on this node; a `Refused` (with an empty key) when that cannot be."""
        ...

    async def start(self, specs: Sequence[RunSpec]) -> None:
        """Start runs; a key that is known already is left as it is (starting twice is safe)."""
        ...

    async def stop(self, key: str) -> None:
        """Kill the run with all its children; its end follows as an event. Unknown keys: nothing happens."""
        ...

    async def usage(self, key: str) -> Usage:
        """Measure a running run now; zeros when it is not known."""
        ...

    def renew(self, until: float | None) -> None:
        """Let runs go on until this second of CLOCK_BOOTTIME; None: as long as they like.

        What outlives the agent and can kill does so then; where nothing can, an agent that returns does.
        """
        ...

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop ended runs (containers, cgroups, statuses). Spool files and folders are the agent's."""
        ...

    async def close(self) -> None:
        """Let go of connections; runs go on."""
        ...
