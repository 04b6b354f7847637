"""A machine that runs things: what the runtime contract needs to know of each runtime, and builders."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hearth.agent.runtime.base import Exited, Found, Image, Lost, Refused, RunEvent, RunSpec, Runtime, Started
from hearth.agent.spawner.client import launch

DEADLINE_SECONDS = 60
MEBIBYTE = 1024 * 1024
PATH = "/usr/local/bin:/usr/bin:/bin"


def now() -> int:
    """The time of this machine."""
    return time.time_ns() // 1000


def running(mark: str) -> list[int]:
    """Return the ids of the processes of this machine whose last word is `mark`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[-2:-1] == [mark.encode()]:
                found.append(int(entry.name))
    return found


class Spawner:
    """A spawner process of a site of its own."""

    def __init__(self, folder: Path, site: str) -> None:
        self.folder = folder
        self.site = site
        self.socket = folder / "spawner.sock"
        self.pid_file = folder / "spawner.pid"
        self.process = self._launch()

    def _launch(self) -> subprocess.Popen[bytes]:
        return launch(self.socket, self.site, self.pid_file)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(timeout=DEADLINE_SECONDS)

    def terminate(self) -> int:
        """End it in order; return its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=DEADLINE_SECONDS)

    def restart(self) -> None:
        """Start another one of the same site."""
        self.process = self._launch()


@dataclass
class Machine:
    """One runtime, as agents of one site make it again and again."""

    make: Callable[..., Runtime]
    folder: Path
    image: Image | None = None
    spawner: Spawner | None = None

    def through(self, socket: Path) -> "Machine":
        """Return the same machine, its spawner reached by another path."""
        return replace(self, make=lambda: self.make(socket))

    @asynccontextmanager
    async def agent(self) -> AsyncIterator["Runs"]:
        """An agent from its start to its death; runs go on after it."""
        runtime = self.make()
        runs = Runs(runtime, self.folder, self.image)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                runs.found = await runtime.open()
            yield runs
        finally:
            await runtime.close()


@dataclass
class Runs:
    """An agent's opened runtime, and what it has told so far."""

    runtime: Runtime
    folder: Path
    image: Image | None
    found: list[Found] = field(default_factory=list)
    told: dict[str, list[RunEvent]] = field(default_factory=dict)

    def spec(self, key: str, *argv: str, **changes: Any) -> RunSpec:
        """A run of `argv` with a folder and spool files of its own."""
        directory = self.folder / key / "job"
        directory.mkdir(parents=True, exist_ok=True)
        made = RunSpec(
            key=key,
            argv=argv,
            environment={"PATH": PATH},
            directory=directory,
            stdout=self.folder / key / "stdout",
            stderr=self.folder / key / "stderr",
            image=self.image,
        )
        return replace(made, **changes)

    async def until(self, key: str, condition: Callable[[RunEvent], bool]) -> RunEvent:
        """Return the first event of run `key` that fits, past or to come."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                for event in self.told.get(key, []):
                    if condition(event):
                        return event
                event = await self.runtime.events.get()
                self.told.setdefault(event.key, []).append(event)

    async def end_of(self, key: str) -> RunEvent:
        """Wait for the end of a run, however it ended."""
        return await self.until(key, lambda event: isinstance(event, (Exited, Refused, Lost)))

    async def started(self, key: str) -> Started:
        event = await self.until(key, lambda event: isinstance(event, Started))
        assert isinstance(event, Started)
        return event

    async def exit_of(self, key: str) -> Exited:
        event = await self.end_of(key)
        assert isinstance(event, Exited), event
        return event

    async def lost(self, key: str) -> Lost:
        event = await self.end_of(key)
        assert isinstance(event, Lost), event
        return event

    async def run(self, *argv: str, key: str = "task.0.1", **changes: Any) -> Exited:
        """Start a run and wait for its exit."""
        await self.runtime.start([self.spec(key, *argv, **changes)])
        return await self.exit_of(key)

    async def sh(self, script: str, key: str = "task.0.1", **changes: Any) -> Exited:
        """Run a shell script."""
        return await self.run("sh", "-c", script, key=key, **changes)

    async def refused(self, *argv: str, key: str = "task.0.1", **changes: Any) -> Refused:
        await self.runtime.start([self.spec(key, *argv, **changes)])
        event = await self.end_of(key)
        assert isinstance(event, Refused), event
        return event

    def stdout(self, key: str = "task.0.1") -> bytes:
        return (self.folder / key / "stdout").read_bytes()

    def stderr(self, key: str = "task.0.1") -> bytes:
        return (self.folder / key / "stderr").read_bytes()

    async def shown(self, key: str, text: bytes) -> None:
        """Wait until a run has shown `text` on stdout."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            # A file gives no signal.
            while not (self.folder / key / "stdout").exists() or text not in self.stdout(key):
                await asyncio.sleep(0.01)


def unique_seconds(folder: Path, name: str) -> str:
    """Return a long time for `sleep`, by which that process is recognised among all of the machine."""
    return f"86401.{abs(hash((str(folder), name))) % 10**9:09d}"


async def gone(mark: str) -> None:
    """Wait until no process of this machine has `mark` as its last word."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        # The end of a process of others gives no signal.
        while running(mark):
            await asyncio.sleep(0.01)


def site_name(folder: Path) -> str:
    """A site that no other test has."""
    return f"test-{os.getpid()}-{abs(hash(str(folder))):x}"
