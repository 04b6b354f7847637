"""Take the output that a node tells, in the transaction of its report, and drop the oldest above the caps."""

from __future__ import annotations

from dataclasses import dataclass

from hearth.control.changes import Changes
from hearth.store.queries import output
from hearth.wire import agent as wire

_Key = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """How many bytes of output are kept, the newest: per instance and stream, and per task and stream."""

    instance_bytes: int
    task_bytes: int


def store_output(
    changes: Changes,
    pieces: list[wire.Output],
    refused: dict[_Key, wire.Refusal],
    known: dict[_Key, wire.Known],
    limits: OutputLimits,
) -> None:
    """Append what joins on; note in `refused` whose words do not count, in `known` where to go on from."""
    wanted = {piece.task for piece in pieces if piece.task in changes.tasks}
    if not wanted:
        return
    streams = output.load_streams(changes.connection, {task: changes.tasks[task].account_id for task in wanted})
    # A first attempt has nothing before it: most reports ask nothing here.
    later = {(piece.task, piece.number) for piece in pieces if piece.attempt > 1 and piece.task in wanted}
    before = output.written_before(changes.connection, later)
    rows: list[dict[str, object]] = []
    grown: dict[tuple[int, int], output.Stream] = {}
    written: dict[tuple[int, int, int], int] = {}  # by the instances of this report to each stream, ever
    for piece in pieces:
        key = (piece.task, piece.number, piece.attempt)
        if key in refused or key in known:
            continue
        stored = changes.stored(piece.task, piece.number)
        if stored.instance.attempt != piece.attempt or not stored.instance.state.is_live:
            refused[key] = wire.Refusal(*key)
            continue
        have = stored.stderr_bytes if piece.stream else stored.stdout_bytes
        if piece.offset - piece.skipped > have:
            known[key] = wire.Known(*key, stored.stdout_bytes, stored.stderr_bytes)
            continue
        stream = streams[(piece.task, piece.stream)]
        if piece.offset > have:
            stream.skip(piece.offset - have)
            have = piece.offset
        data = piece.data[have - piece.offset :]
        if not data:
            continue
        start = before.get(key[:2], (0, 0))[piece.stream] + have
        rows.append(stream.append(piece.number, piece.attempt, start, data))
        grown[(piece.task, piece.stream)] = stream
        written[(piece.task, piece.stream, piece.number)] = start + len(data)
        sizes = (stored.stdout_bytes, have + len(data)) if piece.stream else (have + len(data), stored.stderr_bytes)
        changes.set_output_sizes(piece.task, piece.number, *sizes)
    output.add_chunks(changes.connection, rows)
    for (task, index, number), total in written.items():
        output.rotate_instance(changes.connection, streams[(task, index)], number, total, limits.instance_bytes)
    for stream in grown.values():
        output.rotate(changes.connection, stream, limits.task_bytes)
    output.save(changes.connection, list(grown.values()))
