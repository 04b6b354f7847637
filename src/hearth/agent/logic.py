"""What the agent decides, without doing any of it: events in, effects out.

    QUEUED ──prepared──► READY ──cores free──► RUNNING ──exited──► COLLECTING ──collected──► ENDED ──receipt──► gone

The agent never forgets an attempt within one boot until the server has acknowledged its end (or said that it
is not this node's any more), so that "held" is always the whole truth. Monotonic seconds (`mono`) count leases
and rates; wall microseconds (`wall`) only stamp what is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from heapq import heappop, heappush

from hearth.agent.attempt import (
    Attempt,
    Collect,
    Discard,
    Effect,
    Filled,
    Key,
    Kill,
    Phase,
    Prepare,
    Resume,
    RunEnd,
    Start,
    TakeSnapshot,
)
from hearth.agent.outbox import Outbox
from hearth.agent.room import AHEAD_LIMIT, Room
from hearth.agent.snapshot_parts import SnapshotParts
from hearth.agent.versions import Versions, lacks, newest
from hearth.domain.ranges import RangeSet
from hearth.domain.secrets import secrets_of, without_secrets
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
KILLED = 137  # how shells count the end by a signal that nothing survives
SHUT_DOWN = "the node was shut down"


class Logic:
    """The state of one agent in one boot."""

    def __init__(self, node: str, boot: int, offer: wire.Offer) -> None:
        self.node = node
        self.boot = boot
        self.offer = offer
        self.attempts: dict[Key, Attempt] = {}
        self.works: dict[int, wire.Work] = {}
        self.incarnation = ""
        self.heartbeat_seconds = 3.0
        self.room = Room(offer)
        self.versions = Versions()
        self.snapshots = SnapshotParts()
        self._lease_until: float | None = None  # monotonic; None: the server was never heard
        self._counter = 0
        self._seen = 0
        self._sync_counter = 0
        self._sync_sent = 0.0
        self._outbox = Outbox()
        self._buried: dict[Key, None] = {}  # cancelled before they arrived: a late lease of them is ignored
        self._ready: deque[Key] = deque()
        self._report_since: float | None = None
        self._usages: list[wire.Usage] = []
        self._unconfirmed = 0
        self._closing: int | None = None  # since when (wall clock) it takes nothing more
        self._of_task: dict[int, int] = {}
        self._deadlines: list[tuple[int, Key]] = []  # by when (wall clock) runs must have ended; a heap

    @property
    def pending_output_bytes(self) -> int:
        """How much output waits for the server."""
        return self._outbox.output_bytes

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
        if files is not None:
            _note(attempt, files)
        attempt.phase = Phase.READY
        self._ready.append(key)
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

    def _goes_on(self, key: Key) -> bool:
        attempt = self.attempts.get(key)
        return attempt is not None and attempt.phase is not Phase.ENDED

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
        return self._finish(attempt, replace(end, debug=last_words), mono, files=list(files), notes=list(notes))

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

    def _hold(self, attempt: Attempt) -> None:
        self.attempts[attempt.key] = attempt
        task = attempt.key[0]
        self._of_task[task] = self._of_task.get(task, 0) + 1
        if attempt.phase is Phase.QUEUED:
            self.room.enqueue(attempt, 1)
        self._unconfirmed += not attempt.confirmed

    def _attempts_of(self, task: int) -> list[Attempt]:
        return [attempt for attempt in self.attempts.values() if attempt.key[0] == task]

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

    def _take_back(self, attempt: Attempt) -> None:
        """Make a run of an earlier boot one of ours again, with the room that it takes."""
        attempt.confirmed = True
        self._unconfirmed -= 1
        work = self.works[attempt.key[0]]
        attempt.cores, attempt.memory_bytes = work.cores, work.memory_bytes
        if attempt.phase is not Phase.ENDED:
            self.room.use(attempt)
            self._set_deadline(attempt)

    def _set_deadline(self, attempt: Attempt) -> None:
        work = self.works.get(attempt.key[0])
        if work is not None and work.run_seconds and attempt.confirmed and attempt.started_at is not None:
            heappush(self._deadlines, (attempt.started_at + work.run_seconds * 1_000_000, attempt.key))

    def _admit(self) -> list[Effect]:
        """Start what is ready, oldest first, while there are cores."""
        effects: list[Effect] = []
        while self._ready:
            attempt = self.attempts.get(self._ready[0])
            if attempt is None or attempt.phase is not Phase.READY:
                self._ready.popleft()
                continue
            if not self.room.fits(attempt):
                break
            self._ready.popleft()
            attempt.phase = Phase.RUNNING
            self.room.enqueue(attempt, -1)
            self.room.use(attempt)
            effects.append(Start(attempt.key))
        return effects

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

    def _drop(self, key: Key, effects: list[Effect]) -> None:
        attempt = self.attempts.get(key)
        self._outbox.ended.pop(key, None)
        if attempt is None or attempt.dropped:
            return
        attempt.dropped = True
        if attempt.phase is Phase.RUNNING and attempt.exit is None:
            self._kill(attempt, effects)
            return
        self._forget(key, effects)

    def _kill(self, attempt: Attempt, effects: list[Effect]) -> None:
        if not attempt.killed:
            attempt.killed = True
            effects.append(Kill(attempt.key))

    def _collect(self, attempt: Attempt, mono: float) -> list[Effect]:
        """The run is over: give its room to the next one, and see to what it left."""
        assert attempt.exit is not None
        if attempt.dropped:
            effects: list[Effect] = []
            self._forget(attempt.key, effects)
            return effects + self._admit()
        if attempt.verdict is not None and not attempt.cancelled:
            return self._finish(attempt, attempt.verdict, mono)
        if attempt.exit.lost:
            return self._finish(attempt, attempt.exit, mono)
        self._release(attempt)
        attempt.phase = Phase.COLLECTING
        work = self.works[attempt.key[0]]
        if _was_overdue(attempt, work.run_seconds):
            message = f"it was ended because it ran for more than {work.run_seconds} s, as long as it may"
            attempt.exit = replace(attempt.exit, exit_code=None, error_code="WALL_TIME", error_message=message)
        upload = work.has_results and (not attempt.cancelled or work.upload_on_cancel)
        if upload and attempt.exit.exit_code is not None:
            self._outbox.exited.append(wire.Exited(*attempt.key, attempt.exit.exit_code, attempt.exit.at))
        return [Collect(attempt.key, upload), *self._admit()]

    def _finish(
        self,
        attempt: Attempt,
        end: RunEnd,
        mono: float,
        files: list[wire.ResultFile] | None = None,
        notes: list[str] | None = None,
    ) -> list[Effect]:
        """Make the end of an attempt known; it is held until the server acknowledges."""
        self._leave(attempt)
        attempt.phase = Phase.ENDED
        attempt.held_back = False
        if mono:
            self.room.ended(mono)
        key = attempt.key
        if attempt.dropped:
            effects: list[Effect] = []
            self._forget(key, effects)
            return effects + self._admit()
        run = attempt.exit or end
        if attempt.cancelled and not end.lost:
            end = _cancelled(attempt, end)
        if end.exit_code and not end.error_code and not end.lost:
            end = replace(end, error_code="EXIT_CODE", error_message=_exit_message(end.exit_code))
        self._outbox.ended[key] = wire.Ended(
            task=key[0],
            number=key[1],
            attempt=key[2],
            at=end.at,
            exit_code=end.exit_code,
            error_code=end.error_code,
            error_message=self._hushed(key, end.error_message),
            lost=end.lost,
            returned=end.returned and attempt.started_at is None,
            started_at=attempt.started_at,
            exited_at=run.at if attempt.started_at is not None else None,
            cpu_microseconds=run.cpu_microseconds,
            peak_memory=run.peak_memory,
            files=files or [],
            notes=[self._hushed(key, note) for note in notes or ()],
            download_microseconds=attempt.download_microseconds,
            debug=self._hushed(key, end.debug),
        )
        return self._admit()

    def _hushed(self, key: Key, text: str) -> str:
        """Return a text as it may leave the node."""
        work = self.works.get(key[0])
        secrets = secrets_of(work.constants) if text and work is not None else []
        return without_secrets(text, secrets) if secrets else text

    def _leave(self, attempt: Attempt) -> None:
        """Give back the room that the attempt takes, or would take."""
        if attempt.phase in (Phase.QUEUED, Phase.READY):
            self.room.enqueue(attempt, -1)
        elif attempt.phase is Phase.RUNNING:
            self._release(attempt)

    def _release(self, attempt: Attempt) -> None:
        if attempt.confirmed:
            self.room.release(attempt)

    def _rewind(self, attempt: Attempt, known: wire.Known, effects: list[Effect]) -> None:
        """Send the output again from where the server's copy ends; an end waits for it."""
        self._outbox.drop_output(attempt.key)
        effects.append(Resume(attempt.key, known.stdout_bytes, known.stderr_bytes))
        if attempt.phase is Phase.ENDED:
            attempt.held_back = True
            attempt.phase = Phase.COLLECTING
            effects.append(Collect(attempt.key, upload=False))

    def _forget(self, key: Key, effects: list[Effect]) -> None:
        attempt = self.attempts.pop(key, None)
        if attempt is None:
            return
        self._leave(attempt)
        self._unconfirmed -= not attempt.confirmed
        effects.append(Discard(key))
        self.snapshots.forget(key)
        task = key[0]
        self._of_task[task] -= 1
        if not self._of_task[task]:
            del self._of_task[task]
            self.works.pop(task, None)
            self.versions.forget(task)

    def _is_held_back(self, key: Key) -> bool:
        held = self.attempts.get(key)
        return held is not None and held.held_back

    def _room(self, mono: float) -> wire.Room:
        room = self.room.tell(mono)
        # What the runs that were found need is not known yet.
        return wire.Room() if self._closing is not None or self._unconfirmed else room


def _note(attempt: Attempt, files: Filled) -> None:
    attempt.has_files = files.has_resources
    attempt.resources_version = files.version
    attempt.download_microseconds = files.microseconds


def _was_overdue(attempt: Attempt, run_seconds: int) -> bool:
    """Answer whether a run was ended for its length, by this boot of the agent or by one that died of it."""
    end = attempt.exit
    if not run_seconds or end is None or end.error_code or attempt.cancelled:
        return False
    ran = 0 if attempt.started_at is None else end.at - attempt.started_at
    return attempt.is_overdue or (end.exit_code == KILLED and ran >= run_seconds * 1_000_000)


def _cancelled(attempt: Attempt, end: RunEnd) -> RunEnd:
    """Return the end of an attempt that its user does not want any more."""
    was_killed = attempt.killed or end.exit_code == KILLED
    message = end.error_message if end.error_code == "CANCELLED" else "it was cancelled"
    exit_code = None if was_killed else end.exit_code
    return replace(end, exit_code=exit_code, error_code="CANCELLED", error_message=message)


def _exit_message(exit_code: int) -> str:
    if exit_code > 128:
        return f"the command was ended by signal {exit_code - 128} (exit code {exit_code})"
    return f"the command ended with exit code {exit_code}"
