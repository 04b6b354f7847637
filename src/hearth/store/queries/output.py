"""Output as it arrives: chunks in order of acceptance, rotation, and cursors of "fresh" readers.

A chunk's position is its offset in the merged view and never changes. Above a cap the oldest rows go, whole: the
offsets of what is left stay, so whoever reads on sees by the distance how much is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from hearth.domain import output as merging
from hearth.store.pairs import boxes
from hearth.store.queries import touched
from hearth.store.tables import attempts, chunks, cursors, streams, tasks

MERGED = -1
# Whose line is open after bytes that were never sent: nobody's who will write again.
_NOBODY = (-1, 0)
# Rows that one report drops of one stream, so that the writer is not held for long; the next report goes on.
DROP_LIMIT = 4000


@dataclass(slots=True)
class Stream:
    """Where a task's merged stream ends."""

    task_id: int
    stream: int
    account_id: int
    chunks: int = 0
    size_bytes: int = 0
    stored_bytes: int = 0
    dropped_bytes: int = 0
    tail: tuple[int, int] | None = None
    is_new: bool = True

    def append(self, number: int, attempt: int, instance_start: int, data: bytes) -> dict[str, Any]:
        """Give the chunk its place and return its row."""
        lead = merging.lead_of(self.tail, number, attempt)
        row = {
            "task_id": self.task_id,
            "stream": self.stream,
            "position": self.size_bytes,
            "account_id": self.account_id,
            "number": number,
            "attempt": attempt,
            "lead": int(lead),
            "instance_start": instance_start,
            "data": data,
        }
        self.chunks += 1
        self.size_bytes += len(merging.merged(data, number, lead))
        self.stored_bytes += len(data)
        self.tail = (number, attempt) if merging.leaves_open(data) else None
        return row

    def skip(self, count: int) -> None:
        """Leave room for bytes that a node dropped itself: more than the cap was waiting there."""
        self.size_bytes += count
        self.dropped_bytes += count
        if self.tail is not None:
            self.tail = _NOBODY


def load_streams(connection: Connection, account_of: dict[int, int]) -> dict[tuple[int, int], Stream]:
    """Return both streams of each task (the caller holds the tasks' locks)."""
    found = {
        (task_id, stream): Stream(task_id, stream, account)
        for task_id, account in account_of.items()
        for stream in (0, 1)
    }
    ids = list(account_of)
    for begin in range(0, len(ids), 500):
        for row in connection.execute(
            select(streams).where(streams.c.task_id.in_(ids[begin : begin + 500]))
        ).mappings():
            tail = None if row["tail_number"] is None else (row["tail_number"], row["tail_attempt"])
            found[(row["task_id"], row["stream"])] = Stream(
                row["task_id"],
                row["stream"],
                row["account_id"],
                row["chunks"],
                row["size_bytes"],
                row["stored_bytes"],
                row["dropped_bytes"],
                tail,
                is_new=False,
            )
    return found


