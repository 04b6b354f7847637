"""Starting and stopping through the spawner, when one comes in the middle of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from hearth.agent.runtime.base import RunSpec
from hearth.agent.runtime.spawned import SpawnedRuntime
from hearth.agent.spawner import messages


class Told:
    """The spawner's client, as far as starts and stops go."""

    def __init__(self) -> None:
        self.words: list[tuple[str, str]] = []
        self.known: set[str] = set()

    def start(self, commands: Iterable[messages.Start]) -> None:
        for command in commands:
            self.known.add(command.key)
            self.words.append(("start", command.key))

    def stop(self, key: str) -> None:
        if key in self.known:
            self.words.append(("stop", key))


class Slow(SpawnedRuntime):
    """A runtime that takes its time to make a run ready."""

    name = "slow"

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.told = Told()
        self._client = self.told  # type: ignore[assignment]
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.broken: str | None = None

    async def _command(self, spec: RunSpec) -> messages.Start:
        self.asked.set()
        await self.go_on.wait()
        if spec.key == self.broken:
            raise RuntimeError("broken")
        return messages.Start(spec.key, spec.argv, {}, "/", str(spec.stdout), str(spec.stderr))


def a_spec(key: str) -> RunSpec:
    return RunSpec(key, ("true",), {}, Path("/d"), Path("/o"), Path("/e"))


async def test_a_run_that_is_stopped_while_it_is_made_ready_is_stopped_when_it_has_started():
    runtime = Slow()
    starting = asyncio.create_task(runtime.start([a_spec("1.0.1"), a_spec("1.1.1")]))
    await runtime.asked.wait()
    await runtime.stop("1.1.1")
    runtime.go_on.set()
    await starting
    assert runtime.told.words == [("start", "1.0.1"), ("start", "1.1.1"), ("stop", "1.1.1")]


async def test_a_stop_before_or_after_the_start_is_told_once():
    runtime = Slow()
    runtime.go_on.set()
    await runtime.stop("1.0.1")
    await runtime.start([a_spec("1.0.1")])
    assert runtime.told.words == [("start", "1.0.1")]
    await runtime.stop("1.0.1")
    assert runtime.told.words[1:] == [("stop", "1.0.1")]


async def test_runs_that_were_ready_start_though_another_one_breaks():
    runtime = Slow()
    runtime.broken = "1.1.1"
    runtime.go_on.set()
    with pytest.raises(RuntimeError):
        await runtime.start([a_spec("1.0.1"), a_spec("1.1.1"), a_spec("1.2.1")])
    assert runtime.told.words == [("start", "1.0.1")]
