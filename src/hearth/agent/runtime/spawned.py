"""What the runtimes of the spawner have in common: words in, words out, and how runs are measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hearth.agent.runtime.base import Exited, Found, Image, Lost, Refused, RunEvent, RunSpec, Started, Usage
from hearth.agent.spawner import cgroups, messages, procfs
from hearth.agent.spawner.client import SpawnerClient


def now_microseconds() -> int:
    """Return the time of the wall clock."""
    return time.time_ns() // 1000


class SpawnedRuntime:
    """A runtime whose processes belong to the spawner; a subclass says how a command becomes isolated."""

    name = ""
    isolated = False
    takes_images = False

    def __init__(self, socket_path: Path, *, clock: Callable[[], int] = now_microseconds) -> None:
        self.events: asyncio.Queue[RunEvent] = asyncio.Queue()
        self._clock = clock
        self._client = SpawnerClient(socket_path, self.name, self._heard, clock)
        self._pids: dict[str, int] = {}
        self._starting: set[str] = set()
        self._stopped: set[str] = set()  # stopped while they were made ready to start
        self._measured: dict[str, Usage] = {}  # what the end tells is less where the machine has no cgroups

    @property
    def limits(self) -> bool:
        """Whether processor, memory and process limits are enforced here."""
        return False

    async def open(self) -> list[Found]:
        """Connect to the spawner, and return every run that it still knows."""
        found: list[Found] = []
        for event in await self._client.open():
            match event:
                case messages.Started(key, pid, at):
                    self._pids[key] = pid
                    found.append(Found(key, at, None))
                case messages.Ended():
                    outcome = self._outcome(event)
                    found.append(Found(event.key, event.started_at, outcome if isinstance(outcome, Exited) else None))
                    if not isinstance(outcome, Exited):
                        self.events.put_nowait(outcome)
                case messages.Refused() | messages.Lost():
                    found.append(Found(event.key, event.at, None))
                    self.events.put_nowait(_unstarted(event))
        return found

    async def prepare(self, image: Image) -> Refused | None:
        """Nothing to do: these runtimes take no images."""
        return None

    async def start(self, specs: Sequence[RunSpec]) -> None:
        """Start runs; a key that is known already is left as it is."""
        commands: list[messages.Start] = []
        self._starting.update(spec.key for spec in specs)
        try:
            for spec in specs:
                refused = _unspeakable(spec, self._clock)
                made = refused if refused is not None else await self._command(spec)
                if isinstance(made, messages.Start):
                    commands.append(made)
                else:
                    self.events.put_nowait(made)
        finally:
            self._client.start(commands)
            for spec in specs:
                self._starting.discard(spec.key)
                if spec.key in self._stopped:
                    self._stopped.discard(spec.key)
                    self._client.stop(spec.key)

    async def stop(self, key: str) -> None:
        """Kill the run with all its children."""
        if key in self._starting:
            self._stopped.add(key)
        self._client.stop(key)

    async def usage(self, key: str) -> Usage:
        """Measure a running run now."""
        pid = self._pids.get(key)
        if pid is None:
            return Usage()
        cpu, memory = procfs.measure(procfs.tree(pid))
        before = self._measured.get(key, Usage())
        peak = max(memory, before.peak_memory_bytes)
        usage = self._measured[key] = Usage(max(cpu, before.cpu_microseconds), memory, peak)
        return usage

    def renew(self, until: float | None) -> None:
        """Tell the spawner how long runs may go on without an agent."""
        self._client.renew(until)

    async def forget(self, keys: Sequence[str]) -> None:
        """Let the spawner drop the statuses of ended runs."""
        self._client.forget(keys)

    async def close(self) -> None:
        """Let go of the spawner; runs go on."""
        await self._client.close()

    async def _command(self, spec: RunSpec) -> messages.Start | Refused | Lost:
        """Return what the spawner must start for this run."""
        raise TypeError(f"{type(self).__name__} does not say how it starts runs")

    def _exited(self, event: messages.Ended) -> Exited | Refused | Lost:
        """Return what an end means to the agent."""
        seen = self._measured.pop(event.key, Usage())
        cpu = max(event.cpu_microseconds, seen.cpu_microseconds)
        usage = Usage(cpu, 0, max(event.peak_memory_bytes, seen.peak_memory_bytes))
        return Exited(event.key, event.at, event.exit_code, usage, event.started_at, event.out_of_memory)

    def _outcome(self, event: messages.Ended) -> Exited | Refused | Lost:
        self._pids.pop(event.key, None)
        return self._exited(event)

    def _heard(self, event: messages.Event) -> None:
        match event:
            case messages.Started(key, pid, at):
                self._pids[key] = pid
                self.events.put_nowait(Started(key, at))
            case messages.Ended():
                self.events.put_nowait(self._outcome(event))
            case messages.Refused() | messages.Lost():
                self._pids.pop(event.key, None)
                self._measured.pop(event.key, None)
                self.events.put_nowait(_unstarted(event))

    def _measure_cgroup(self, key: str) -> Usage | None:
        welcome = self._client.welcome
        if welcome is None or not welcome.limits or key not in self._pids:
            return None
        return Usage(*cgroups.measure(welcome.cgroups, key))


def _unstarted(event: messages.Refused | messages.Lost) -> Refused | Lost:
    if isinstance(event, messages.Refused):
        return Refused(event.key, event.at, event.exit_code, event.code, event.message)
    return Lost(event.key, event.at, event.message)


def _unspeakable(spec: RunSpec, clock: Callable[[], int]) -> Refused | None:
    """Return the refusal for a command that no process could be given."""
    if not spec.argv:
        message = "no command: without a container image the task must name one (constant DOCKER_CMD)"
        return Refused(spec.key, clock(), 127, "COMMAND_NOT_FOUND", message)
    try:
        text = "".join((*spec.argv, *spec.environment, *spec.environment.values()))
        text.encode()
    except UnicodeEncodeError as error:
        message = f"the command or its environment is not valid text: {error.reason}"
        return Refused(spec.key, clock(), 125, "COMMAND_INVALID", message)
    if "\0" in text or any("=" in name or not name for name in spec.environment):
        message = "the command or its environment is not valid: no NUL characters, and names without '='"
        return Refused(spec.key, clock(), 125, "COMMAND_INVALID", message)
    return None
