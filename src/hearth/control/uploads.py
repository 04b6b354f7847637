"""Commands on multipart uploads. Completing one copies no bytes: its parts become one blob."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from awscrt import checksums as crc
from sqlalchemy import Connection

from hearth.control.blobs import Draft, StoredBlob, settle
from hearth.control.buckets import require
from hearth.control.objects import Guard
from hearth.domain.errors import HearthError, Invalid, Missing
from hearth.objects.digest import etag_of_parts
from hearth.store.door import Store
from hearth.store.queries import blobs, objects, storage_quota, uploads
from hearth.store.queries.uploads import PartRow, UploadRow

MIN_PART_BYTES = 5 * 1024 * 1024
MAX_PARTS = 10_000

_COMBINE: dict[str, tuple[int, Callable[[int, int, int], int]]] = {
    "CRC64NVME": (8, crc.combine_crc64nvme),
    "CRC32C": (4, crc.combine_crc32c),
    "CRC32": (4, crc.combine_crc32),
}


class InvalidPart(HearthError):
    """A part that the client lists is not there, or not as it says."""

    status = 400


class PartTooSmall(HearthError):
    """All parts but the last must have 5 MiB."""

    status = 400


@dataclass(frozen=True, slots=True)
class UploadOf:
    """Which upload: the account's, into that bucket, for that key."""

    account_id: int
    bucket: str
    key: str
    upload_id: str


@dataclass(frozen=True, slots=True)
class ListedPart:
    """A part as the client lists it to complete its upload. `checksums` are base64 by algorithm."""

    part: int
    etag: str
    checksums: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Completed:
    """The object that an upload became. `checksum` is "ALGORITHM:base64" of the whole."""

    etag: str
    size_bytes: int
    checksum: str


async def create_upload(
    store: Store, upload: UploadOf, headers: Mapping[str, str], now: int, *, checksum_algorithm: str | None
) -> None:
    """Begin an upload."""
    await store.write(_create, upload, headers, now, checksum_algorithm)


def _create(
    connection: Connection, upload: UploadOf, headers: Mapping[str, str], now: int, algorithm: str | None
) -> None:
    bucket = require(connection, upload.account_id, upload.bucket)
    uploads.create(
        connection,
        upload.account_id,
        bucket.id,
        upload.key,
        upload.upload_id,
        headers,
        now,
        checksum_algorithm=algorithm,
    )


async def put_part(
    store: Store, upload: UploadOf, part: int, draft: Draft, checksums: Mapping[str, str], now: int
) -> StoredBlob:
    """Keep the draft's bytes as a part; durable when it returns."""
    return await store.write(_put_part, upload, part, draft, checksums, now)


def _put_part(
    connection: Connection, upload: UploadOf, part: int, draft: Draft, checksums: Mapping[str, str], now: int
) -> StoredBlob:
    storage_quota.lock(connection, upload.account_id)
    row = require_upload(connection, upload)
    blob = settle(connection, draft, now)
    all_checksums = {**checksums, "CRC32": draft.crc32_b64}
    uploads.put_part(connection, row, PartRow(part, blob.id, blob.size_bytes, blob.md5_hex, all_checksums, now))
    return blob


async def complete_upload(
    store: Store,
    upload: UploadOf,
    listed: Sequence[ListedPart],
    now: int,
    *,
    checksum: str | None = None,
    guard: Guard | None = None,
) -> Completed:
    """Let the key show the listed parts as one object. To say it again, because the answer was lost, is fine."""
    return await store.write(_complete, upload, listed, now, checksum, guard)


def _complete(
    connection: Connection,
    upload: UploadOf,
    listed: Sequence[ListedPart],
    now: int,
    checksum: str | None,
    guard: Guard | None,
) -> Completed:
    storage_quota.lock(connection, upload.account_id)
    bucket = require(connection, upload.account_id, upload.bucket)
    there = objects.find(connection, bucket.id, upload.key)
    row = uploads.find(connection, bucket.id, upload.key, upload.upload_id)
    if row is None:
        # A client that lost our answer asks again; the ETag says whether that object is the one it means.
        if there is not None and there.etag == _etag(listed):
            return Completed(there.etag, there.size_bytes, there.checksum or "")
        raise Missing("upload", upload.upload_id)
    if guard is not None:
        guard(there)
    parts = _listed_parts(uploads.parts(connection, row), listed)
    whole = _whole_checksum(parts, row.checksum_algorithm)
    if checksum is not None and checksum.partition(":")[0] == whole.partition(":")[0] and checksum != whole:
        raise Invalid("x-amz-checksum", f"the whole object has {whole}, not {checksum}")
    blob_id = blobs.add_composite(
        connection, upload.account_id, [(part.blob_id, part.size_bytes) for part in parts], now
    )
    uploads.delete(connection, row, now, keep=frozenset(part.blob_id for part in parts))
    size_bytes = sum(part.size_bytes for part in parts)
    new = objects.NewObject(upload.key, blob_id, size_bytes, _etag(listed), row.headers, whole)
    objects.put_many(connection, upload.account_id, bucket.id, [new], now)
    return Completed(new.etag, size_bytes, whole)


async def abort_upload(store: Store, upload: UploadOf, now: int) -> None:
    """End an upload and drop its parts."""
    await store.write(_abort, upload, now)


def _abort(connection: Connection, upload: UploadOf, now: int) -> None:
    storage_quota.lock(connection, upload.account_id)
    uploads.delete(connection, require_upload(connection, upload), now)


def require_upload(connection: Connection, upload: UploadOf) -> UploadRow:
    """Return the upload, or raise Missing."""
    bucket = require(connection, upload.account_id, upload.bucket)
    row = uploads.find(connection, bucket.id, upload.key, upload.upload_id)
    if row is None:
        raise Missing("upload", upload.upload_id)
    return row


def _listed_parts(arrived: Sequence[PartRow], listed: Sequence[ListedPart]) -> list[PartRow]:
    by_number = {part.part: part for part in arrived}
    chosen: list[PartRow] = []
    for each in listed:
        part = by_number.get(each.part)
        if part is None:
            raise InvalidPart(f"part {each.part} did not arrive")
        if part.etag != each.etag:
            raise InvalidPart(f"part {each.part} has the ETag {part.etag}, not {each.etag}")
        for algorithm, value in each.checksums.items():
            if part.checksums.get(algorithm, value) != value:
                raise InvalidPart(f"part {each.part} has the {algorithm} {part.checksums[algorithm]}, not {value}")
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size_bytes < MIN_PART_BYTES:
            raise PartTooSmall(f"part {part.part} has {part.size_bytes} bytes; all but the last need {MIN_PART_BYTES}")
    return chosen


def _etag(listed: Sequence[ListedPart]) -> str:
    try:
        return etag_of_parts([bytes.fromhex(part.etag) for part in listed])
    except ValueError:
        raise InvalidPart("an ETag in the list is not one that this server gave") from None


def _whole_checksum(parts: Sequence[PartRow], wanted: str | None) -> str:
    """Return the checksum of all parts together: of the wanted algorithm if that is a CRC all parts came with."""
    algorithm = wanted if wanted in _COMBINE else "CRC32"
    if any(algorithm not in part.checksums for part in parts):
        algorithm = "CRC32"
    width, combine = _COMBINE[algorithm]
    value = 0
    for part in parts:
        value = combine(value, int.from_bytes(base64.b64decode(part.checksums[algorithm]), "big"), part.size_bytes)
    return f"{algorithm}:{base64.b64encode(value.to_bytes(width, 'big')).decode()}"
