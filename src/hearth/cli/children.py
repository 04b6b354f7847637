"""Processes that outlive their parent: started, found again by their pid file, waited for by a pidfd."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Child:
    """A process that we keep, whether we started it or took it over."""

    pid: int
    handle: int  # a pidfd: it names this process, not the next one with its number
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def is_alive(self) -> bool:
        """Answer whether it runs."""
        if self.process is not None:
            return self.process.poll() is None
        return not select.select([self.handle], [], [], 0)[0]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens when it is gone."""
        try:
            signal.pidfd_send_signal(self.handle, number)
        except ProcessLookupError:
            pass

    async def ended(self) -> str:
        """Wait for its end, and say how it ended as far as that can be known."""
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        loop.add_reader(self.handle, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(self.handle)
        if self.process is None:
            return "not our child: nobody knows how"
        code = self.process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def start(command: Sequence[str], *, pid_file: Path, writes_pid_file: bool, log: Path) -> Child:
    """Start a process in a session of its own, its words going to `log`."""
    with log.open("ab") as words, open(os.devnull, "rb") as nothing:
        process = subprocess.Popen(command, stdin=nothing, stdout=words, stderr=words, start_new_session=True)
    if not writes_pid_file:
        part = pid_file.with_suffix(".part")
        part.write_text(f"{process.pid}\n", "ascii")
        part.rename(pid_file)
    return Child(process.pid, os.pidfd_open(process.pid), process)


def adopt(pid_file: Path, mark: Sequence[str]) -> Child | None:
    """Return the process that a pid file names, if it lives and its command line has all these words."""
    try:
        pid = int(pid_file.read_text("ascii"))
        handle = os.pidfd_open(pid)
    except (FileNotFoundError, ValueError, ProcessLookupError, OSError):
        return None
    if not is_ours(pid, mark):
        os.close(handle)
        return None
    return Child(pid, handle)


def is_ours(pid: int, mark: Sequence[str]) -> bool:
    """Answer whether the command line of a process has all these words."""
    words = command_of(pid)
    return all(word in words for word in mark)


def command_of(pid: int) -> list[str]:
    """Return the command line of a process; nothing when it is gone."""
    try:
        return [os.fsdecode(word) for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]]
    except OSError:
        return []
