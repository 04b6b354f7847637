"""Take what a node tells: starts, output and ends of attempts, in one transaction.

An attempt that is no longer the current one is refused by its number, and nothing of it is stored. The
transaction that ends an instance also makes its result files visible: publication is exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from hearth.control.changes import Changes
from hearth.control.publish import Publisher, is_published, without_files
from hearth.control.snapshot_parts import Parts
from hearth.control.store_output import OutputLimits, store_output
from hearth.domain.errors import HearthError, StaleLease
from hearth.domain.instance import Ended, Exited, Failure, Lost, Published, Started
from hearth.store.queries import snapshots
from hearth.wire import agent as wire

_Key = tuple[int, int, int]


@dataclass(slots=True)
class Outcome:
    """What a report led to."""

    receipt: wire.Receipt
    requeued: bool  # something waits that did not before
    ended_tasks: list[int] = field(default_factory=list)


def report(
    connection: Connection, message: wire.Report, *, now: int, losses_allowed: int, limits: OutputLimits
) -> Outcome:
    """Store a report; what is refused is named in the receipt."""
    kinds = (message.started, message.outputs, message.exited, message.ended, message.snapshots)
    keys = {(item.task, item.number) for items in kinds for item in items}
    changes = Changes(connection, now)
    changes.load_tasks(task for task, _ in keys)
    present = {key for key in keys if key[0] in changes.tasks}
    changes.load_instances(present)
    refused: dict[_Key, wire.Refusal] = {}
    known: dict[_Key, wire.Known] = {}

    for item in (item for items in kinds for item in items):
        if (item.task, item.number) not in present:
            refused[(item.task, item.number, item.attempt)] = wire.Refusal(item.task, item.number, item.attempt)

    for start in message.started:
        _advance(changes, start, Started(start.attempt, start.at, start.download_microseconds), refused)
    store_output(changes, message.outputs, refused, known, limits)
    for exited in message.exited:
        _advance(changes, exited, Exited(exited.attempt, exited.exit_code, exited.at), refused)
    publisher = Publisher(changes)
    if message.snapshots:
        _take_snapshots(changes, publisher, message.snapshots, refused)
    for end in message.ended:
        key = (end.task, end.number, end.attempt)
        if key in refused or key in known:
            continue  # its output is not whole yet: the agent sends both again
        if end.lost:
            lost = Lost(end.attempt, now, end.error_message, losses_allowed, counts=not end.returned)
            _advance(changes, end, lost, refused)
        else:
            _end(changes, publisher, end, refused)
    before = {task_id: task.state for task_id, task in changes.tasks.items()}
    publisher.save()
    changes.save()
    over = [task_id for task_id, task in changes.tasks.items() if task.state.is_final and not before[task_id].is_final]
    return Outcome(wire.Receipt(list(refused.values()), list(known.values())), changes.room_made, over)


def _end(changes: Changes, publisher: Publisher, end: wire.Ended, refused: dict[_Key, wire.Refusal]) -> None:
    """End an attempt; files that cannot be stored make it a failure of its own, not one of the report."""
    event = _ended(publisher, end)
    shown: list[str] = []
    if end.files and is_published(changes.stored(end.task, end.number).instance, event):
        try:
            shown = publisher.show(end)
        except HearthError as refusal:
            end = without_files(end, refusal)
            event = _ended(publisher, end)
    if Published(end.attempt) in _advance(changes, end, event, refused):
        publisher.note(end, shown)


def _take_snapshots(
    changes: Changes, publisher: Publisher, told: list[wire.SnapshotPart], refused: dict[_Key, wire.Refusal]
) -> None:
    """Note how far parts of snapshots are; let the bucket show the files of those that are over."""
    parts = Parts(
        changes.connection,
        changes.now,
        snapshots.open_by_key(changes.connection, {(p.snapshot, p.number) for p in told}),
    )
    for item in told:
        key = (item.task, item.number, item.attempt)
        if key in refused:
            continue
        instance = changes.stored(item.task, item.number).instance
        if instance.attempt != item.attempt or not instance.state.is_live:
            refused[key] = wire.Refusal(*key)
            continue
        part = parts.find(item.snapshot, item.number, item.attempt)
        if part is None or part.task_id != item.task:
            continue  # it is over already, and its answer was lost
        parts.tell(part, item.size_bytes, item.transferred_bytes)
        if not item.over:
            continue
        error = item.error
        if not error and item.files:
            chosen = parts.chosen(part)
            try:
                publisher.put(item.task, chosen.bucket, chosen.prefix, item.files)
            except HearthError as refusal:
                error = f"its {len(item.files)} files could not be stored: {refusal.message}"
        parts.close(part, error=error, files=0 if error else len(item.files))
    changes.complete_snapshots(parts.save())


def _ended(publisher: Publisher, end: wire.Ended) -> Ended:
    changes = publisher.changes
    failure = Failure(end.error_code, end.error_message) if end.error_code else None
    retry = False
    if failure is not None:
        task = changes.tasks[end.task]
        instance = changes.stored(end.task, end.number).instance
        wanted = not (task.cancel_requested or task.delete_requested)
        retry = wanted and task.rule.allows(instance.failures + 1, changes.retries(end.task))
    return Ended(
        attempt=end.attempt,
        at=changes.now,
        exit_code=end.exit_code,
        failure=failure,
        started_at=end.started_at,
        exited_at=end.exited_at,
        cpu_microseconds=end.cpu_microseconds,
        peak_memory=end.peak_memory,
        download_microseconds=end.download_microseconds,
        retry=retry,
        results_wanted=bool(end.files) and _uploads_on_cancel(publisher, end.task),
    )


def _uploads_on_cancel(publisher: Publisher, task_id: int) -> bool:
    return publisher.changes.tasks[task_id].cancel_requested and bool(publisher.spec(task_id).upload_on_cancel)


def _advance(
    changes: Changes,
    item: wire.Started | wire.Exited | wire.Ended,
    event: Started | Exited | Ended | Lost,
    refused: dict[_Key, wire.Refusal],
) -> list[object]:
    key = (item.task, item.number, item.attempt)
    if key in refused:
        return []
    try:
        return list(changes.advance(item.task, item.number, event))
    except StaleLease:
        refused[key] = wire.Refusal(*key)
        return []
