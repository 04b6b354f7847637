"""Calls of multipart uploads."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from sqlalchemy import Connection

from hearth.control.buckets import require
from hearth.control.uploads import (
    MAX_PARTS,
    ListedPart,
    UploadOf,
    abort_upload,
    complete_upload,
    create_upload,
    put_part,
    require_upload,
)
from hearth.domain.errors import Missing
from hearth.gateway import conditions, xml
from hearth.gateway.bucket_calls import bucket_of, owner, read_xml
from hearth.gateway.call import Answer, Call, xml_answer
from hearth.gateway.checksums import ALGORITHMS, HEADER, checksum_header
from hearth.gateway.errors import S3Error
from hearth.gateway.listing import MAX_KEYS
from hearth.gateway.listing_calls import key_encoding, number
from hearth.gateway.metadata import kept_headers
from hearth.gateway.object_calls import copy_guard, copy_source, kept, receive, write_guard
from hearth.gateway.xml import Markup, element
from hearth.store.queries import blobs, objects, uploads
from hearth.store.queries.blobs import Piece
from hearth.store.queries.uploads import PartRow, UploadRow


async def create(call: Call) -> Answer:
    """POST /bucket/key?uploads"""
    algorithm = (call.request.header("x-amz-checksum-algorithm") or "").upper() or None
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise S3Error("InvalidRequest", f"x-amz-checksum-algorithm must be one of {', '.join(ALGORITHMS)}")
    upload = UploadOf(call.account_id, call.request.bucket, call.request.key, call.token())
    await create_upload(call.store, upload, kept_headers(call.request), call.now, checksum_algorithm=algorithm)
    return xml_answer(
        "InitiateMultipartUploadResult",
        element("Bucket", upload.bucket),
        element("Key", upload.key),
        element("UploadId", upload.upload_id),
        headers={"x-amz-checksum-algorithm": algorithm} if algorithm is not None else None,
    )


async def upload_part(call: Call) -> Answer:
    """PUT /bucket/key?uploadId&partNumber"""
    upload, part = _upload(call), _part_number(call)
    await call.store.read(require_upload, upload)
    draft = await receive(call)
    chosen = call.body.checksum
    async with kept(call, draft):
        await put_part(call.store, upload, part, draft, dict([chosen]) if chosen else {}, call.now)
    headers = {"etag": f'"{draft.etag}"'}
    return Answer(headers=headers | (dict([checksum_header(":".join(chosen))]) if chosen else {}))


async def copy_part(call: Call) -> Answer:
    """PUT /bucket/key?uploadId&partNumber with x-amz-copy-source"""
    upload, part = _upload(call), _part_number(call)
    pieces, span = await call.store.read(_source_of_part, call, upload)
    stream = call.blobs.stream(pieces, *span)
    draft = await call.blobs.stage(call.account_id, stream)
    async with kept(call, draft):
        await put_part(call.store, upload, part, draft, {}, call.now)
    return xml_answer(
        "CopyPartResult",
        element("LastModified", conditions.iso_date(call.now)),
        element("ETag", f'"{draft.etag}"'),
    )


async def complete(call: Call) -> Answer:
    """POST /bucket/key?uploadId"""
    upload = _upload(call)
    root = await read_xml(call, "CompleteMultipartUpload")
    listed = [_listed(each) for each in root.all("Part")]
    if not 0 < len(listed) <= MAX_PARTS:
        raise S3Error("MalformedXML", f"The list must have 1 to {MAX_PARTS} Parts, not {len(listed)}")
    numbers = [each.part for each in listed]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise S3Error("InvalidPartOrder", "The parts must be listed in ascending order of their numbers")
    done = await complete_upload(
        call.store, upload, listed, call.now, checksum=_promised_whole(call), guard=write_guard(call)
    )
    algorithm, _, value = done.checksum.partition(":")
    checksum = [element(f"Checksum{algorithm}", value), element("ChecksumType", "FULL_OBJECT")]
    return xml_answer(
        "CompleteMultipartUploadResult",
        element("Location", f"/{upload.bucket}/{upload.key}"),
        element("Bucket", upload.bucket),
        element("Key", upload.key),
        element("ETag", f'"{done.etag}"'),
        *(checksum if algorithm else []),
    )


async def abort(call: Call) -> Answer:
    """DELETE /bucket/key?uploadId"""
    await abort_upload(call.store, _upload(call), call.now)
    return Answer(204)


async def list_parts(call: Call) -> Answer:
    """GET /bucket/key?uploadId"""
    limit = number(call, "max-parts", MAX_KEYS, MAX_KEYS)
    marker = number(call, "part-number-marker", 0, MAX_PARTS)
    upload = _upload(call)
    row, found = await call.store.read(_parts, upload, marker, limit)
    shown = found[:limit]
    return xml_answer(
        "ListPartsResult",
        element("Bucket", upload.bucket),
        element("Key", upload.key),
        element("UploadId", upload.upload_id),
        owner(call, "Initiator"),
        owner(call),
        element("StorageClass", "STANDARD"),
        *([element("ChecksumAlgorithm", row.checksum_algorithm)] if row.checksum_algorithm else []),
        element("PartNumberMarker", marker),
        element("NextPartNumberMarker", shown[-1].part if shown else marker),
        element("MaxParts", limit),
        element("IsTruncated", "true" if len(found) > len(shown) > 0 else "false"),
        *(_shown_part(part, row.checksum_algorithm) for part in shown),
    )


async def list_uploads(call: Call) -> Answer:
    """GET /bucket?uploads"""
    limit = number(call, "max-uploads", MAX_KEYS, MAX_KEYS)
    key_marker = call.request.parameter("key-marker") or ""
    id_marker = call.request.parameter("upload-id-marker") or ""
    prefix = call.request.parameter("prefix") or ""
    if call.request.parameter("delimiter"):
        raise S3Error("NotImplemented", "Uploads under way are listed without a delimiter only")
    shown = key_encoding(call)
    found = await call.store.read(_uploads, call, prefix, (key_marker, id_marker), limit + 1)
    page = found[:limit]
    more = [
        element("NextKeyMarker", shown(page[-1].key)) if page else Markup(""),
        element("NextUploadIdMarker", page[-1].upload_id) if page else Markup(""),
    ]
    return xml_answer(
        "ListMultipartUploadsResult",
        element("Bucket", call.request.bucket),
        element("KeyMarker", shown(key_marker)),
        element("UploadIdMarker", id_marker),
        *more,
        element("Prefix", shown(prefix)),
        *([element("EncodingType", "url")] if call.request.parameter("encoding-type") else []),
        element("MaxUploads", limit),
        element("IsTruncated", "true" if len(found) > len(page) > 0 else "false"),
        *(_shown_upload(call, row, shown) for row in page),
    )


def _upload(call: Call) -> UploadOf:
    upload_id = call.request.parameter("uploadId") or ""
    return UploadOf(call.account_id, call.request.bucket, call.request.key, upload_id)


def _part_number(call: Call) -> int:
    part = number(call, "partNumber", 0, MAX_PARTS + 1)
    if not 1 <= part <= MAX_PARTS:
        raise S3Error("InvalidArgument", f"partNumber must be from 1 to {MAX_PARTS}")
    return part


def _listed(part: xml.Element) -> ListedPart:
    text, etag = (part.value("PartNumber") or "").strip(), part.value("ETag")
    if not (text.isascii() and text.isdigit() and len(text) < 6) or etag is None:
        raise S3Error("MalformedXML", "Every Part needs a PartNumber and an ETag")
    checksums = {
        algorithm: value.strip()
        for algorithm in ALGORITHMS
        if (value := part.value(f"Checksum{algorithm}")) is not None
    }
    return ListedPart(int(text), etag.strip().strip('"').lower(), checksums)


def _promised_whole(call: Call) -> str | None:
    """Return the checksum that the client expects of the whole object; those over parts' checksums say `-N`."""
    for algorithm in ALGORITHMS:
        value = call.request.header(f"{HEADER}{algorithm.lower()}")
        if value is not None and "-" not in value:
            return f"{algorithm}:{value}"
    return None


