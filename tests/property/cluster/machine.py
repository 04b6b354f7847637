"""A machine with processes that live and die by a script, whatever becomes of the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from hearth.agent.attempt import Key, RunEnd


@dataclass(frozen=True, slots=True)
class Script:
    """What the command of one attempt does."""

    pieces: tuple[tuple[float, int, bytes], ...]  # after so many seconds, to this stream, these bytes
    seconds: float
    exit_code: int
    dies_in: float  # how long a kill takes
    starts_in: float


def script_of(seed: int, key: Key) -> Script:
    """Write the script of an attempt."""
    chance = Random(f"{seed}/{key}")
    seconds = chance.choice([0.0, 0.1, 0.5, 2.0, 5.0, 20.0, 100.0]) * chance.uniform(0.5, 1.5)
    pieces = []
    for _ in range(chance.choice([0, 1, 2, 6])):
        text = f"{key[1]}.{key[2]}" + chance.choice(["\n", "", " é€\n", "\n\n", " long" * 30 + "\n"])
        pieces.append((chance.uniform(0, seconds), chance.choice([0, 0, 1]), text.encode()))
    return Script(
        tuple(sorted(pieces)),
        seconds,
        chance.choice([0, 0, 0, 0, 1, 137]),
        chance.choice([0.0, 0.01, 0.5, 3.0]),
        chance.choice([0.0, 0.01, 0.2]),
    )


@dataclass(slots=True)
class Process:
    """One run on one machine."""

    key: Key
    script: Script
    started_at: int
    spool: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    end: RunEnd | None = None
    job: asyncio.Task[None] | None = None
    killed: bool = False
    is_overdue: bool = False


class Machine:
    """Keeps processes; `told` is the queue of the agent that listens now.

    Some end what runs when the lease is over, as a spawner does; on others only an agent can, as with an engine.
    """

    def __init__(self, name: str, cores: float, seed: int, *, ends_leases: bool = True) -> None:
        self.name = name
        self.cores = cores
        self.ends_leases = ends_leases
        self.lease_until: float | None = None  # as the newest agent that heard it wrote down
        self._timer: asyncio.TimerHandle | None = None
        self.runs: dict[Key, Process] = {}
        self.told: asyncio.Queue[tuple[Key, int, RunEnd | None]] = asyncio.Queue()
        self._seed = seed
        self.started: Callable[[Process], None] = lambda run: None

    def running(self) -> list[Process]:
        """Return the processes that run now."""
        return [run for run in self.runs.values() if run.end is None]

    def start(self, key: Key, wall: int) -> None:
        """Start a run; one that is known already is left as it is."""
        if key in self.runs:
            return
        run = self.runs[key] = Process(key, script_of(self._seed, key), wall)
        self.started(run)
        run.job = asyncio.ensure_future(self._live(run))
        self.told.put_nowait((key, wall, None))

    async def _live(self, run: Process) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for after, stream, data in run.script.pieces:
            await asyncio.sleep(began + after - loop.time())
            run.spool[stream].extend(data)
        await asyncio.sleep(began + run.script.seconds - loop.time())
        self._end(run, run.script.exit_code)

    def _end(self, run: Process, exit_code: int) -> None:
        loop = asyncio.get_running_loop()
        wall: int = loop.wall()  # type: ignore[attr-defined]
        lost = run.is_overdue and run.killed
        run.end = RunEnd(wall, None if lost else exit_code, lost=lost, cpu_microseconds=1, peak_memory=1)
        self.told.put_nowait((run.key, run.started_at, run.end))

    def stop(self, key: Key) -> None:
        """Kill a run; it takes a moment."""
        run = self.runs.get(key)
        if run is None or run.end is not None or run.killed:
            return
        run.killed = True
        asyncio.get_running_loop().call_later(run.script.dies_in, self._killed, run)

    def _killed(self, run: Process) -> None:
        if run.end is None and self.runs.get(run.key) is run:
            assert run.job is not None
            run.job.cancel()
            self._end(run, 137)

    def renew(self, until: float) -> None:
        """Let runs go on until then."""
        self.lease_until = until
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(until, self._lease_over) if self.ends_leases else None

    def _lease_over(self) -> None:
        for run in self.running():
            run.is_overdue = True
            self.stop(run.key)

    def forget(self, key: Key) -> None:
        """Drop what is known of a run that has ended."""
        run = self.runs.get(key)
        if run is not None and run.end is not None:
            del self.runs[key]

    def lose_power(self) -> None:
        """End everything, and remember nothing."""
        for run in self.runs.values():
            if run.job is not None:
                run.job.cancel()
        self.runs.clear()
        self.lease_until = None
