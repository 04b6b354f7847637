"""What the spawner knows about its runs: pure bookkeeping, no system calls.

    RUNNING ── main process ended ──► ENDING ── nothing of it is left ──► ENDED ── forget ──► gone

A process that lost its parent comes to the spawner as an *orphan*. It belongs to one run when its
environment or session says so; otherwise to one of those that were unfinished when it appeared, and
it dies with the last of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hearth.agent.spawner.messages import Ended, Event, Outcome, Started


class Run:
    """One run that is not over."""

    __slots__ = (
        "cgroup",
        "cpu_microseconds",
        "ended_at",
        "exit_code",
        "key",
        "overdue",
        "owner",
        "peak_memory_bytes",
        "pid",
        "report",
        "started_at",
    )

    def __init__(self, key: str, owner: str, pid: int, started_at: int) -> None:
        self.key = key
        self.owner = owner
        self.pid = pid
        self.started_at = started_at
        self.ended_at = 0  # of the main process; 0 while it runs
        self.exit_code = 0
        self.cpu_microseconds = 0
        self.peak_memory_bytes = 0
        self.cgroup = False
        self.report: int | None = None  # a descriptor to read at the end
        self.overdue = False  # killed because its lease was over

    def ended(self, *, out_of_memory: bool = False, report: bytes = b"") -> Ended:
        """Return the words for the end of this run."""
        return Ended(
            self.key,
            self.pid,
            self.ended_at,
            self.started_at,
            self.exit_code,
            self.cpu_microseconds,
            self.peak_memory_bytes,
            out_of_memory,
            report,
        )


class Table:
    """All runs, by key and by process id, and the orphans they left."""

    __slots__ = ("_ending", "_orphans", "_outcomes", "_pids", "_runs")

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}  # running and ending
        self._pids: dict[int, Run] = {}  # main processes not yet reaped
        self._ending: dict[str, Run] = {}
        self._outcomes: dict[str, tuple[str, Outcome]] = {}  # key -> owner and end, until forgotten
        self._orphans: dict[int, set[str]] = {}  # process id -> keys of the runs that it may belong to

    def __contains__(self, key: str) -> bool:
        return key in self._runs or key in self._outcomes

    def add(self, run: Run) -> None:
        """A run has started."""
        self._runs[run.key] = run
        self._pids[run.pid] = run

    def settle(self, owner: str, outcome: Outcome) -> None:
        """Keep how a run ended, or that it could not start."""
        self._outcomes[outcome.key] = (owner, outcome)

    def running(self, key: str) -> Run | None:
        """Return the run if its main process has not been reaped yet."""
        run = self._runs.get(key)
        return run if run is not None and not run.ended_at else None

    def main(self, pid: int) -> Run | None:
        """Return the run whose main process this is."""
        return self._pids.get(pid)

    def session(self, number: int) -> Run | None:
        """Return the run whose main process leads, or led, this session."""
        run = self._pids.get(number)
        if run is None:
            run = next((run for run in self._ending.values() if run.pid == number), None)
        return run

    def has_running(self) -> bool:
        """Answer whether any run's main process is there."""
        return bool(self._pids)

    def unfinished(self) -> list[Run]:
        """Return every run that is not over."""
        return list(self._runs.values())

    def main_ended(self, pid: int, at: int, exit_code: int, cpu_microseconds: int, peak: int) -> None:
        """The main process has been reaped."""
        run = self._pids.pop(pid)
        run.ended_at = at
        run.exit_code = exit_code
        run.cpu_microseconds += cpu_microseconds
        run.peak_memory_bytes = max(run.peak_memory_bytes, peak)
        self._ending[run.key] = run

    def orphan_ended(self, pid: int, cpu_microseconds: int, peak: int) -> None:
        """A process that is no run's main process has been reaped."""
        candidates = self._orphans.pop(pid, set())
        if len(candidates) == 1 and (run := self._runs.get(next(iter(candidates)))) is not None:
            run.cpu_microseconds += cpu_microseconds
            run.peak_memory_bytes = max(run.peak_memory_bytes, peak)

    def doomed(self, children: Iterable[int], identify: Callable[[int], str | None]) -> list[int]:
        """Return the orphans among the spawner's children that must die now."""
        doomed: list[int] = []
        ending = self._ending
        for pid in children:
            if pid in self._pids:
                continue
            candidates = self._orphans.get(pid)
            if candidates is None or len(candidates) > 1:
                # A process in the middle of its exec has no environment for a moment, so ask again.
                key = identify(pid)
                if key is not None:
                    candidates = {key} & self._runs.keys()
                elif candidates is None:
                    candidates = set(self._runs)
                self._orphans[pid] = candidates
            if candidates <= ending.keys():
                doomed.append(pid)
        return doomed

    def finished(self) -> list[Run]:
        """Return (and let go of) the ending runs of which nothing is left."""
        if not self._ending:
            return []
        held: set[str] = set()
        for candidates in self._orphans.values():
            if candidates <= self._ending.keys():
                held |= candidates
        finished = [run for key, run in self._ending.items() if key not in held]
        for run in finished:
            del self._ending[run.key]
            del self._runs[run.key]
            for candidates in self._orphans.values():
                candidates.discard(run.key)
        return finished

    def known(self, owner: str) -> tuple[Event, ...]:
        """Return the last word about every run of a runtime."""
        running = [Started(run.key, run.pid, run.started_at) for run in self._runs.values() if run.owner == owner]
        return (*running, *(outcome for name, outcome in self._outcomes.values() if name == owner))

    def forget(self, keys: Iterable[str]) -> None:
        """Drop ended runs; running ones stay."""
        for key in keys:
            self._outcomes.pop(key, None)
