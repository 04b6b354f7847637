"""Reading output: the merged view of a task, or what one instance or one attempt of it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

from hearth.domain.bundle import SEVERAL, Chunk, Row, chunks_in, places
from hearth.domain.output import Lead
from hearth.store.tables import attempts, chunks, instances, streams

# Rows come in small portions on PostgreSQL too: each may have hundreds of kilobytes.
_IN_PORTIONS = {"stream_results": True, "max_row_buffer": 64}
_ROW = (
    chunks.c.position,
    chunks.c.number,
    chunks.c.attempt,
    chunks.c.lead,
    chunks.c.instance_start,
    chunks.c.segments,
    chunks.c.data,
)
_BYTES = {
    0: (attempts.c.stdout_bytes, instances.c.stdout_bytes),
    1: (attempts.c.stderr_bytes, instances.c.stderr_bytes),
}


@dataclass(frozen=True, slots=True)
class View:
    """A stream as somebody looks at it; offsets count the bytes of what is shown."""

    task_id: int
    stream: int
    number: int | None = None  # None: all instances, each line with its instance in front
    attempt: int | None = None  # of the instance; None: all, one after another


def bounds(connection: Connection, view: View) -> tuple[int, int]:
    """Return where a view begins in what its instance wrote (0 for the merged one), and the offset of its end."""
    if view.number is None:
        query = select(streams.c.size_bytes).where(streams.c.task_id == view.task_id, streams.c.stream == view.stream)
        return 0, connection.execute(query).scalar() or 0
    over, current = _BYTES[view.stream]
    row = connection.execute(
        select(instances.c.attempt, current).where(
            instances.c.task_id == view.task_id, instances.c.number == view.number
        )
    ).first()
    if row is None:
        return 0, 0
    sizes = {int(row[0]): int(row[1])}
    older = select(attempts.c.attempt, over).where(
        attempts.c.task_id == view.task_id, attempts.c.number == view.number, attempts.c.attempt < row[0]
    )
    sizes.update((int(attempt), int(size)) for attempt, size in connection.execute(older))
    if view.attempt is None:
        return 0, sum(sizes.values())
    return sum(size for attempt, size in sizes.items() if attempt < view.attempt), sizes.get(view.attempt, 0)


def read(connection: Connection, view: View, since: int) -> Iterator[tuple[int, bytes]]:
    """Yield what is there from the offset `since` on: pieces with their offset, nothing of them before it."""
    begin, _ = bounds(connection, view)
    for chunk in read_chunks(connection, view, since):
        start, text = (
            (chunk.position, chunk.shown()) if view.number is None else (chunk.instance_start - begin, chunk.data)
        )
        if start < since:
            start, text = since, text[since - start :]
        yield start, text


def read_chunks(connection: Connection, view: View, since: int) -> Iterator[Chunk]:
    """Yield the chunks of a view that end after the offset `since`, in order."""
    if view.number is None:
        for row in _rows(connection, _from(_stream(view), chunks.c.position, since).order_by(chunks.c.position)):
            if row.segments is None and row.position >= since:
                yield Chunk(row.position, row.number, row.attempt, Lead(row.lead), row.instance_start, row.data)
                continue
            for chunk in chunks_in(row):
                if chunk.position + len(chunk.shown()) > since:
                    yield chunk
        return
    begin, _ = bounds(connection, view)
    since += begin
    for chunk in _instance_chunks(connection, view, view.number, since):
        if view.attempt not in (None, chunk.attempt):
            continue
        if chunk.instance_start + len(chunk.data) > since:
            yield chunk


def _instance_chunks(connection: Connection, view: View, number: int, since: int) -> Iterator[Chunk]:
    mine = _stream(view).where(chunks.c.number == number)
    own = _from(mine, chunks.c.instance_start, since).order_by(chunks.c.instance_start)
    bundles = _bundled(connection, view, number, since)
    if not bundles:
        for row in _rows(connection, own):
            yield from chunks_in(row)
        return
    # A task that has ended: some of it may be in rows of its own, some in bundles with others'.
    spots = [(row[0], row[1], -1, 0) for row in connection.execute(own.with_only_columns(*_SPOT))]
    for start, position, begin, size in sorted(spots + bundles):
        [row] = _rows(connection, select(*_ROW).where(*_one(view, position)))
        if begin < 0:
            yield from chunks_in(row)
        else:
            attempt = next(p.attempt for p in places(row.segments or b"", number) if p.begin == begin)
            yield Chunk(position, number, attempt, Lead.PREFIX, start, row.data[begin : begin + size])


_SPOT = (chunks.c.instance_start, chunks.c.position)


def _bundled(connection: Connection, view: View, number: int, since: int) -> list[tuple[int, int, int, int]]:
    """Return where bundles hold an instance's output: its offset, the row's position, and where in its data."""
    query = select(chunks.c.position, chunks.c.segments).where(
        chunks.c.task_id == view.task_id, chunks.c.stream == view.stream, chunks.c.number == SEVERAL
    )
    return [
        (place.instance_start, position, place.begin, place.size)
        for position, segments in connection.execute(query.execution_options(**_IN_PORTIONS))
        for place in places(segments, number)
        if place.instance_start + place.size > since
    ]


def _stream(view: View) -> Select[Any]:
    return select(*_ROW).where(chunks.c.task_id == view.task_id, chunks.c.stream == view.stream)


def _one(view: View, position: int) -> tuple[Any, ...]:
    return (chunks.c.task_id == view.task_id, chunks.c.stream == view.stream, chunks.c.position == position)


def _from(query: Select[Any], offset: Any, since: int) -> Select[Any]:
    """Begin with the last row that begins at or before `since`: it may reach beyond."""
    if since <= 0:
        return query
    last = query.with_only_columns(func.max(offset)).where(offset <= since).scalar_subquery()
    return query.where(offset >= func.coalesce(last, 0))


def _rows(connection: Connection, query: Select[Any]) -> Iterator[Row]:
    for row in connection.execute(query.execution_options(**_IN_PORTIONS)):
        yield Row(*row)