def _source_of_part(connection: Connection, call: Call, upload: UploadOf) -> tuple[list[Piece], tuple[int, int]]:
    require_upload(connection, upload)
    bucket_name, key = copy_source(call)
    source = objects.find(connection, require(connection, call.account_id, bucket_name).id, key)
    if source is None:
        raise Missing("key", key)
    copy_guard(call)(source)
    text = call.request.header("x-amz-copy-source-range")
    span = (0, source.size_bytes) if text is None else conditions.copied_range(text, source.size_bytes)
    return blobs.pieces(connection, source.blob_id), span


def _parts(connection: Connection, upload: UploadOf, after: int, limit: int) -> tuple[UploadRow, list[PartRow]]:
    row = require_upload(connection, upload)
    return row, uploads.parts(connection, row, after, limit + 1)


def _uploads(connection: Connection, call: Call, prefix: str, after: tuple[str, str], limit: int) -> list[UploadRow]:
    return uploads.page(connection, bucket_of(connection, call).id, prefix, after, limit)


def _shown_part(part: PartRow, algorithm: str | None) -> Markup:
    value = part.checksums.get(algorithm or "")
    return element(
        "Part",
        element("PartNumber", part.part),
        element("LastModified", conditions.iso_date(part.modified_at)),
        element("ETag", f'"{part.etag}"'),
        element("Size", part.size_bytes),
        *([element(f"Checksum{algorithm}", value)] if value is not None else []),
    )


def _shown_upload(call: Call, row: UploadRow, shown: Callable[[str], str]) -> Markup:
    return element(
        "Upload",
        element("Key", shown(row.key)),
        element("UploadId", row.upload_id),
        owner(call, "Initiator"),
        owner(call),
        element("StorageClass", "STANDARD"),
        element("Initiated", conditions.iso_date(row.created_at)),
        *([element("ChecksumAlgorithm", row.checksum_algorithm)] if row.checksum_algorithm else []),
    )
