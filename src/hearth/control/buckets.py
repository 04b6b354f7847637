"""Commands on buckets."""

from __future__ import annotations

import re

from sqlalchemy import Connection

from hearth.domain.errors import Invalid, Missing
from hearth.store.door import Store
from hearth.store.queries import buckets, storage_quota, uploads
from hearth.store.queries.buckets import BucketRow

# What clients use: upper case and underscores too, and names shorter or longer than Amazon's.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
_UPLOADS_AT_ONCE = 20


def require_bucket_name(name: str, field: str = "bucket") -> None:
    """Refuse a name that no bucket can have."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            field,
            f"{name!r} is no bucket name: 1 to 255 letters, digits, '.', '-' or '_', not beginning with '.' or '-'",
        )


async def create_bucket(store: Store, account_id: int, name: str, now: int) -> BucketRow:
    """Return the account's bucket of that name, made if there was none."""
    require_bucket_name(name)
    found = await store.read(buckets.find, account_id, name)
    if found is not None:
        return found
    return await store.write(buckets.create, account_id, name, now)


async def delete_bucket(store: Store, account_id: int, name: str, now: int) -> None:
    """Delete an empty bucket, and the uploads under way into it."""
    while not await store.write(_delete, account_id, name, now):
        pass


def _delete(connection: Connection, account_id: int, name: str, now: int) -> bool:
    """End some of the uploads; delete the bucket and return True when those were the last."""
    storage_quota.lock(connection, account_id)
    bucket = require(connection, account_id, name)
    if bucket.objects:
        raise buckets.BucketNotEmpty(f"bucket {name} still has {bucket.objects} objects")
    found = uploads.page(connection, bucket.id, limit=_UPLOADS_AT_ONCE)
    for upload in found:
        uploads.delete(connection, upload, now)
    if len(found) == _UPLOADS_AT_ONCE:
        return False
    buckets.delete(connection, account_id, bucket.id)
    return True


def require(connection: Connection, account_id: int, name: str) -> BucketRow:
    """Return the account's bucket of that name, or raise Missing."""
    bucket = buckets.find(connection, account_id, name)
    if bucket is None:
        raise Missing("bucket", name)
    return bucket
