"""Output: chunks in order of acceptance, their place in the merged stream, and cursors of "fresh" readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from hearth.domain import output as merging
from hearth.store.tables import chunks, cursors, streams, tasks

MERGED = -1


@dataclass(slots=True)
class Stream:
    """Where a task's merged stream ends."""

    task_id: int
    stream: int
    account_id: int
    chunks: int = 0
    size_bytes: int = 0
    stored_bytes: int = 0
    tail: tuple[int, int] | None = None
    is_new: bool = True

    def append(self, number: int, attempt: int, data: bytes) -> dict[str, Any]:
        """Give the chunk its place and return its row."""
        lead = merging.lead_of(self.tail, number, attempt)
        row = {
            "task_id": self.task_id,
            "stream": self.stream,
            "position": self.chunks,
            "account_id": self.account_id,
            "number": number,
            "attempt": attempt,
            "lead": int(lead),
            "merged_start": self.size_bytes,
            "data": data,
        }
        self.chunks += 1
        self.size_bytes += len(merging.merged(data, number, lead))
        self.stored_bytes += len(data)
        self.tail = (number, attempt) if merging.leaves_open(data) else None
        return row


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
                tail,
                is_new=False,
            )
    return found


def save(connection: Connection, changed: Sequence[Stream], rows: Sequence[dict[str, Any]]) -> None:
    """Store chunks and the new ends of their streams."""
    if rows:
        connection.execute(insert(chunks), rows)
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
            "tail_number": None if stream.tail is None else stream.tail[0],
            "tail_attempt": None if stream.tail is None else stream.tail[1],
        }
        (new if stream.is_new else old).append(values)
    if new:
        connection.execute(insert(streams), new)
    for values in old:
        connection.execute(
            update(streams)
            .where(streams.c.task_id == values["task_id"], streams.c.stream == values["stream"])
            .values(values)
        )


def read(
    connection: Connection, task_id: int, stream: int, number: int | None, since: int = 0, attempt: int | None = None
) -> tuple[bytes, int]:
    """Return the output from chunk position `since` on, and the position after it; `attempt` is an instance's."""
    parts: list[bytes] = []
    position = since
    for at, data, owner, lead in _chunks(connection, task_id, stream, number, since, attempt):
        parts.append(data if number is not None else merging.merged(data, owner, merging.Lead(lead)))
        position = at + 1
    return b"".join(parts), position


def _chunks(
    connection: Connection, task_id: int, stream: int, number: int | None, since: int, attempt: int | None
) -> Iterator[tuple[int, bytes, int, int]]:
    query = select(chunks.c.position, chunks.c.data, chunks.c.number, chunks.c.lead).where(
        chunks.c.task_id == task_id, chunks.c.stream == stream, chunks.c.position >= since
    )
    if number is not None:
        query = query.where(chunks.c.number == number)
    if attempt is not None:
        query = query.where(chunks.c.attempt == attempt)
    for row in connection.execute(query.order_by(chunks.c.position)):
        yield row[0], row[1], row[2], row[3]


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
