"""What the agent decides, without doing any of it: events in, effects out.

    QUEUED ──prepared──► READY ──cores free──► RUNNING ──exited──► COLLECTING ──collected──► ENDED ──receipt──► gone

The agent never forgets an attempt within one boot until the server has acknowledged its end (or said that it
is not this node's any more), so that "held" is always the whole truth. Monotonic seconds (`mono`) count leases
and rates; wall microseconds (`wall`) only stamp what is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from heapq import heappop

from hearth.agent.attempt import (
    Attempt,
    Effect,
    Filled,
    Key,
    Phase,
    Prepare,
    Resume,
    RunEnd,
    TakeSnapshot,
)
from hearth.agent.held import Held
from hearth.agent.room import AHEAD_LIMIT
from hearth.agent.versions import lacks, newest
from hearth.domain.ranges import RangeSet
from hearth.wire import agent as wire

# From this many ends in that time on a report waits a moment, so that one commit carries many of them.
BUSY_ENDS = 50
BUSY_DELAY = 0.05
# So many attempts that were cancelled before they arrived are remembered.
BURIED_LIMIT = 100_000
# How much of the lease is kept in hand for clocks that differ and containers that die slowly.
LEASE_MARGIN = 0.1
# An agent that returns when its lease is over still has time to hear from the server first.
ASK_FIRST_SECONDS = 5.0
SHUT_DOWN = "the node was shut down"


class Logic(Held):
    """The state of one agent in one boot."""

    def __init__(self, node: str, boot: int, offer: wire.Offer) -> None:
        super().__init__(offer)
        self.node = node
        self.boot = boot
        self.incarnation = ""
        self.heartbeat_seconds = 3.0
        self._lease_until: float | None = None  # monotonic; None: the server was never heard
        self._counter = 0
        self._seen = 0
        self._sync_counter = 0
        self._sync_sent = 0.0
        self._buried: dict[Key, None] = {}  # cancelled before they arrived: a late lease of them is ignored
        self._report_since: float | None = None
        self._usages: list[wire.Usage] = []
        self._closing: int | None = None  # since when (wall clock) it takes nothing more

    # What is told ------------------------------------------------------------------------------------

    def next_sync(self, mono: float) -> wire.Sync:
        """Return the parked request of this moment; an answer to any older one is ignored from now on."""
        self._counter += 1
        self._sync_counter = self._counter
        self._sync_sent = mono
        holds: dict[tuple[int, int], list[int]] = {}
        for task, number, attempt in self.attempts:
            holds.setdefault((task, attempt), []).append(number)
        return wire.Sync(
            protocol=wire.PROTOCOL,
            node=self.node,
            boot=self.boot,
            counter=self._counter,
            seen=self._seen,
            incarnation=self.incarnation,
            offer=self.offer,
            room=self._room(mono),
            holds=[wire.Held(task, attempt, str(RangeSet.of(numbers))) for (task, attempt), numbers in holds.items()],
            versions=self.versions.tell(self.attempts.values()),
        )

    def report_due(self, mono: float) -> float | None:
        """Return when the next report should leave (monotonic), or None when there is nothing to tell."""
        if self._outbox.is_empty(self._is_held_back):
            if self._usages:
                return mono
            parts = self.snapshots.due()
            if parts is not None:
                return max(parts, mono)
            # Room that was told for a burst must be taken back, or slow work would queue up behind it.
            return mono if self.room.told_ahead and not self.room.ends_now(mono) else None
        if self._report_since is None:
            self._report_since = mono
        if self.room.ends_now(mono) < BUSY_ENDS or len(self._outbox.ended) >= AHEAD_LIMIT:
            return mono
        return self._report_since + BUSY_DELAY

    def next_report(self, mono: float) -> wire.Report:
        """Take what is to be told; `receipt` or `report_failed` must follow before the next one."""
        batch = self._outbox.take(self._is_held_back)
        self._report_since = None
        self._counter += 1
        usages, self._usages = self._usages, []
        return wire.Report(
            protocol=wire.PROTOCOL,
            node=self.node,
            boot=self.boot,
            incarnation=self.incarnation,
            room=self._room(mono),
            seen=self._seen,
            counter=self._counter,
            started=batch.started,
            outputs=batch.outputs,
            exited=batch.exited,
            ended=batch.ended,
            usages=[u for u in usages if self._goes_on((u.task, u.number, u.attempt))],
            snapshots=self.snapshots.take(mono, batch.size_bytes),
        )

    def receipt(self, report: wire.Report, receipt: wire.Receipt) -> list[Effect]:
        """Take the server's answer: what it acknowledged is durable."""
        effects: list[Effect] = []
        self._outbox.acknowledged(report)
        refused = {(r.task, r.number, r.attempt) for r in receipt.refused}
        behind = {(k.task, k.number, k.attempt): k for k in receipt.known}
        for key in sorted(refused):
            self._drop(key, effects)
        for end in report.ended:
            key = (end.task, end.number, end.attempt)
            if key in behind:
                self._outbox.ended[key] = end
            elif key not in refused:
                self._forget(key, effects)
        for key, known in behind.items():
            attempt = self.attempts.get(key)
            if attempt is not None and key not in refused:
                self._rewind(attempt, known, effects)
        if report.snapshots:
            self.snapshots.acknowledged(report.snapshots, self.attempts)
        return effects

    def report_failed(self, report: wire.Report) -> None:
        """Take back a report that may not have arrived: all of it is told again, in the same order."""
        self._outbox.take_back(report)
        self.snapshots.take_back(report.snapshots)

    # What is heard -----------------------------------------------------------------------------------

    def orders(self, orders: wire.Orders) -> list[Effect]:
        """Take the answer to the newest sync; any other is ignored."""
        if orders.answers != self._sync_counter or orders.sequence <= self._seen:
            return []
        self._sync_counter = 0
        effects: list[Effect] = []
        if self.incarnation and orders.incarnation != self.incarnation:
            # The database was restored: nothing that was leased before counts.
            for key in list(self.attempts):
                self._drop(key, effects)
            self.snapshots.forget_all()
        self.incarnation = orders.incarnation
        self._seen = orders.sequence
        self.heartbeat_seconds = orders.heartbeat_seconds
        self._lease_until = self._sync_sent + orders.lease_seconds * (1 - LEASE_MARGIN)
        self.works.update((work.task, work) for work in orders.works)
        for stop in orders.stops:
            self._stop(stop, effects)
        # A stop may have let go of a task that these orders bring more of.
        self.works.update((work.task, work) for work in orders.works)
        for known in orders.known:
            self._confirm(known, effects)
        for leased in orders.leases:
            for number in RangeSet.parse(leased.numbers):
                self._lease((leased.task, number, leased.attempt), effects)
        for task, version in newest(orders.updates, orders.works).items():
            if task in self._of_task and self.versions.hear(task, version):
                effects += self.versions.push(task, self._attempts_of(task))
        for order in orders.snapshots:
            for number in RangeSet.parse(order.numbers):
                key = (order.task, number, order.attempt)
                wanted = TakeSnapshot(order.snapshot, key, order.whitelist, order.blacklist)
                effects += self.snapshots.wanted(wanted, self.attempts.get(key))
        for work in orders.works:
            if work.task not in self._of_task:
                self.works.pop(work.task, None)
        return effects

    def recover(self, key: Key, started_at: int, end: RunEnd | None, files: Filled | None = None) -> None:
        """Take in a run that an earlier boot of the agent started; the server will say whether it is ours."""
        attempt = Attempt(key, Phase.RUNNING, confirmed=False, started_at=started_at, exit=end)
        if files is not None:
            _note(attempt, files)
        self._hold(attempt)

    @property
    def lease_until(self) -> float | None:
        """Until when (monotonic) this node may run what it holds; None: the server was never heard."""
        return self._lease_until

    def resume_lease(self, until: float, mono: float) -> None:
        """Go on counting the lease of an earlier boot."""
        self._lease_until = max(until, mono + ASK_FIRST_SECONDS)

    def prepared(self, key: Key, mono: float, files: Filled | None = None) -> list[Effect]:
        """The attempt has all that it needs to start; `files`: what was fetched for it."""
        attempt = self.attempts.get(key)
        if attempt is None or attempt.phase is not Phase.QUEUED:
            return []
        attempt.phase = Phase.READY
        self._ready.append(key)
        if files is None:
            return self._admit()
        _note(attempt, files)
        # Resources that were pushed while it was filled come before its start, or at least soon after.
        return [*self.versions.push(key[0], [attempt]), *self._admit()]

    def failed(self, key: Key, end: RunEnd, mono: float) -> list[Effect]:
        """The attempt could not be prepared."""
        attempt = self.attempts.get(key)
        if attempt is None or attempt.phase is not Phase.QUEUED:
            return []
        return self._finish(attempt, end, mono)

    def fault(self, key: Key, reason: str, wall: int, mono: float) -> list[Effect]:
        """This node cannot do what the attempt needs before it runs: it goes back, and the node takes no more."""
        self.room.fault(mono)
        attempt = self.attempts.get(key)
        if attempt is None:
            return []
        end = RunEnd(wall, lost=True, returned=True, error_message=reason)
        if attempt.phase is Phase.RUNNING:
            return self.exited(key, end, mono)
        return self.failed(key, end, mono)

    def pushed(self, key: Key, version: int) -> None:
        """The attempt's folder has these resources now."""
        attempt = self.attempts.get(key)
        if attempt is not None:
            attempt.resources_version = max(attempt.resources_version, version)

    def needing(self, task: int) -> list[Key]:
        """Return the attempts of a task whose folders lack resources that were pushed."""
        version = self.versions.of(task)
        return [attempt.key for attempt in self._attempts_of(task) if lacks(attempt, version)]

    def snapshot_progress(self, snapshot: int, key: Key, size_bytes: int, transferred_bytes: int) -> None:
        """So much of an instance's share of a snapshot has arrived."""
        self.snapshots.progress(snapshot, key, size_bytes, transferred_bytes)

    def snapshot_over(self, snapshot: int, key: Key, files: list[wire.ResultFile], error: str = "") -> list[Effect]:
        """An instance's share of a snapshot is uploaded, or will not be."""
        return list(self.snapshots.over(snapshot, key, files, self._hushed(key, error)))

    def started(self, key: Key, at: int) -> list[Effect]:
        """The command runs."""
        attempt = self.attempts.get(key)
        if attempt is not None and attempt.phase is Phase.RUNNING and attempt.started_at is None:
            attempt.started_at = at
            self.room.worked()
            self._set_deadline(attempt)
            if not attempt.dropped:
                self._outbox.started.append(wire.Started(*key, at, attempt.download_microseconds))
        return []

    def exited(self, key: Key, end: RunEnd, mono: float) -> list[Effect]:
        """The command is over, whatever the way, and nothing of it runs any more."""
        attempt = self.attempts.get(key)
        if attempt is None or attempt.phase is not Phase.RUNNING or attempt.exit is not None:
            return []
        attempt.exit = end
        self.snapshots.run_ended(key)
        if not (attempt.confirmed or attempt.dropped or attempt.verdict is not None):
            return []  # whose it is must be known first
        return self._collect(attempt, mono)

    def output(self, key: Key, stream: int, offset: int, data: bytes, skipped: int = 0) -> None:
        """Tell a piece of output; pieces of one stream come in order, less the bytes that were skipped."""
        attempt = self.attempts.get(key)
        if attempt is not None and not attempt.dropped and data:
            self._outbox.add_output(wire.Output(*key, stream, offset, data, skipped))

    def measured(self, usages: list[wire.Usage]) -> None:
        """Tell with the next report what attempts use; what is left of an earlier measurement is dropped."""
        self._usages = usages

    def collected(
        self,
        key: Key,
        files: Iterable[wire.ResultFile],
        notes: Iterable[str],
        failure: RunEnd | None,
        mono: float,
        last_words: str = "",
    ) -> list[Effect]:
        """The attempt's output was handed over and its results are uploaded; `failure`: they could not be."""
        attempt = self.attempts.get(key)
        if attempt is None or attempt.phase is not Phase.COLLECTING:
            return []
        assert attempt.exit is not None
        if attempt.held_back:
            attempt.held_back = False  # only its output had to be sent again
            attempt.phase = Phase.ENDED
            return []
        end = attempt.exit if failure is None or attempt.exit.error_code else failure
        end = replace(end, debug=last_words) if last_words else end
        return self._finish(attempt, end, mono, files=list(files), notes=list(notes))

    def tick(self, mono: float, wall: int) -> list[Effect]:
        """Let time pass: when the lease is over, everything stops; what ran as long as it may, too."""
        if self._lease_until is not None and mono >= self._lease_until:
            return self._give_up(wall, "the node could not reach the server for a whole lease")
        effects: list[Effect] = []
        while self._deadlines and self._deadlines[0][0] <= wall:
            _, key = heappop(self._deadlines)
            attempt = self.attempts.get(key)
            if attempt is not None and attempt.phase is Phase.RUNNING and attempt.exit is None:
                attempt.is_overdue = True
                self._kill(attempt, effects)
        return effects

    def shut_down(self, wall: int) -> list[Effect]:
        """End all that is held, as a loss: the instances run again elsewhere, at no cost to the user's retries."""
        self._closing = wall
        return self._give_up(wall, SHUT_DOWN)

    def _give_up(self, wall: int, reason: str) -> list[Effect]:
        effects: list[Effect] = []
        verdict = RunEnd(wall, lost=True, error_message=reason)
        self._ready.clear()  # the room that is made now is for nobody
        for attempt in list(self.attempts.values()):
            if attempt.dropped or attempt.phase is Phase.ENDED:
                continue
            attempt.verdict = attempt.verdict or verdict
            if attempt.phase is Phase.RUNNING and attempt.exit is None:
                self._kill(attempt, effects)
            else:
                effects.extend(self._finish(attempt, verdict, 0.0))
        return effects

    # How it decides ----------------------------------------------------------------------------------

    def _lease(self, key: Key, effects: list[Effect]) -> None:
        if key in self.attempts or key in self._buried:
            return
        if self._closing is not None:
            self._bury(key)
            self._outbox.ended[key] = wire.Ended(*key, self._closing, lost=True, error_message=SHUT_DOWN)
            return
        work = self.works.get(key[0])
        if work is None:
            return  # it is not held now, so the server says it again
        self._hold(Attempt(key, Phase.QUEUED, work.cores, work.memory_bytes))
        effects.append(Prepare(key))

    def _bury(self, key: Key) -> None:
        self._buried[key] = None
        if len(self._buried) > BURIED_LIMIT:
            del self._buried[next(iter(self._buried))]

    def _confirm(self, known: wire.Known, effects: list[Effect]) -> None:
        attempt = self.attempts.get((known.task, known.number, known.attempt))
        if attempt is None or attempt.confirmed or known.task not in self.works:
            return
        self._take_back(attempt)
        if attempt.phase is Phase.ENDED:
            return  # it was given up before the server was heard; its end is told
        if attempt.started_at is not None:
            told = wire.Started(*attempt.key, attempt.started_at, attempt.download_microseconds)
            self._outbox.started.append(told)
        effects.append(Resume(attempt.key, known.stdout_bytes, known.stderr_bytes))
        if attempt.exit is not None:
            effects.extend(self._collect(attempt, 0.0))

    def _stop(self, stop: wire.Stop, effects: list[Effect]) -> None:
        key = (stop.task, stop.number, stop.attempt)
        attempt = self.attempts.get(key)
        if not stop.cancelled:
            self._drop(key, effects)
            return
        if attempt is None:
            self._bury(key)
            self._outbox.ended[key] = wire.Ended(*key, 0, error_code="CANCELLED", error_message="it never started")
            return
        if not attempt.confirmed and stop.task not in self.works:
            return  # a run of an earlier boot: the next comparison says it again, and what its task is
        attempt.cancelled = True
        if not attempt.confirmed:
            # The server's word on a run of an earlier boot: it is ours, to be stopped.
            self._take_back(attempt)
            if attempt.phase is Phase.ENDED:
                return
            if attempt.exit is not None:
                effects.extend(self._finish(attempt, attempt.exit, 0.0))
                return
        if attempt.phase is Phase.RUNNING and attempt.exit is None:
            self._kill(attempt, effects)
        elif attempt.phase in (Phase.QUEUED, Phase.READY):
            told = RunEnd(0, error_code="CANCELLED", error_message="it was cancelled before it started")
            effects.extend(self._finish(attempt, told, 0.0))

    def _room(self, mono: float) -> wire.Room:
        room = self.room.tell(mono)
        # What the runs that were found need is not known yet.
        return wire.Room() if self._closing is not None or self._unconfirmed else room


def _note(attempt: Attempt, files: Filled) -> None:
    attempt.has_files = files.has_resources
    attempt.resources_version = files.version
    attempt.download_microseconds = files.microseconds
