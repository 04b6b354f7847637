"""Rows of objects: which key of which bucket shows which blob.

Every change here counts objects and bytes on the bucket and the account, and references on the blobs, in the
same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Connection, and_, bindparam, insert, select, update
from sqlalchemy import delete as delete_from

from hearth.domain.errors import Missing
from hearth.store.queries import blobs, buckets, storage_quota
from hearth.store.tables import buckets as buckets_table
from hearth.store.tables import objects

_BATCH = 500


class BlobLike(Protocol):
    """What a row needs to know of a blob."""

    @property
    def id(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def etag(self) -> str: ...


@dataclass(frozen=True, slots=True)
class NewObject:
    """A key and the blob that it is to show. `checksum` is "ALGORITHM:base64" of the whole object."""

    key: str
    blob_id: int
    size_bytes: int
    etag: str
    headers: Mapping[str, str] = field(default_factory=dict)
    checksum: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """A key and the blob that it shows."""

    key: str
    blob_id: int
    size_bytes: int
    etag: str
    headers: dict[str, str]
    checksum: str | None
    modified_at: int


_COLUMNS = (
    objects.c.key,
    objects.c.blob_id,
    objects.c.size_bytes,
    objects.c.etag,
    objects.c.headers,
    objects.c.checksum,
    objects.c.modified_at,
)


def find(connection: Connection, bucket_id: int, key: str) -> ObjectRow | None:
    """Return the object of that key."""
    query = select(*_COLUMNS).where(objects.c.bucket_id == bucket_id, objects.c.key == key)
    row = connection.execute(query).one_or_none()
    return None if row is None else _object(row)


def page(
    connection: Connection,
    bucket_id: int,
    prefix: str = "",
    after: str = "",
    limit: int = 1000,
    *,
    since: str = "",
) -> list[ObjectRow]:
    """Return up to `limit` objects in byte order of their keys: those greater than `after`, from `since` on."""
    query = select(*_COLUMNS).where(objects.c.bucket_id == bucket_id)
    if after:
        query = query.where(objects.c.key > after)
    if max(since, prefix):
        query = query.where(objects.c.key >= max(since, prefix))
    end = after_prefix(prefix)
    if end is not None:
        query = query.where(objects.c.key < end)
    return [_object(row) for row in connection.execute(query.order_by(objects.c.key).limit(limit))]


def put(
    connection: Connection,
    account_id: int,
    bucket_id: int,
    key: str,
    blob: BlobLike,
    headers: Mapping[str, str],
    now: int,
    *,
    checksum: str | None = None,
) -> None:
    """Let `key` show `blob`, instead of what it showed before; QuotaExceeded when that is too much."""
    new = NewObject(key, blob.id, blob.size_bytes, blob.etag, headers, checksum)
    put_many(connection, account_id, bucket_id, [new], now)


def put_many(connection: Connection, account_id: int, bucket_id: int, new: Sequence[NewObject], now: int) -> None:
    """Let many keys show their blobs, all or none; of a key that occurs twice the last counts."""
    latest = {each.key: each for each in new}
    quota = storage_quota.lock(connection, account_id)
    if buckets.lock(connection, account_id, bucket_id) is None:
        raise Missing("bucket", str(bucket_id))
    replaced = _in_bucket(connection, bucket_id, latest)
    added_bytes = sum(each.size_bytes for each in latest.values()) - sum(row.size_bytes for row in replaced)
    quota.require_bytes(added_bytes)
    blobs.acquire(connection, account_id, [each.blob_id for each in latest.values()])
    existing = {row.key for row in replaced}
    updates = [_values(each, now, prefix="new_") for each in latest.values() if each.key in existing]
    inserts = [
        {"bucket_id": bucket_id, "account_id": account_id, **_values(each, now)}
        for each in latest.values()
        if each.key not in existing
    ]
    if updates:
        connection.execute(
            update(objects)
            .where(objects.c.bucket_id == bucket_id, objects.c.key == bindparam("new_key"))
            .values({name: bindparam(f"new_{name}") for name in _VALUES if name != "key"}),
            updates,
        )
    if inserts:
        connection.execute(insert(objects), inserts)
    blobs.release(connection, [row.blob_id for row in replaced], now)
    buckets.count(connection, bucket_id, objects=len(inserts), size_bytes=added_bytes)
    storage_quota.add(connection, account_id, bucket_bytes=added_bytes)


def delete(connection: Connection, account_id: int, bucket_id: int, keys: Iterable[str], now: int) -> int:
    """Remove keys, those that there are; return how many there were."""
    storage_quota.lock(connection, account_id)
    if buckets.lock(connection, account_id, bucket_id) is None:
        raise Missing("bucket", str(bucket_id))
    gone = _in_bucket(connection, bucket_id, keys)
    names = [row.key for row in gone]
    for start in range(0, len(names), _BATCH):
        connection.execute(
            delete_from(objects).where(
                and_(objects.c.bucket_id == bucket_id, objects.c.key.in_(names[start : start + _BATCH]))
            )
        )
    blobs.release(connection, [row.blob_id for row in gone], now)
    freed = sum(row.size_bytes for row in gone)
    buckets.count(connection, bucket_id, objects=-len(gone), size_bytes=-freed)
    storage_quota.add(connection, account_id, bucket_bytes=-freed)
    return len(gone)


def copy(
    connection: Connection,
    account_id: int,
    source: ObjectRow,
    bucket_id: int,
    key: str,
    now: int,
    *,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Let `key` show what `source` shows, ETag and all, with `headers` in place of its own if given."""
    new = NewObject(
        key,
        source.blob_id,
        source.size_bytes,
        source.etag,
        source.headers if headers is None else headers,
        source.checksum,
    )
    put_many(connection, account_id, bucket_id, [new], now)


