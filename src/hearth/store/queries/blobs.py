"""Rows of blobs: what bytes there are, where they are, and how many rows point to each.

    begin ──► ARRIVING ──settle──► WHOLE ──acquire / release──► WHOLE ──doom──► GOING ──forget──► no row
                  └────────────────────────doom───────────────────────────────────┘
    add_small, add_composite ──────► WHOLE

A blob that nothing points to may be swept once its `sweep_at` has passed: a day after it was made (somebody
still means to use it), an hour after its last row went (somebody may still be reading it).
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection, delete, insert, select, update

from hearth.domain.errors import Conflict, Missing
from hearth.store.tables import blobs

ARRIVING, WHOLE, GOING = 0, 1, 2

HOUR = 3_600_000_000
UNUSED_LIVES = 24 * HOUR
DEAD_LIVES = HOUR

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes in one place: in `data`, or in the file of `blob_id`."""

    blob_id: int
    size_bytes: int
    data: bytes | None


def begin(connection: Connection, account_id: int, now: int) -> int:
    """Make the row of a blob whose bytes are about to arrive; return its id."""
    return _add(connection, account_id, now, size_bytes=0, ready=ARRIVING)


def settle(connection: Connection, blob_id: int, size_bytes: int, now: int) -> None:
    """Write down that all bytes of a blob are on disk."""
    settled = connection.execute(
        update(blobs)
        .where(blobs.c.id == blob_id, blobs.c.ready == ARRIVING)
        .values(ready=WHOLE, size_bytes=size_bytes, sweep_at=now + UNUSED_LIVES)
    )
    if settled.rowcount != 1:
        raise Conflict(f"blob {blob_id} took too long to arrive and was swept; send it again")


def add_small(connection: Connection, account_id: int, data: bytes, now: int) -> int:
    """Keep a few bytes in the database itself; return the blob's id."""
    return _add(connection, account_id, now, size_bytes=len(data), ready=WHOLE, data=data)


def add_composite(connection: Connection, account_id: int, parts: Sequence[tuple[int, int]], now: int) -> int:
    """Make one blob of others, given as (id, size); the caller's references to them become this blob's."""
    return _add(
        connection,
        account_id,
        now,
        size_bytes=sum(size for _, size in parts),
        ready=WHOLE,
        parts=json.dumps(parts, separators=(",", ":")),
    )


def acquire(connection: Connection, account_id: int, blob_ids: Iterable[int]) -> None:
    """Count one more row that points to each blob, which must be the account's, and whole."""
    for times, ids in _by_times(blob_ids):
        taken = connection.execute(
            update(blobs)
            .where(blobs.c.id.in_(ids), blobs.c.account_id == account_id, blobs.c.ready == WHOLE)
            .values(references=blobs.c.references + times)
        )
        if taken.rowcount != len(ids):
            raise Conflict("some of the bytes are not there, or no longer: send them again")


def release(connection: Connection, blob_ids: Iterable[int], now: int, *, lives: int = DEAD_LIVES) -> None:
    """Count one row less that points to each blob; those left without any live for `lives` more."""
    for times, ids in _by_times(blob_ids):
        connection.execute(
            update(blobs).where(blobs.c.id.in_(ids)).values(references=blobs.c.references - times, sweep_at=now + lives)
        )


def pieces(connection: Connection, blob_id: int) -> list[Piece]:
    """Return where a blob's bytes are, in order."""
    row = connection.execute(
        select(blobs.c.size_bytes, blobs.c.ready, blobs.c.data, blobs.c.parts).where(blobs.c.id == blob_id)
    ).one_or_none()
    if row is None or row.ready != WHOLE:
        raise Missing("blob", str(blob_id))
    if row.parts is None:
        return [Piece(blob_id, row.size_bytes, row.data)]
    parts: list[tuple[int, int]] = json.loads(row.parts)
    inside: dict[int, bytes | None] = {}
    for ids in _batches([part_id for part_id, _ in parts]):
        found = connection.execute(
            select(blobs.c.id, blobs.c.data).where(blobs.c.id.in_(ids), blobs.c.data.is_not(None))
        )
        inside.update({part.id: part.data for part in found})
    return [Piece(part_id, size, inside.get(part_id)) for part_id, size in parts]


@dataclass(frozen=True, slots=True)
class Doomed:
    """How many blobs were condemned, and those of them whose files may go."""

    count: int
    with_file: list[int]


def doom_old(connection: Connection, now: int, limit: int) -> Doomed:
    """Condemn up to `limit` blobs that nothing points to and whose time is over; see `doom`."""
    found = connection.execute(
        select(blobs.c.id)
        .where(blobs.c.references == 0, blobs.c.sweep_at <= now)
        .order_by(blobs.c.sweep_at)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    ids = list(found.scalars())
    return Doomed(len(ids), doom(connection, ids, now))


def doom(connection: Connection, blob_ids: Iterable[int], now: int) -> list[int]:
    """Condemn those of the blobs that nothing points to: nobody can use them again.

    Those without a file go at once (a composite lets go of its parts). The others are returned: when their
    files are removed, `forget` them.
    """
    with_file: list[int] = []
    for ids in _batches(list(blob_ids)):
        rows = connection.execute(
            select(blobs.c.id, blobs.c.parts, blobs.c.data.is_not(None).label("is_small"))
            .where(blobs.c.id.in_(ids), blobs.c.references == 0)
            .with_for_update(key_share=True)
        ).all()
        without_file = [row.id for row in rows if row.is_small or row.parts is not None]
        filed = [row.id for row in rows if not row.is_small and row.parts is None]
        connection.execute(update(blobs).where(blobs.c.id.in_(filed)).values(ready=GOING, sweep_at=now))
        connection.execute(delete(blobs).where(blobs.c.id.in_(without_file)))
        for row in rows:
            if row.parts is not None:
                release(connection, [part_id for part_id, _ in json.loads(row.parts)], now, lives=0)
        with_file += filed
    return with_file


def forget(connection: Connection, blob_ids: Iterable[int]) -> None:
    """Delete the rows of condemned blobs whose files are removed."""
    for ids in _batches(list(blob_ids)):
        connection.execute(delete(blobs).where(blobs.c.id.in_(ids), blobs.c.ready == GOING))


def _add(connection: Connection, account_id: int, now: int, **columns: object) -> int:
    made = connection.execute(
        insert(blobs).values(account_id=account_id, references=0, sweep_at=now + UNUSED_LIVES, **columns)
    )
    assert made.inserted_primary_key is not None
    return int(made.inserted_primary_key[0])


def _by_times(blob_ids: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
    """Group ids by how often each occurs, in ascending order, so that locks are taken in one order."""
    groups: dict[int, list[int]] = defaultdict(list)
    for blob_id, times in sorted(Counter(blob_ids).items()):
        groups[times].append(blob_id)
    for times, ids in groups.items():
        for batch in _batches(ids):
            yield times, batch


def _batches(ids: Sequence[int]) -> Iterator[list[int]]:
    rest = iter(ids)
    while batch := list(islice(rest, _BATCH)):
        yield batch