def add_chunks(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Store chunks, as `Stream.append` made them."""
    if rows:
        connection.execute(insert(chunks), rows)


def save(connection: Connection, changed: Sequence[Stream]) -> None:
    """Store the new ends of streams."""
    new: list[dict[str, Any]] = []
    old: list[dict[str, Any]] = []
    for stream in changed:
        values = {
            "task_id": stream.task_id,
            "stream": stream.stream,
            "account_id": stream.account_id,
            "chunks": stream.chunks,
            "size_bytes": stream.size_bytes,
            "stored_bytes": stream.stored_bytes,
            "dropped_bytes": stream.dropped_bytes,
            "tail_number": None if stream.tail is None else stream.tail[0],
            "tail_attempt": None if stream.tail is None else stream.tail[1],
        }
        (new if stream.is_new else old).append(values)
        touched.touch(connection, stream.task_id)
    if new:
        connection.execute(insert(streams), new)
    for values in old:
        connection.execute(
            update(streams)
            .where(streams.c.task_id == values["task_id"], streams.c.stream == values["stream"])
            .values(values)
        )


def rotate(connection: Connection, stream: Stream, cap: int) -> None:
    """Drop the oldest rows of a task's stream until no more than `cap` bytes are stored; the newest row stays."""
    if stream.stored_bytes <= cap + slack(cap):
        return
    oldest = _sizes(stream).order_by(chunks.c.position)
    gone = _surplus(connection, oldest, stream.stored_bytes - cap)
    if gone:
        _drop(connection, stream, gone, chunks.c.position <= gone[-1][0])


def rotate_instance(connection: Connection, stream: Stream, number: int, written: int, cap: int) -> None:
    """Drop the oldest rows of one instance, which has written that many bytes to the stream in all its attempts."""
    if written <= cap + slack(cap):
        return
    mine = _sizes(stream).where(chunks.c.number == number)
    first = connection.execute(mine.order_by(chunks.c.instance_start).limit(1)).first()
    if first is None or written - first[2] <= cap + slack(cap):
        return
    # By offsets, not by what is here: a node may have skipped what lay between.
    old = mine.where(chunks.c.instance_start < written - cap).order_by(chunks.c.instance_start).limit(DROP_LIMIT)
    gone = [(row[0], row[1], row[2]) for row in connection.execute(old)]
    newest = connection.execute(mine.order_by(chunks.c.instance_start.desc()).limit(1)).one()
    if gone and gone[-1][0] == newest[0]:
        gone.pop()
    if gone:
        _drop(connection, stream, gone, chunks.c.number == number, chunks.c.instance_start <= gone[-1][2])


def slack(cap: int) -> int:
    """Return how far a stream may grow beyond its cap before rows go: not a few at each report."""
    return min(cap // 8, 1 << 20)


def _sizes(stream: Stream) -> Select[Any]:
    return select(chunks.c.position, func.length(chunks.c.data), chunks.c.instance_start).where(
        chunks.c.task_id == stream.task_id, chunks.c.stream == stream.stream
    )


def _surplus(connection: Connection, oldest_first: Select[Any], surplus: int) -> list[tuple[int, int, int]]:
    """Return the oldest rows that together have the surplus, but never the newest row."""
    rows = [(row[0], row[1], row[2]) for row in connection.execute(oldest_first.limit(DROP_LIMIT + 1))]
    gone = []
    for row in rows[:-1]:
        if surplus <= 0:
            break
        gone.append(row)
        surplus -= row[1]
    return gone


def _drop(connection: Connection, stream: Stream, gone: Sequence[tuple[int, int, int]], *which: Any) -> None:
    connection.execute(
        delete(chunks).where(chunks.c.task_id == stream.task_id, chunks.c.stream == stream.stream, *which)
    )
    size = sum(row[1] for row in gone)
    stream.chunks -= len(gone)
    stream.stored_bytes -= size
    stream.dropped_bytes += size


def written_before(
    connection: Connection, instances: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], tuple[int, int]]:
    """Return how many bytes of stdout and stderr earlier attempts of these (task, number) wrote, which run again."""
    asked = set(instances)
    found = {}
    for firsts, seconds in boxes(asked):
        query = (
            select(
                attempts.c.task_id,
                attempts.c.number,
                func.sum(attempts.c.stdout_bytes),
                func.sum(attempts.c.stderr_bytes),
            )
            .where(attempts.c.task_id.in_(firsts), attempts.c.number.in_(seconds))
            .group_by(attempts.c.task_id, attempts.c.number)
        )
        for task_id, number, stdout_bytes, stderr_bytes in connection.execute(query):
            if (task_id, number) in asked:
                found[(task_id, number)] = (int(stdout_bytes), int(stderr_bytes))
    return found


def cursor(connection: Connection, task_id: int, stream: int, number: int, *, for_update: bool = False) -> int:
    """Return where the next fresh read begins; `for_update` holds the task, whose first cursor has no row yet."""
    if for_update:
        connection.execute(select(tasks.c.id).where(tasks.c.id == task_id).with_for_update(key_share=True))
    query = select(cursors.c.position).where(
        cursors.c.task_id == task_id, cursors.c.stream == stream, cursors.c.number == number
    )
    return connection.execute(query).scalar() or 0


def move_cursor(connection: Connection, account_id: int, task_id: int, stream: int, number: int, position: int) -> None:
    """Note how far fresh output was read."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(cursors).values(
        task_id=task_id, stream=stream, number=number, account_id=account_id, position=position
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["task_id", "stream", "number"], set_={"position": statement.excluded.position}
        )
    )


def delete_some(connection: Connection, task_id: int, limit: int) -> int:
    """Remove up to `limit` chunks of a deleted task, then its streams; return how many chunks."""
    positions = connection.execute(
        select(chunks.c.stream, chunks.c.position).where(chunks.c.task_id == task_id).limit(limit)
    ).all()
    for stream in {row[0] for row in positions}:
        here = [row[1] for row in positions if row[0] == stream]
        connection.execute(
            delete(chunks).where(
                chunks.c.task_id == task_id, chunks.c.stream == stream, chunks.c.position.between(min(here), max(here))
            )
        )
    if not positions:
        connection.execute(delete(streams).where(streams.c.task_id == task_id))
        connection.execute(delete(cursors).where(cursors.c.task_id == task_id))
    return len(positions)
