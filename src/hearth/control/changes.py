"""The one place where instances and tasks change: read, `advance`, save, in the caller's transaction.

A command makes one `Changes`, loads the tasks and instances it speaks about (locking the tasks, in order),
advances instances one by one, and calls `save` once. Counts, ranges, states, times, history and the
account's counters are all written there, for the whole batch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection

from hearth.control.snapshot_parts import Completed, end_with_attempts
from hearth.control.times import Times
from hearth.domain.instance import (
    NODE_FAULT,
    Cancelled,
    Effect,
    Event,
    Failure,
    Instance,
    InstanceState,
    Retried,
    StopWanted,
    advance,
)
from hearth.domain.ranges import RangeSet
from hearth.domain.task import Moves, task_state
from hearth.store.queries import accounts_counters, history, instances, tasks, touched
from hearth.store.queries.instances import Stored
from hearth.store.queries.tasks import Standing, TaskRow

# Failures of a task that its history tells one by one; the counts tell of the others.
FAILURES_TOLD = 10
_DIGITS = re.compile(r"[0-9]+")


@dataclass(slots=True)
class _Tally:
    """What a batch adds to one task."""

    moves: Moves = field(default_factory=Moves)
    requeued: int = 0
    retries: int = 0
    times: Times = field(default_factory=Times)
    first_started_at: int | None = None

    def apply(self, task: Standing) -> Standing:
        return replace(
            self.times.added_to(task),
            progress=self.moves.apply(task.progress),
            requeued=task.requeued + self.requeued,
            retries=task.retries + self.retries,
            first_started_at=self.first_started_at if task.first_started_at is None else task.first_started_at,
        )


class Changes:
    """A batch of changes to instances and the tasks that they belong to."""

    def __init__(self, connection: Connection, now: int) -> None:
        self.connection = connection
        self.now = now
        self.tasks: dict[int, Standing] = {}
        self.stops: list[tuple[int, int, int, int]] = []  # node, task, number, attempt
        self.room_made = False  # something waits that did not before
        self._before: dict[int, Standing] = {}
        self._instances: dict[tuple[int, int], Stored] = {}
        self._rows: set[tuple[int, int]] = set()
        self._touched: set[tuple[int, int]] = set()
        self._tallies: dict[int, _Tally] = {}
        self._attempts: list[dict[str, object]] = []
        self._lines: list[dict[str, object]] = []  # of history
        self._given_back: dict[tuple[int, int], tuple[Instance, Failure]] = {}  # free of charge
        self._failures: dict[int, int] = {}  # instances of this batch whose failure is told in it, by task
        self._over: list[tuple[int, int, int, int]] = []  # node, task, number, attempt: with open snapshots

    def load_tasks(self, ids: Iterable[int]) -> None:
        """Lock these tasks and read how they stand."""
        loaded = tasks.lock_standings(self.connection, set(ids) - self.tasks.keys())
        self.tasks.update(loaded)
        self._before.update(loaded)

    def adopt_tasks(self, rows: Iterable[TaskRow]) -> None:
        """Take tasks that were read and locked already."""
        for row in rows:
            self.tasks[row.id] = self._before[row.id] = row.standing()

    def load_instances(self, keys: Iterable[tuple[int, int]]) -> None:
        """Read these (task, number); those without a row are untouched."""
        self.adopt(instances.load(self.connection, keys))

    def adopt(self, rows: dict[tuple[int, int], Stored]) -> None:
        """Take rows that were read already, their tasks being locked."""
        self._rows |= rows.keys()
        self._instances.update(rows)

    def stored(self, task_id: int, number: int) -> Stored:
        """Return an instance as it stands in this batch."""
        found = self._instances.get((task_id, number))
        if found is None:
            found = self._instances[(task_id, number)] = Stored(Instance(task_id, number), 0, 0)
        return found

    def set_output_sizes(self, task_id: int, number: int, stdout_bytes: int, stderr_bytes: int) -> None:
        """Note how much output of the current attempt is stored."""
        stored = self.stored(task_id, number)
        self._instances[(task_id, number)] = Stored(stored.instance, stdout_bytes, stderr_bytes)
        self._touched.add((task_id, number))

    def advance(self, task_id: int, number: int, event: Event) -> list[Effect]:
        """Apply one event; raise what `domain.instance.advance` raises."""
        stored = self.stored(task_id, number)
        before = stored.instance
        after, effects = advance(before, event)
        if after is before:
            return effects
        key = (task_id, number)
        is_new_attempt = after.attempt != before.attempt
        self._instances[key] = (
            Stored(after, 0, 0) if is_new_attempt else Stored(after, stored.stdout_bytes, stored.stderr_bytes)
        )
        self._touched.add(key)
        self._count(key, before, after)
        if after.state is InstanceState.FAILED and after.failure is not None:
            self._tell_failure(after, after.failure)
        for effect in effects:
            match effect:
                case Retried():
                    self._keep_attempt(stored, after, effect)
                    if effect.failure.code == NODE_FAULT:
                        self._given_back[key] = after, effect.failure
                    else:
                        self._tell(after, "retry" if effect.counts else "loss", effect.failure)
                case StopWanted(node_id, attempt):
                    self.stops.append((node_id, task_id, number, attempt))
        return effects

    def _count(self, key: tuple[int, int], before: Instance, after: Instance) -> None:
        tally = self._tallies.get(key[0])
        if tally is None:
            tally = self._tallies[key[0]] = _Tally()
        tally.moves.add(key[1], before.state, after.state)
        if after.started_at is not None and before.started_at is None:
            tally.moves.started(key[1])
            if tally.first_started_at is None:
                tally.first_started_at = after.started_at
        if before.state is InstanceState.WAITING and before.attempt > 0:
            tally.requeued -= 1
        if after.state is InstanceState.WAITING:
            tally.requeued += 1
            tally.retries += after.failures > before.failures
            self.room_made = True
        if before.state.is_live and not after.state.is_live:
            tally.times.add(after, self.now)
            if self.tasks[key[0]].open_snapshots and before.node_id is not None:
                self._over.append((before.node_id, *key, before.attempt))

    def retries(self, task_id: int) -> int:
        """Return how many retries the task has used, those of this batch included."""
        tally = self._tallies.get(task_id)
        return self.tasks[task_id].retries + (tally.retries if tally else 0)

    def _tell_failure(self, instance: Instance, failure: Failure) -> None:
        told = self._failures.get(instance.task_id, 0)
        if len(self.tasks[instance.task_id].progress.failed) + told < FAILURES_TOLD:
            self._failures[instance.task_id] = told + 1
            self._tell(instance, "failure", failure)

    def _tell(self, instance: Instance, kind: str, failure: Failure) -> None:
        """Add a line to the task's history on an attempt that is over."""
        self._lines.append(
            history.fact(
                self.tasks[instance.task_id].account_id,
                instance.task_id,
                self.now,
                kind,
                instance=instance.number,
                attempt=instance.attempt,
                code=failure.code,
                message=failure.message,
            )
        )

    def _keep_attempt(self, stored: Stored, after: Instance, effect: Retried) -> None:
        before = stored.instance
        self._attempts.append(
            {
                "task_id": before.task_id,
                "number": before.number,
                "attempt": effect.attempt,
                "account_id": self.tasks[before.task_id].account_id,
                "node_id": before.node_id,
                "ended_at": self.now,
                "exit_code": after.exit_code,
                "error_code": effect.failure.code,
                "error_message": effect.failure.message,
                "stdout_bytes": stored.stdout_bytes,
                "stderr_bytes": stored.stderr_bytes,
            }
        )

    def _replace_returns(self) -> None:
        """Let what was given back free of charge, which has no cap, leave one row, and no line that says the same."""
        if not self._given_back:
            return
        last = instances.forget_returns(self.connection, self._given_back)
        for key, (instance, failure) in self._given_back.items():
            if key not in last or _without_numbers(last[key]) != _without_numbers(failure.message):
                self._tell(instance, "loss", failure)
        self._given_back.clear()

    def cancel_task(self, task_id: int) -> None:
        """Cancel every instance that has not ended: waiting ones at once, whatever their number."""
        task = self.tasks[task_id]
        waiting = task.progress.waiting
        if waiting:
            instances.cancel_waiting(self.connection, task_id, self.now)
            progress = replace(task.progress, waiting=RangeSet(), cancelled=task.progress.cancelled | waiting)
            self.tasks[task_id] = replace(task, progress=progress, requeued=0)
        live = instances.live_of(self.connection, task_id)
        self.adopt({(s.instance.task_id, s.instance.number): s for s in live})
        for stored in live:
            self.advance(task_id, stored.instance.number, Cancelled(self.now))

    def fail_waiting(self, task_id: int, failure: Failure) -> None:
        """End a task none of whose instances ever came to a node: all fail, and none gets a row for it."""
        task = self.tasks[task_id]
        waiting = task.progress.waiting
        progress = replace(task.progress, waiting=RangeSet(), failed=task.progress.failed | waiting)
        self.tasks[task_id] = replace(task, progress=progress)
        error = msgspec.json.encode({"code": failure.code, "message": failure.message}).decode()
        tasks.set_columns(self.connection, task_id, {"error": error})
        told = {"code": failure.code, "message": failure.message}
        self._lines.append(history.fact(task.account_id, task_id, self.now, "failure", **told))

    def complete_snapshots(self, completed: Mapping[int, Completed]) -> None:
        """Count snapshots that are over now, by task."""
        for task_id, done in completed.items():
            task = self.tasks[task_id]
            self.tasks[task_id] = replace(
                task,
                open_snapshots=task.open_snapshots - done.snapshots,
                results_count=task.results_count + done.with_files,
            )

    def save(self) -> None:
        """Write everything that changed."""
        self._save_instances()
        self._replace_returns()
        if self._over:
            self.complete_snapshots(end_with_attempts(self.connection, self._over, self.now))
            self._over = []
        lines = self._lines
        counters: dict[int, accounts_counters.Change] = {}
        changed: list[Standing] = []
        for task_id, task in self.tasks.items():
            before = self._before[task_id]
            tally = self._tallies.get(task_id)
            if tally is not None:
                task = tally.apply(task)
            if task is before:
                continue
            state = task_state(
                task.progress, cancel_requested=task.cancel_requested, delete_requested=task.delete_requested
            )
            task = task.entered(state, self.now)
            self.tasks[task_id] = task
            changed.append(task)
            if state is not before.state:
                lines.append(history.line(task.account_id, task_id, self.now, "state", state.value))
            counter = counters.setdefault(task.account_id, accounts_counters.Change())
            more = task.progress.live - before.progress.live
            counter.live_instances += more
            counter.live_cores += more * task.demand_cores
            counter.active_tasks += before.state.is_final - state.is_final
            counter.running_tasks += (task.progress.live > 0) - (before.progress.live > 0)
            if task.delete_requested and state.is_final:
                tasks.set_columns(self.connection, task_id, {"deleted_at": self.now})
                counter.tasks -= 1
            touched.touch(self.connection, task_id)
        tasks.save_standings(self.connection, changed, self.now)
        accounts_counters.apply(self.connection, counters)
        history.add(self.connection, lines)
        instances.add_attempts(self.connection, self._attempts)
        self._tallies.clear()
        self._touched.clear()
        self._attempts = []
        self._lines = []
        self._failures.clear()
        self._before.update(self.tasks)

    def _save_instances(self) -> None:
        account_of = {task_id: task.account_id for task_id, task in self.tasks.items()}
        fresh = [self._instances[key].instance for key in self._touched if key not in self._rows]
        instances.insert_claimed(self.connection, account_of, fresh)
        instances.save(self.connection, [self._instances[key] for key in self._touched if key in self._rows])
        self._rows |= self._touched


def _without_numbers(message: str) -> str:
    """Return what stays of a message while free bytes and names of runs change."""
    return _DIGITS.sub("#", message)
