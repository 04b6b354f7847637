"""Calls on single objects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Connection

from hearth.control.blobs import Draft
from hearth.control.objects import Guard, copy_object, delete_objects, put_object
from hearth.domain.errors import Missing
from hearth.gateway import conditions
from hearth.gateway.bucket_calls import acl_answer, bucket_of
from hearth.gateway.call import Answer, Call, xml_answer
from hearth.gateway.checksums import checksum_header
from hearth.gateway.errors import S3Error
from hearth.gateway.metadata import kept_headers, shown_headers
from hearth.gateway.request import decoded, require_key
from hearth.gateway.xml import element
from hearth.store.queries import blobs, objects, storage_quota
from hearth.store.queries.blobs import Piece
from hearth.store.queries.objects import ObjectRow

NO_VERSIONS = "Buckets here have no versions; the only versionId is null"


async def put(call: Call) -> Answer:
    """PUT /bucket/key: when this answers 200, the object survives a power cut."""
    headers = kept_headers(call.request)
    draft = await receive(call)
    algorithm, value = call.body.checksum or ("CRC32", draft.crc32_b64)
    async with kept(call, draft):
        await put_object(
            call.store,
            call.request.bucket,
            call.request.key,
            draft,
            headers,
            call.now,
            checksum=f"{algorithm}:{value}",
            guard=write_guard(call),
        )
    return Answer(headers={"etag": f'"{draft.etag}"', **_chosen_checksum(call)})


async def receive(call: Call) -> Draft:
    """Take in the body and compare it with its promises; refuse before it comes what could not stay."""
    await call.store.read(_require_room, call)
    draft = await call.blobs.stage(call.account_id, call.body.chunks(), [check.running for check in call.body.checks])
    async with kept(call, draft):
        call.body.require_promises()
    return draft


@asynccontextmanager
async def kept(call: Call, draft: Draft) -> AsyncIterator[None]:
    """Drop the bytes that arrived when what was to be done with them is refused."""
    try:
        yield
    except Exception:
        await call.blobs.discard_draft(draft)
        raise


def write_guard(call: Call) -> Guard | None:
    """Return what the request demands of the object that it would overwrite."""
    if call.request.header("if-match") is None and call.request.header("if-none-match") is None:
        return None
    return lambda there: conditions.require_write_conditions(call.request, None if there is None else there.etag)


async def get(call: Call) -> Answer:
    """GET /bucket/key, whole or a range of it."""
    row, pieces = await call.store.read(_object_and_pieces, call)
    headers = _headers(call, row)
    span = _range(call, row)
    if span is None:
        headers |= _whole_checksum(call, row)
        return Answer(200, headers, call.blobs.stream(pieces), row.size_bytes)
    start, end = span
    headers["content-range"] = f"bytes {start}-{end - 1}/{row.size_bytes}"
    return Answer(206, headers, call.blobs.stream(pieces, start, end), end - start)


async def head(call: Call) -> Answer:
    """HEAD /bucket/key"""
    row = await call.store.read(find, call)
    headers = _headers(call, row)
    span = _range(call, row)
    if span is None:
        return Answer(200, headers | _whole_checksum(call, row), length=row.size_bytes)
    start, end = span
    headers["content-range"] = f"bytes {start}-{end - 1}/{row.size_bytes}"
    return Answer(206, headers, length=end - start)


async def delete(call: Call) -> Answer:
    """DELETE /bucket/key: fine too when there is none."""
    require_no_version(call)
    await delete_objects(call.store, call.account_id, call.request.bucket, [call.request.key], call.now)
    return Answer(204)


async def copy(call: Call) -> Answer:
    """PUT /bucket/key with x-amz-copy-source: costs a row, and keeps the ETag also of uploads in parts."""
    source = copy_source(call)
    target = (call.request.bucket, call.request.key)
    directive = (call.request.header("x-amz-metadata-directive") or "COPY").upper()
    if directive not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", "x-amz-metadata-directive must be COPY or REPLACE")
    if source == target and directive == "COPY":
        raise S3Error("InvalidRequest", "To copy an object onto itself, replace its metadata")
    copied = await copy_object(
        call.store,
        call.account_id,
        source,
        target,
        call.now,
        headers=kept_headers(call.request) if directive == "REPLACE" else None,
        guard=copy_guard(call),
    )
    return xml_answer(
        "CopyObjectResult",
        element("LastModified", conditions.iso_date(call.now)),
        element("ETag", f'"{copied.etag}"'),
    )


def copy_guard(call: Call) -> Guard:
    """Return what the request demands of the object that it copies."""

    def guard(source: ObjectRow | None) -> None:
        if source is not None:
            conditions.require_copy_conditions(call.request, source.etag, source.modified_at)

    return guard


def copy_source(call: Call) -> tuple[str, str]:
    """Return the bucket and key of x-amz-copy-source."""
    path, _, version = (call.request.header("x-amz-copy-source") or "").partition("?versionId=")
    bucket, slash, key = decoded(path, "header x-amz-copy-source").removeprefix("/").partition("/")
    if not (bucket and slash and key):
        raise S3Error("InvalidArgument", "x-amz-copy-source must be bucket/key")
    if version not in ("", "null"):
        raise S3Error("NoSuchVersion", NO_VERSIONS)
    require_key(key)
    return bucket, key


async def acl(call: Call) -> Answer:
    """GET /bucket/key?acl: all belongs to the account."""
    await call.store.read(find, call)
    return acl_answer(call)


async def tagging(call: Call) -> Answer:
    """GET /bucket/key?tagging: there are none."""
    await call.store.read(find, call)
    return xml_answer("Tagging", element("TagSet"))


def require_no_version(call: Call) -> None:
    """Refuse a version that is not the only one."""
    if call.request.parameter("versionId") not in (None, "", "null"):
        raise S3Error("NoSuchVersion", NO_VERSIONS)


def find(connection: Connection, call: Call) -> ObjectRow:
    """Return the object that a call names, or raise Missing."""
    require_no_version(call)
    row = objects.find(connection, bucket_of(connection, call).id, call.request.key)
    if row is None:
        raise Missing("key", call.request.key)
    return row


def _object_and_pieces(connection: Connection, call: Call) -> tuple[ObjectRow, list[Piece]]:
    row = find(connection, call)
    return row, blobs.pieces(connection, row.blob_id)


def _require_room(connection: Connection, call: Call) -> None:
    bucket = bucket_of(connection, call)
    there = objects.find(connection, bucket.id, call.request.key)
    more = (call.body.length or 0) - (there.size_bytes if there is not None else 0)
    storage_quota.find(connection, call.account_id).require_bytes(more)


def _range(call: Call, row: ObjectRow) -> tuple[int, int] | None:
    conditions.require_conditions(call.request, row.etag, row.modified_at)
    return conditions.requested_range(call.request, row.size_bytes, row.etag, row.modified_at)


def _headers(call: Call, row: ObjectRow) -> dict[str, str]:
    return {
        **shown_headers(row.headers, call.request),
        "etag": f'"{row.etag}"',
        "last-modified": conditions.http_date(row.modified_at),
        "accept-ranges": "bytes",
    }


def _whole_checksum(call: Call, row: ObjectRow) -> dict[str, str]:
    if row.checksum is None or (call.request.header("x-amz-checksum-mode") or "").upper() != "ENABLED":
        return {}
    return {**dict([checksum_header(row.checksum)]), "x-amz-checksum-type": "FULL_OBJECT"}


def _chosen_checksum(call: Call) -> dict[str, str]:
    chosen = call.body.checksum
    if chosen is None:
        return {}
    return {**dict([checksum_header(":".join(chosen))]), "x-amz-checksum-type": "FULL_OBJECT"}
