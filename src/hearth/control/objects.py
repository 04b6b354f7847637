"""Commands on objects: each is one transaction, but for the deletion of very many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection

from hearth.control.blobs import Draft, StoredBlob, settle
from hearth.control.buckets import require
from hearth.domain.errors import Missing
from hearth.store.door import Store
from hearth.store.queries import objects, storage_quota
from hearth.store.queries.objects import ObjectRow

# Enough that a transaction is worth its fsync, few enough that others do not wait for it.
KEYS_AT_ONCE = 250

# Looks at the object that is there (or not) and raises to refuse; runs inside the transaction.
Guard = Callable[[ObjectRow | None], None]


async def put_object(
    store: Store,
    bucket: str,
    key: str,
    draft: Draft,
    headers: Mapping[str, str],
    now: int,
    *,
    checksum: str,
    guard: Guard | None = None,
) -> StoredBlob:
    """Let a key of the draft's account show the draft's bytes; durable when it returns."""
    return await store.write(_put, bucket, key, draft, headers, now, checksum, guard)


def _put(
    connection: Connection,
    bucket_name: str,
    key: str,
    draft: Draft,
    headers: Mapping[str, str],
    now: int,
    checksum: str,
    guard: Guard | None,
) -> StoredBlob:
    bucket = require(connection, draft.account_id, bucket_name)
    if guard is not None:
        storage_quota.lock(connection, draft.account_id)
        guard(objects.find(connection, bucket.id, key))
    blob = settle(connection, draft, now)
    objects.put(connection, draft.account_id, bucket.id, key, blob, headers, now, checksum=checksum)
    return blob


async def copy_object(
    store: Store,
    account_id: int,
    source: tuple[str, str],
    target: tuple[str, str],
    now: int,
    *,
    headers: Mapping[str, str] | None = None,
    guard: Guard | None = None,
) -> ObjectRow:
    """Let the target (bucket, key) show what the source shows; `guard` sees the source. Return the source."""
    return await store.write(_copy, account_id, source, target, now, headers, guard)


def _copy(
    connection: Connection,
    account_id: int,
    source: tuple[str, str],
    target: tuple[str, str],
    now: int,
    headers: Mapping[str, str] | None,
    guard: Guard | None,
) -> ObjectRow:
    source_bucket = require(connection, account_id, source[0])
    target_bucket = require(connection, account_id, target[0])
    found = objects.find(connection, source_bucket.id, source[1])
    if found is None:
        raise Missing("key", source[1])
    if guard is not None:
        guard(found)
    objects.copy(connection, account_id, found, target_bucket.id, target[1], now, headers=headers)
    return found


async def delete_objects(store: Store, account_id: int, bucket: str, keys: Sequence[str], now: int) -> None:
    """Remove keys; those that there are not are fine."""
    for start in range(0, len(keys), KEYS_AT_ONCE):
        await store.write(_delete, account_id, bucket, keys[start : start + KEYS_AT_ONCE], now)


def _delete(connection: Connection, account_id: int, bucket_name: str, keys: Sequence[str], now: int) -> None:
    bucket = require(connection, account_id, bucket_name)
    objects.delete(connection, account_id, bucket.id, keys, now)
