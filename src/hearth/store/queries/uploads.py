"""Rows of multipart uploads under way, and of their parts. A part's bytes count for the account, not for the
bucket: that counts what can be seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, insert, or_, select, update
from sqlalchemy import delete as delete_from

from hearth.store.queries import blobs, storage_quota
from hearth.store.queries.objects import after_prefix
from hearth.store.tables import upload_parts, uploads


@dataclass(frozen=True, slots=True)
class UploadRow:
    """An upload under way: `id` for joins, `upload_id` for the client."""

    id: int
    account_id: int
    bucket_id: int
    key: str
    upload_id: str
    headers: dict[str, str]
    checksum_algorithm: str | None
    created_at: int


@dataclass(frozen=True, slots=True)
class PartRow:
    """A part that arrived. `checksums` are base64 by algorithm; CRC32 is always there."""

    part: int
    blob_id: int
    size_bytes: int
    etag: str
    checksums: dict[str, str]
    modified_at: int


_UPLOAD = (
    uploads.c.id,
    uploads.c.account_id,
    uploads.c.bucket_id,
    uploads.c.key,
    uploads.c.upload_id,
    uploads.c.headers,
    uploads.c.checksum_algorithm,
    uploads.c.created_at,
)
_PART = (
    upload_parts.c.part,
    upload_parts.c.blob_id,
    upload_parts.c.size_bytes,
    upload_parts.c.etag,
    upload_parts.c.checksum,
    upload_parts.c.modified_at,
)


def create(
    connection: Connection,
    account_id: int,
    bucket_id: int,
    key: str,
    upload_id: str,
    headers: Mapping[str, str],
    now: int,
    *,
    checksum_algorithm: str | None = None,
) -> None:
    """Begin an upload."""
    connection.execute(
        insert(uploads).values(
            account_id=account_id,
            bucket_id=bucket_id,
            key=key,
            upload_id=upload_id,
            headers=json.dumps(dict(headers), separators=(",", ":")),
            checksum_algorithm=checksum_algorithm,
            created_at=now,
        )
    )


def find(connection: Connection, bucket_id: int, key: str, upload_id: str) -> UploadRow | None:
    """Return the upload of that id, if it is for that key of that bucket."""
    query = select(*_UPLOAD).where(
        uploads.c.upload_id == upload_id, uploads.c.bucket_id == bucket_id, uploads.c.key == key
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _upload(row)


def page(
    connection: Connection,
    bucket_id: int,
    prefix: str = "",
    after: tuple[str, str] = ("", ""),
    limit: int = 1000,
) -> list[UploadRow]:
    """Return uploads of a bucket in order of key and id, those greater than `after`."""
    key, upload_id = after
    query = select(*_UPLOAD).where(uploads.c.bucket_id == bucket_id)
    if key:
        later = uploads.c.key > key
        query = query.where(
            or_(later, and_(uploads.c.key == key, uploads.c.upload_id > upload_id)) if upload_id else later
        )
    if prefix:
        query = query.where(uploads.c.key >= prefix)
    end = after_prefix(prefix)
    if end is not None:
        query = query.where(uploads.c.key < end)
    rows = connection.execute(query.order_by(uploads.c.key, uploads.c.upload_id).limit(limit))
    return [_upload(row) for row in rows]


def older_than(connection: Connection, created_at: int, limit: int) -> list[UploadRow]:
    """Return uploads that began before, oldest first."""
    query = select(*_UPLOAD).where(uploads.c.created_at < created_at)
    return [_upload(row) for row in connection.execute(query.order_by(uploads.c.created_at).limit(limit))]


def parts(connection: Connection, upload: UploadRow, after: int = 0, limit: int | None = None) -> list[PartRow]:
    """Return the parts that arrived, in order, those with a number greater than `after`."""
    query = select(*_PART).where(upload_parts.c.upload == upload.id, upload_parts.c.part > after)
    return [_part(row) for row in connection.execute(query.order_by(upload_parts.c.part).limit(limit))]


def put_part(connection: Connection, upload: UploadRow, new: PartRow) -> None:
    """Keep a part, instead of what arrived under its number before; QuotaExceeded when that is too much."""
    quota = storage_quota.lock(connection, upload.account_id)
    where = and_(upload_parts.c.upload == upload.id, upload_parts.c.part == new.part)
    before = connection.execute(select(*_PART).where(where)).one_or_none()
    added_bytes = new.size_bytes - (before.size_bytes if before is not None else 0)
    quota.require_bytes(added_bytes)
    blobs.acquire(connection, upload.account_id, [new.blob_id])
    values = {
        "blob_id": new.blob_id,
        "size_bytes": new.size_bytes,
        "etag": new.etag,
        "checksum": json.dumps(new.checksums, separators=(",", ":")),
        "modified_at": new.modified_at,
    }
    if before is None:
        connection.execute(
            insert(upload_parts).values(upload=upload.id, part=new.part, account_id=upload.account_id, **values)
        )
    else:
        connection.execute(update(upload_parts).where(where).values(**values))
        blobs.release(connection, [before.blob_id], new.modified_at)
    storage_quota.add(connection, upload.account_id, bucket_bytes=added_bytes)


def delete(connection: Connection, upload: UploadRow, now: int, *, keep: frozenset[int] = frozenset()) -> None:
    """End an upload and let go of its parts; the references to the blobs in `keep` pass to the caller."""
    storage_quota.lock(connection, upload.account_id)
    arrived = parts(connection, upload)
    connection.execute(delete_from(upload_parts).where(upload_parts.c.upload == upload.id))
    connection.execute(delete_from(uploads).where(uploads.c.id == upload.id))
    blobs.release(connection, [part.blob_id for part in arrived if part.blob_id not in keep], now)
    storage_quota.add(connection, upload.account_id, bucket_bytes=-sum(part.size_bytes for part in arrived))


def _upload(row: Any) -> UploadRow:
    return UploadRow(
        row.id,
        row.account_id,
        row.bucket_id,
        row.key,
        row.upload_id,
        json.loads(row.headers),
        row.checksum_algorithm,
        row.created_at,
    )


def _part(row: Any) -> PartRow:
    return PartRow(row.part, row.blob_id, row.size_bytes, row.etag, json.loads(row.checksum or "{}"), row.modified_at)
