"""Builders for tests of the docker runtime: a site with a folder, its specs, and the events that came."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hearth.agent.runtime.base import Exited, Found, Image, Lost, Refused, RunEvent, RunSpec, Started
from hearth.agent.runtime.docker import DockerRuntime

DEADLINE_SECONDS = 60


def now() -> int:
    """The time of this machine, which is also the engine's."""
    return time.time_ns() // 1000


@dataclass
class Runs:
    """An opened runtime, and what it has told so far."""

    runtime: DockerRuntime
    folder: Path
    image: Image
    found: list[Found] = field(default_factory=list)
    told: dict[str, list[RunEvent]] = field(default_factory=dict)

    def spec(self, key: str, *argv: str, **changes: Any) -> RunSpec:
        """A run of `argv` with a folder and spool files of its own."""
        directory = self.folder / key / "job"
        directory.mkdir(parents=True, exist_ok=True)
        made = RunSpec(
            key=key,
            argv=argv,
            environment={},
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

    async def run(self, *argv: str, key: str = "task.0.1", **changes: Any) -> Exited:
        """Start a run and wait for its exit."""
        await self.runtime.start([self.spec(key, *argv, **changes)])
        return await self.exit_of(key)

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
            path = self.folder / key / "stdout"
            while not path.exists() or text not in path.read_bytes():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def opened(docker_host: str, site: str, folder: Path, image: Image, **options: Any) -> AsyncIterator[Runs]:
    """An agent's runtime from its start to its death; containers run on after it."""
    runtime = DockerRuntime(docker_host, site, now, **options)
    runs = Runs(runtime, folder, image)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            runs.found = await runtime.open()
        yield runs
    finally:
        await runtime.close()
