"""What attempts use while they run, now and then, and at what little cost.

A round measures some of those that have run for a while, the longest unmeasured first, so that many runs make
rounds no longer. What it finds is news for whoever looks, and nothing more: the end of an attempt carries sums.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from hearth.agent import attempt as decide
from hearth.agent.attempt import Attempt, Key
from hearth.agent.folders import key_text
from hearth.agent.logic import Logic
from hearth.agent.runtime.base import Runtime, Usage
from hearth.domain.instance import Phase
from hearth.wire import agent as wire

_log = structlog.get_logger(__name__)

ROUND_SECONDS = 2.0
# What ends sooner is not looked at: there is nobody who would see it.
YOUNG_MICROSECONDS = 1_000_000
MEASURED_AT_ONCE = 32
# A phase is told when it has lasted a round, and again after so many seconds, for servers that have started since.
PHASE_AGAIN_SECONDS = 30.0
PHASES_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class _Sample:
    mono: float
    usage: Usage


class Meter:
    """Measures the attempts of one agent."""

    def __init__(
        self,
        logic: Logic,
        runtime: Runtime,
        news: Callable[[], None],
        frequency: Callable[[], float] | None = None,
    ) -> None:
        """`news` is called when there is something to report."""
        self._logic = logic
        self._runtime = runtime
        self._news = news
        self._frequency = frequency or frequency_ghz
        self._samples: dict[Key, _Sample] = {}
        self._seen: dict[Key, Phase] = {}  # in the last round
        self._told: dict[Key, tuple[Phase, float]] = {}

    async def forever(self) -> None:
        """Measure now and then."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            try:
                usages = await self.round(time.monotonic(), time.time_ns() // 1000)
            except Exception:
                _log.exception("runs could not be measured")
                continue
            if usages:
                self._logic.measured(usages)
                self._news()

    async def round(self, mono: float, wall: int) -> list[wire.Usage]:
        """Return what there is to tell now: what some attempts use, and the phase of those that do not run."""
        held = self._logic.attempts
        for kept in (self._samples, self._seen, self._told):
            for key in [key for key in kept if key not in held]:
                del kept[key]
        running: list[tuple[float, Key]] = []
        usages: list[wire.Usage] = []
        for key, attempt in held.items():
            if attempt.dropped or not attempt.confirmed or attempt.phase is decide.Phase.ENDED:
                continue
            phase = phase_of(attempt)
            if phase is Phase.EXECUTION:
                if attempt.started_at is not None and wall - attempt.started_at >= YOUNG_MICROSECONDS:
                    sample = self._samples.get(key)
                    running.append((0.0 if sample is None else sample.mono, key))
            elif len(usages) < PHASES_AT_ONCE and self._is_news(key, phase, mono):
                run = attempt.exit
                cpu, peak = (run.cpu_microseconds, run.peak_memory) if run is not None else (0, 0)
                usages.append(wire.Usage(*key, phase, wall, cpu_microseconds=cpu, peak_memory=peak))
        if running:
            frequency = await asyncio.to_thread(self._frequency)
            running.sort()
            for _, key in running[:MEASURED_AT_ONCE]:
                usage = await self._runtime.usage(key_text(key))
                if (started := held[key].started_at if key in held else None) is not None:
                    usages.append(self._told_of(key, usage, mono, wall, started, frequency))
                await asyncio.sleep(0)  # others of this process go first
        return usages

    def _is_news(self, key: Key, phase: Phase, mono: float) -> bool:
        if self._seen.get(key) is not phase:
            self._seen[key] = phase
            return False
        told, at = self._told.get(key, (None, 0.0))
        if told is phase and mono - at < PHASE_AGAIN_SECONDS:
            return False
        self._told[key] = (phase, mono)
        return True

    def _told_of(self, key: Key, usage: Usage, mono: float, wall: int, started: int, frequency: float) -> wire.Usage:
        before = self._samples.get(key)
        self._samples[key] = _Sample(mono, usage)
        if before is None:
            seconds, since = (wall - started) / 1e6, Usage()
        else:
            seconds, since = mono - before.mono, before.usage
        seconds = max(seconds, 1e-3)

        def rate(now: int, then: int) -> float:
            return max(0, now - then) / seconds

        return wire.Usage(
            *key,
            phase=Phase.EXECUTION,
            at=wall,
            cpu_cores=rate(usage.cpu_microseconds, since.cpu_microseconds) / 1e6,
            cpu_microseconds=usage.cpu_microseconds,
            memory_bytes=usage.memory_bytes,
            peak_memory=usage.peak_memory_bytes,
            network_in_kbps=rate(usage.network_in_bytes, since.network_in_bytes) * 8 / 1000,
            network_out_kbps=rate(usage.network_out_bytes, since.network_out_bytes) * 8 / 1000,
            frequency_ghz=frequency,
        )


def phase_of(attempt: Attempt) -> Phase:
    """Return what is being done with an attempt, in the contract's words."""
    if attempt.killed:
        return Phase.SHUTDOWN
    match attempt.phase:
        case decide.Phase.QUEUED:
            return Phase.DOWNLOAD
        case decide.Phase.READY:
            return Phase.ENVIRONMENT
        case decide.Phase.RUNNING:
            return Phase.ENVIRONMENT if attempt.started_at is None else Phase.EXECUTION
        case _:
            return Phase.UPLOAD


def frequency_ghz(sys: Path = Path("/sys/devices/system/cpu/cpufreq"), cpuinfo: Path = Path("/proc/cpuinfo")) -> float:
    """Return the mean frequency of this machine's processors now; 0 when the kernel does not tell."""
    found = [_number(policy) / 1e6 for policy in sys.glob("policy*/scaling_cur_freq")]
    if not found:
        try:
            lines = cpuinfo.read_text("utf-8", errors="replace").splitlines()
        except OSError:
            return 0.0
        found = [float(line.partition(":")[2]) / 1e3 for line in lines if line.startswith("cpu MHz")]
    known = [each for each in found if each > 0]
    return round(sum(known) / len(known), 3) if known else 0.0


def _number(path: Path) -> float:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return 0.0
