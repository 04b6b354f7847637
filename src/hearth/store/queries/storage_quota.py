"""What an account may store and does store.

Whoever changes what an account stores locks its row first, then the bucket's, then the blobs': one order
everywhere, so that two transactions never wait for each other. Locks are PostgreSQL's FOR NO KEY UPDATE
(`key_share`): rows that refer to the account take FOR KEY SHARE, which must go together with them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from hearth.domain.errors import Missing, QuotaExceeded
from hearth.store.tables import accounts


@dataclass(frozen=True, slots=True)
class StorageQuota:
    """Counts and limits of one account; a limit of 0 is none. Bytes include parts of uploads under way."""

    account_id: int
    buckets: int
    bucket_bytes: int
    max_buckets: int
    max_bucket_bytes: int

    def require_bytes(self, more: int) -> None:
        """Refuse what would go over the limit; what makes less is always allowed."""
        if more > 0 and self.max_bucket_bytes and self.bucket_bytes + more > self.max_bucket_bytes:
            raise QuotaExceeded(
                f"{more} more bytes in buckets would be over the limit of {self.max_bucket_bytes}:"
                f" {self.bucket_bytes} are used"
            )

    def require_bucket(self) -> None:
        """Refuse one bucket more than the limit."""
        if self.max_buckets and self.buckets >= self.max_buckets:
            raise QuotaExceeded(f"maximum number of buckets reached: {self.max_buckets}")


def lock(connection: Connection, account_id: int) -> StorageQuota:
    """Return the account's counts; nobody else changes them before this transaction ends."""
    return _find(connection, account_id, lock=True)


def find(connection: Connection, account_id: int) -> StorageQuota:
    """Return the account's counts as they are now."""
    return _find(connection, account_id, lock=False)


def add(connection: Connection, account_id: int, *, bucket_bytes: int = 0, buckets: int = 0) -> None:
    """Count what was added, or with a minus taken away."""
    if bucket_bytes or buckets:
        connection.execute(
            update(accounts)
            .where(accounts.c.id == account_id)
            .values(bucket_bytes=accounts.c.bucket_bytes + bucket_bytes, buckets=accounts.c.buckets + buckets)
        )


def _find(connection: Connection, account_id: int, *, lock: bool) -> StorageQuota:
    query = select(accounts.c.buckets, accounts.c.bucket_bytes, accounts.c.limits).where(accounts.c.id == account_id)
    row = connection.execute(query.with_for_update(key_share=True) if lock else query).one_or_none()
    if row is None:
        raise Missing("account", str(account_id))
    limits = json.loads(row.limits or "{}")
    return StorageQuota(
        account_id=account_id,
        buckets=row.buckets,
        bucket_bytes=row.bucket_bytes,
        max_buckets=int(limits.get("max_buckets") or 0),
        max_bucket_bytes=int(limits.get("max_bucket_bytes") or 0),
    )
