"""Bundle the rows of ended tasks' output, a bounded step at a time; every view reads the same before and after."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, delete, insert, literal_column, select, update

from hearth.domain.bundle import Row, bundle, chunks_in
from hearth.domain.task import TaskState
from hearth.store.tables import chunks, streams, tasks

# From so many rows on there is something to gain; written out, or no partial index (ix_streams_loose) would be used.
LOOSE_ROWS: ColumnElement[int] = literal_column("32")
# What one step reads at most, and how large a bundle becomes.
STEP_ROWS = 1000
STEP_BYTES = 1 << 20
BUNDLE_BYTES = 256 << 10

_ROW = (
    chunks.c.position,
    chunks.c.number,
    chunks.c.attempt,
    chunks.c.lead,
    chunks.c.instance_start,
    chunks.c.segments,
    chunks.c.data,
)
_FINAL = tuple(state.value for state in TaskState if state.is_final)


def loose(connection: Connection, ended_before: int) -> tuple[int, int] | None:
    """Return a stream (task, 0 or 1) of a task that ended before that time and is worth bundling."""
    row = connection.execute(
        select(streams.c.task_id, streams.c.stream)
        .join(tasks, tasks.c.id == streams.c.task_id)
        .where(
            streams.c.chunks >= LOOSE_ROWS,
            streams.c.compacted_to < streams.c.size_bytes,
            tasks.c.ended_at < ended_before,
            tasks.c.deleted_at.is_(None),
        )
        .order_by(streams.c.task_id)
        .limit(1)
    ).first()
    return None if row is None else (row[0], row[1])


def step(connection: Connection, task_id: int, stream: int) -> bool:
    """Bundle the next rows of a stream; return whether there are more. All or nothing of a step is on disk."""
    held = select(tasks.c.state, tasks.c.deleted_at).where(tasks.c.id == task_id).with_for_update(key_share=True)
    task = connection.execute(held).first()
    here = (streams.c.task_id == task_id, streams.c.stream == stream)
    now = connection.execute(
        select(streams.c.compacted_to, streams.c.size_bytes, streams.c.chunks).where(*here)
    ).first()
    if task is None or task[0] not in _FINAL or task[1] is not None or now is None or now[0] >= now[1]:
        return False
    account_id, rows, at_end = _next_rows(connection, task_id, stream, now[0])
    saved = 0
    for group in _groups(rows):
        if len(group) > 1:
            _replace(connection, (task_id, stream, account_id), group)
            saved += len(group) - 1
    done = now[1] if at_end else rows[-1].position + 1
    connection.execute(update(streams).where(*here).values(compacted_to=done, chunks=now[2] - saved))
    return not at_end


def _next_rows(connection: Connection, task_id: int, stream: int, since: int) -> tuple[int, list[Row], bool]:
    """Return rows from an offset on, whose account they are, and whether nothing comes after them."""
    query = (
        select(chunks.c.account_id, *_ROW)
        .where(chunks.c.task_id == task_id, chunks.c.stream == stream, chunks.c.position >= since)
        .order_by(chunks.c.position)
        .limit(STEP_ROWS)
        .execution_options(stream_results=True, max_row_buffer=64)
    )
    rows: list[Row] = []
    account_id = size = 0
    with connection.execute(query) as found:
        for values in found:
            account_id, row = values[0], Row(*values[1:])
            rows.append(row)
            size += len(row.data)
            if size >= STEP_BYTES:
                return account_id, rows, False
    return account_id, rows, len(rows) < STEP_ROWS


def _groups(rows: list[Row]) -> Iterator[list[Row]]:
    """Split rows into neighbours that fit into one bundle; where rotation took something, a group ends."""
    group: list[Row] = []
    size = end = 0
    for row in rows:
        if group and (row.position != end or size + len(row.data) > BUNDLE_BYTES):
            yield group
            group, size = [], 0
        group.append(row)
        size += len(row.data)
        end = row.position + sum(len(chunk.shown()) for chunk in chunks_in(row))
    if group:
        yield group


def _replace(connection: Connection, owner: tuple[int, int, int], group: list[Row]) -> None:
    task_id, stream, account_id = owner
    first, last = group[0].position, group[-1].position
    connection.execute(
        delete(chunks).where(
            chunks.c.task_id == task_id, chunks.c.stream == stream, chunks.c.position.between(first, last)
        )
    )
    one = dict(zip(Row._fields, bundle(group), strict=True))
    connection.execute(insert(chunks).values(task_id=task_id, stream=stream, account_id=account_id, **one))
