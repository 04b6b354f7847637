"""The housekeeper of storage: removes what nothing points to any more, and uploads that nobody finished."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from hearth.control.blobs import BlobStore
from hearth.store.door import Store
from hearth.store.queries import blobs, uploads
from hearth.store.queries.blobs import Doomed

UPLOAD_LIVES = 7 * 24 * blobs.HOUR
# A round of this size holds the writer for a few milliseconds.
BLOBS_AT_ONCE = 200
UPLOADS_AT_ONCE = 5


@dataclass(frozen=True, slots=True)
class Swept:
    """What one round removed; `more` says that it stopped before the end."""

    blobs: int
    uploads: int
    more: bool


def sweep_blobs(connection: Connection, now: int, limit: int) -> Doomed:
    """Condemn up to `limit` blobs whose time is over; return those whose files may go."""
    return blobs.doom_old(connection, now, limit)


def sweep_uploads(connection: Connection, now: int, limit: int) -> int:
    """End up to `limit` uploads that began over 7 days ago; return how many."""
    stale = uploads.older_than(connection, now - UPLOAD_LIVES, limit)
    for upload in sorted(stale, key=lambda upload: upload.account_id):  # accounts are locked in one order
        uploads.delete(connection, upload, now)
    return len(stale)


async def sweep_once(store: Store, blob_store: BlobStore, now: int) -> Swept:
    """Do one round."""
    ended = await store.write(sweep_uploads, now, UPLOADS_AT_ONCE)
    doomed = await store.write(sweep_blobs, now, BLOBS_AT_ONCE)
    await blob_store.remove_files_of(doomed.with_file)
    return Swept(doomed.count, ended, more=ended == UPLOADS_AT_ONCE or doomed.count == BLOBS_AT_ONCE)