def after_prefix(prefix: str) -> str | None:
    """Return the first text, in byte order, after all that begin with `prefix`; None when there is no end."""
    while prefix:
        last = ord(prefix[-1]) + 1
        prefix = prefix[:-1]
        if last <= 0x10FFFF:
            return prefix + chr(0xE000 if 0xD800 <= last <= 0xDFFF else last)
    return None


_VALUES = ("key", "blob_id", "size_bytes", "etag", "headers", "checksum", "modified_at")


def _values(new: NewObject, now: int, *, prefix: str = "") -> dict[str, Any]:
    headers = json.dumps(dict(new.headers), separators=(",", ":"))
    values = (new.key, new.blob_id, new.size_bytes, new.etag, headers, new.checksum, now)
    return {f"{prefix}{name}": value for name, value in zip(_VALUES, values, strict=True)}


def _in_bucket(connection: Connection, bucket_id: int, keys: Iterable[str]) -> list[ObjectRow]:
    wanted = sorted(set(keys))
    found: list[ObjectRow] = []
    for start in range(0, len(wanted), _BATCH):
        query = select(*_COLUMNS).where(
            objects.c.bucket_id == bucket_id, objects.c.key.in_(wanted[start : start + _BATCH])
        )
        found += [_object(row) for row in connection.execute(query)]
    return found


def _object(row: Any) -> ObjectRow:
    return ObjectRow(
        row.key, row.blob_id, row.size_bytes, row.etag, json.loads(row.headers), row.checksum, row.modified_at
    )


def size_if_shown(connection: Connection, account_id: int, bucket_names: Iterable[str], blob_id: int) -> int | None:
    """Return the size of a blob when an object of these buckets of the account shows it."""
    query = (
        select(objects.c.size_bytes)
        .join(buckets_table, buckets_table.c.id == objects.c.bucket_id)
        .where(
            objects.c.blob_id == blob_id,
            buckets_table.c.account_id == account_id,
            buckets_table.c.name.in_(sorted(bucket_names)),
        )
        .limit(1)
    )
    return connection.execute(query).scalar()
