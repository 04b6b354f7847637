"""Rows of buckets. Names are unique per account, so every question names the account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, insert, select, update
from sqlalchemy import delete as delete_from

from hearth.domain.errors import Conflict
from hearth.store.queries import storage_quota
from hearth.store.tables import buckets


class BucketNotEmpty(Conflict):
    """Only an empty bucket can be deleted."""


@dataclass(frozen=True, slots=True)
class BucketRow:
    """A bucket and what is in it."""

    id: int
    account_id: int
    name: str
    created_at: int
    objects: int
    size_bytes: int


_COLUMNS = (
    buckets.c.id,
    buckets.c.account_id,
    buckets.c.name,
    buckets.c.created_at,
    buckets.c.objects,
    buckets.c.size_bytes,
)


def find(connection: Connection, account_id: int, name: str) -> BucketRow | None:
    """Return the account's bucket of that name."""
    query: Select[Any] = select(*_COLUMNS).where(buckets.c.account_id == account_id, buckets.c.name == name)
    return _one(connection, query)


def lock(connection: Connection, account_id: int, bucket_id: int) -> BucketRow | None:
    """Return the bucket; nobody else changes it or what is in it before this transaction ends."""
    query: Select[Any] = select(*_COLUMNS).where(buckets.c.id == bucket_id, buckets.c.account_id == account_id)
    return _one(connection, query.with_for_update(key_share=True))


def create(connection: Connection, account_id: int, name: str, now: int) -> BucketRow:
    """Return the account's bucket of that name, made if there was none; QuotaExceeded when it has too many."""
    found = find(connection, account_id, name)
    if found is not None:
        return found
    quota = storage_quota.lock(connection, account_id)
    found = find(connection, account_id, name)  # somebody else may have made it while we waited
    if found is not None:
        return found
    quota.require_bucket()
    made = connection.execute(
        insert(buckets).values(account_id=account_id, name=name, created_at=now, objects=0, size_bytes=0)
    )
    storage_quota.add(connection, account_id, buckets=1)
    assert made.inserted_primary_key is not None
    return BucketRow(int(made.inserted_primary_key[0]), account_id, name, now, 0, 0)


def listing(connection: Connection, account_id: int) -> list[BucketRow]:
    """Return the account's buckets by name."""
    query: Select[Any] = select(*_COLUMNS).where(buckets.c.account_id == account_id)
    return sorted((BucketRow(*row) for row in connection.execute(query)), key=lambda bucket: bucket.name)


def delete(connection: Connection, account_id: int, bucket_id: int) -> None:
    """Delete a bucket without objects or uploads; BucketNotEmpty when it has objects."""
    storage_quota.lock(connection, account_id)
    bucket = lock(connection, account_id, bucket_id)
    if bucket is None:
        return
    if bucket.objects:
        raise BucketNotEmpty(f"bucket {bucket.name} still has {bucket.objects} objects")
    connection.execute(delete_from(buckets).where(buckets.c.id == bucket_id))
    storage_quota.add(connection, account_id, buckets=-1)


def count(connection: Connection, bucket_id: int, *, objects: int, size_bytes: int) -> None:
    """Count what was added, or with a minus taken away."""
    if objects or size_bytes:
        connection.execute(
            update(buckets)
            .where(buckets.c.id == bucket_id)
            .values(objects=buckets.c.objects + objects, size_bytes=buckets.c.size_bytes + size_bytes)
        )


def _one(connection: Connection, query: Select[Any]) -> BucketRow | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else BucketRow(*row)
