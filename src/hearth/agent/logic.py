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

from hearth.agent.attempt import Attempt, Collect, Discard, Effect, Key, Kill, Phase, Prepare, Resume, RunEnd, Start
from hearth.domain.ranges import RangeSet
from hearth.wire import agent as wire

# The queue ahead holds what the node ends in this many seconds: enough to never wait for the server, and
# little enough that nothing waits long behind something slow.
AHEAD_SECONDS = 0.5
AHEAD_LIMIT = 256
# From this many ends in that time on a report waits a moment, so that one commit carries many of them.
BUSY_ENDS = 50
BUSY_DELAY = 0.05
REPORT_BYTES = 4 << 20
REPORT_ITEMS = 2000
# What an end weighs in a report, and each of its files beside the name.
END_BYTES = 300
FILE_BYTES = 64
# So many attempts that were cancelled before they arrived are remembered.
BURIED_LIMIT = 100_000
# How much of the lease is kept in hand for clocks that differ and containers that die slowly.
LEASE_MARGIN = 0.1
# An agent that returns when its lease is over still has time to hear from the server first.
ASK_FIRST_SECONDS = 5.0
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
        self.pending_output_bytes = 0
        self._lease_seconds = 0.0
        self._lease_until: float | None = None  # monotonic; None: the server was never heard
        self._counter = 0
        self._seen = 0
        self._sync_counter = 0
        self._sync_sent = 0.0
        self._outbox = _Outbox()
        self._buried: dict[Key, None] = {}  # cancelled before they arrived: a late lease of them is ignored
        self._ready: deque[Key] = deque()
        self._ends: deque[float] = deque()
        self._told_ahead = 0
        self._report_since: float | None = None
        self._used_cores = 0.0
        self._used_memory = 0
        self._queued = 0
        self._queued_cores = 0.0
        self._queued_memory = 0
        self._unconfirmed = 0
        self._closing: int | None = None  # since when (wall clock) it takes nothing more
        self._of_task: dict[int, int] = {}

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
        )

    def report_due(self, mono: float) -> float | None:
        """Return when the next report should leave (monotonic), or None when there is nothing to tell."""
        box = self._outbox
        if not (box.started or box.outputs or box.exited or self._sendable()):
            # Room that was told for a burst must be taken back, or slow work would queue up behind it.
            return mono if self._told_ahead and not self._ends_now(mono) else None
        if self._report_since is None:
            self._report_since = mono
        if self._ends_now(mono) < BUSY_ENDS or len(box.ended) >= AHEAD_LIMIT:
            return mono
        return self._report_since + BUSY_DELAY

    def next_report(self, mono: float) -> wire.Report:
        """Take what is to be told; `receipt` or `report_failed` must follow before the next one."""
        box = self._outbox
        outputs: list[wire.Output] = []
        size = 0
        while box.outputs and size < REPORT_BYTES and len(outputs) < REPORT_ITEMS:
            piece = box.outputs.popleft()
            outputs.append(piece)
            size += len(piece.data)
        waiting = {(piece.task, piece.number, piece.attempt) for piece in box.outputs}
        ended: list[wire.Ended] = []
        for key, end in box.ended.items():
            if size >= REPORT_BYTES or len(ended) >= REPORT_ITEMS:
                break
            if key not in waiting and not ((held := self.attempts.get(key)) and held.held_back):
                ended.append(end)
                size += END_BYTES + sum(FILE_BYTES + len(file.path) for file in end.files)
        for end in ended:
            del box.ended[(end.task, end.number, end.attempt)]
        started, box.started = box.started, []
        exited, box.exited = box.exited, []
        over = {(end.task, end.number, end.attempt) for end in ended}
        self._report_since = None
        self._counter += 1
        return wire.Report(
            protocol=wire.PROTOCOL,
            node=self.node,
            boot=self.boot,
            incarnation=self.incarnation,
            room=self._room(mono),
            seen=self._seen,
            counter=self._counter,
            # An end tells the start and the exit too.
            started=[s for s in started if (s.task, s.number, s.attempt) not in over],
            outputs=outputs,
            exited=[e for e in exited if (e.task, e.number, e.attempt) not in over],
            ended=ended,
        )

    def receipt(self, report: wire.Report, receipt: wire.Receipt) -> list[Effect]:
        """Take the server's answer: what it acknowledged is durable."""
        effects: list[Effect] = []
        self.pending_output_bytes -= sum(len(piece.data) for piece in report.outputs)
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
        return effects

    def report_failed(self, report: wire.Report) -> None:
        """Take back a report that may not have arrived: all of it is told again, in the same order."""
        box = self._outbox
        box.started[:0] = report.started
        box.outputs.extendleft(reversed(report.outputs))
        box.exited[:0] = report.exited
        box.ended = {(e.task, e.number, e.attempt): e for e in report.ended} | box.ended

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
        self.incarnation = orders.incarnation
        self._seen = orders.sequence
        self._lease_seconds = orders.lease_seconds
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
        for work in orders.works:
            if work.task not in self._of_task:
                self.works.pop(work.task, None)
        return effects

    def recover(self, key: Key, started_at: int, end: RunEnd | None) -> None:
        """Take in a run that an earlier boot of the agent started; the server will say whether it is ours."""
        attempt = Attempt(key, Phase.RUNNING, confirmed=False, started_at=started_at, exit=end)
        self._hold(attempt)

    @property
    def lease_until(self) -> float | None:
        """Until when (monotonic) this node may run what it holds; None: the server was never heard."""
        return self._lease_until

    def resume_lease(self, until: float, mono: float) -> None:
        """Go on counting the lease of an earlier boot."""
        self._lease_until = max(until, mono + ASK_FIRST_SECONDS)

    def prepared(self, key: Key, mono: float) -> list[Effect]:
        """The attempt has all that it needs to start."""
        attempt = self.attempts.get(key)
        if attempt is None or attempt.phase is not Phase.QUEUED:
            return []
        attempt.phase = Phase.READY
        self._ready.append(key)
        return self._admit()

    def failed(self, key: Key, end: RunEnd, mono: float) -> list[Effect]:
        """The attempt could not be prepared."""
        attempt = self.attempts.get(key)
        if attempt is None or attempt.phase is not Phase.QUEUED:
            return []
        return self._finish(attempt, end, mono)

    def started(self, key: Key, at: int) -> list[Effect]:
        """The command runs."""
        attempt = self.attempts.get(key)
        if attempt is not None and attempt.phase is Phase.RUNNING and attempt.started_at is None:
            attempt.started_at = at
            if not attempt.dropped:
                self._outbox.started.append(wire.Started(*key, at))
        return []

    def exited(self, key: Key, end: RunEnd, mono: float) -> list[Effect]:
        """The command is over, whatever the way, and nothing of it runs any more."""
        attempt = self.attempts.get(key)
        if attempt is None or attempt.phase is not Phase.RUNNING or attempt.exit is not None:
            return []
        attempt.exit = end
        if not (attempt.confirmed or attempt.dropped or attempt.verdict is not None):
            return []  # whose it is must be known first
        return self._collect(attempt, mono)

    def output(self, key: Key, stream: int, offset: int, data: bytes) -> None:
        """Tell a piece of output; pieces of one stream come in order."""
        attempt = self.attempts.get(key)
        if attempt is not None and not attempt.dropped and data:
            self._outbox.outputs.append(wire.Output(*key, stream, offset, data))
            self.pending_output_bytes += len(data)

    def collected(
        self, key: Key, files: Iterable[wire.ResultFile], notes: Iterable[str], failure: RunEnd | None, mono: float
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
        return self._finish(attempt, end, mono, files=list(files), notes=list(notes))

    def tick(self, mono: float, wall: int) -> list[Effect]:
        """Let time pass: when the lease is over, everything stops."""
        if self._lease_until is None or mono < self._lease_until:
            return []
        return self._give_up(wall, "the node could not reach the server for a whole lease")

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
            self._enqueue(attempt, 1)
        self._unconfirmed += not attempt.confirmed

    def _enqueue(self, attempt: Attempt, step: int) -> None:
        self._queued += step
        self._queued_cores += step * attempt.cores
        self._queued_memory += step * attempt.memory_bytes

    def _confirm(self, known: wire.Known, effects: list[Effect]) -> None:
        attempt = self.attempts.get((known.task, known.number, known.attempt))
        if attempt is None or attempt.confirmed or known.task not in self.works:
            return
        self._take_back(attempt)
        if attempt.started_at is not None:
            self._outbox.started.append(wire.Started(*attempt.key, attempt.started_at))
        effects.append(Resume(attempt.key, known.stdout_bytes, known.stderr_bytes))
        if attempt.exit is not None:
            effects.extend(self._collect(attempt, 0.0))

    def _take_back(self, attempt: Attempt) -> None:
        """Make a run of an earlier boot one of ours again, with the room that it takes."""
        attempt.confirmed = True
        self._unconfirmed -= 1
        work = self.works[attempt.key[0]]
        attempt.cores, attempt.memory_bytes = work.cores, work.memory_bytes
        self._used_cores += attempt.cores
        self._used_memory += attempt.memory_bytes

    def _admit(self) -> list[Effect]:
        """Start what is ready, oldest first, while there are cores."""
        effects: list[Effect] = []
        while self._ready:
            attempt = self.attempts.get(self._ready[0])
            if attempt is None or attempt.phase is not Phase.READY:
                self._ready.popleft()
                continue
            if self._used_cores > 0 and self._used_cores + attempt.cores > self.offer.cores + 1e-9:
                break
            if self._used_memory > 0 and self._used_memory + attempt.memory_bytes > self.offer.memory_bytes:
                break
            self._ready.popleft()
            attempt.phase = Phase.RUNNING
            self._enqueue(attempt, -1)
            self._used_cores += attempt.cores
            self._used_memory += attempt.memory_bytes
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
            self._ends.append(mono)
        key = attempt.key
        if attempt.dropped:
            effects: list[Effect] = []
            self._forget(key, effects)
            return effects + self._admit()
        run = attempt.exit or end
        if end.exit_code and not end.error_code and not end.lost:
            end = replace(end, error_code="EXIT_CODE", error_message=_exit_message(end.exit_code))
        self._outbox.ended[key] = wire.Ended(
            task=key[0],
            number=key[1],
            attempt=key[2],
            at=end.at,
            exit_code=end.exit_code,
            error_code=end.error_code,
            error_message=end.error_message,
            lost=end.lost,
            started_at=attempt.started_at,
            exited_at=run.at if attempt.started_at is not None else None,
            cpu_microseconds=run.cpu_microseconds,
            peak_memory=run.peak_memory,
            files=files or [],
            notes=notes or [],
        )
        return self._admit()

    def _leave(self, attempt: Attempt) -> None:
        """Give back the room that the attempt takes, or would take."""
        if attempt.phase in (Phase.QUEUED, Phase.READY):
            self._enqueue(attempt, -1)
        elif attempt.phase is Phase.RUNNING:
            self._release(attempt)

    def _release(self, attempt: Attempt) -> None:
        if attempt.confirmed:
            self._used_cores = max(0.0, self._used_cores - attempt.cores)
            self._used_memory = max(0, self._used_memory - attempt.memory_bytes)

    def _rewind(self, attempt: Attempt, known: wire.Known, effects: list[Effect]) -> None:
        """Send the output again from where the server's copy ends; an end waits for it."""
        kept = deque(p for p in self._outbox.outputs if (p.task, p.number, p.attempt) != attempt.key)
        self.pending_output_bytes -= sum(
            len(p.data) for p in self._outbox.outputs if (p.task, p.number, p.attempt) == attempt.key
        )
        self._outbox.outputs = kept
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
        task = key[0]
        self._of_task[task] -= 1
        if not self._of_task[task]:
            del self._of_task[task]
            self.works.pop(task, None)

    def _sendable(self) -> bool:
        return any(not ((held := self.attempts.get(key)) and held.held_back) for key in self._outbox.ended)

    def _room(self, mono: float) -> wire.Room:
        ahead = self._ahead(mono)
        self._told_ahead = ahead
        if self._closing is not None:
            return wire.Room()
        if self._unconfirmed:
            return wire.Room()  # what the found runs need is not known yet
        cores = self.offer.cores - self._used_cores - self._queued_cores
        memory = self.offer.memory_bytes - self._used_memory - self._queued_memory
        return wire.Room(max(0.0, cores), max(0, memory), ahead)

    def _ends_now(self, mono: float) -> int:
        """Return how many ended in the last `AHEAD_SECONDS`."""
        while self._ends and self._ends[0] < mono - AHEAD_SECONDS:
            self._ends.popleft()
        return len(self._ends)

    def _ahead(self, mono: float) -> int:
        wanted = min(AHEAD_LIMIT, self._ends_now(mono))
        # Not for every few that ended: leases come in batches, and cost the server less.
        return wanted - self._queued if self._queued <= wanted * 3 // 4 else 0


def _exit_message(exit_code: int) -> str:
    if exit_code > 128:
        return f"the command was ended by signal {exit_code - 128} (exit code {exit_code})"
    return f"the command ended with exit code {exit_code}"
