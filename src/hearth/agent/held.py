"""The attempts that a node holds, and how each moves on: into the queue, to its cores, to its end, out of memory.

`logic` is the talking half: it turns what is heard into these moves.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from heapq import heappush

from hearth.agent.attempt import Attempt, Collect, Discard, Effect, Key, Kill, Phase, Resume, RunEnd, Start
from hearth.agent.outbox import Outbox
from hearth.agent.room import Room
from hearth.agent.snapshot_parts import SnapshotParts
from hearth.agent.versions import Versions
from hearth.domain.secrets import secrets_of, without_secrets
from hearth.wire import agent as wire

KILLED = 137  # how shells count the end by a signal that nothing survives


class Held:
    """What one node holds, and what it has to tell of that."""

    def __init__(self, offer: wire.Offer) -> None:
        self.offer = offer
        self.attempts: dict[Key, Attempt] = {}
        self.works: dict[int, wire.Work] = {}
        self.room = Room(offer)
        self.versions = Versions()
        self.snapshots = SnapshotParts()
        self._outbox = Outbox()
        self._ready: deque[Key] = deque()
        self._unconfirmed = 0
        self._of_task: dict[int, int] = {}
        self._deadlines: list[tuple[int, Key]] = []  # by when (wall clock) runs must have ended; a heap

    @property
    def pending_output_bytes(self) -> int:
        """How much output waits for the server."""
        return self._outbox.output_bytes

    def _hold(self, attempt: Attempt) -> None:
        self.attempts[attempt.key] = attempt
        task = attempt.key[0]
        self._of_task[task] = self._of_task.get(task, 0) + 1
        if attempt.phase is Phase.QUEUED:
            self.room.enqueue(attempt, 1)
        self._unconfirmed += not attempt.confirmed

    def _attempts_of(self, task: int) -> list[Attempt]:
        return [attempt for attempt in self.attempts.values() if attempt.key[0] == task]

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

    def _goes_on(self, key: Key) -> bool:
        attempt = self.attempts.get(key)
        return attempt is not None and attempt.phase is not Phase.ENDED


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
