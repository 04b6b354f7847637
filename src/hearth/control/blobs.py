"""Bytes in and out: streams become blobs, blobs become streams, in bounded memory.

A blob's row exists before its bytes, so what a crash leaves behind is a query (`control.sweep`), never a search.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from sqlalchemy import Connection

from hearth.objects.digest import ContentDigest, Digest
from hearth.objects.disk import BlobFiles
from hearth.store.door import Store
from hearth.store.queries import blobs
from hearth.store.queries.blobs import Piece

# Up to here bytes live in the database: one transaction, no file.
SMALL_BYTES = 32 * 1024
BUFFER_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Draft:
    """Bytes that arrived: a few in hand, or many on disk already. `settle` makes them a blob."""

    account_id: int
    size_bytes: int
    etag: str
    md5_hex: str
    crc32_b64: str
    blob_id: int | None
    data: bytes | None


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A whole, durable blob. It is swept after a day unless a row points to it by then."""

    id: int
    size_bytes: int
    etag: str  # the MD5, or from 8 MiB on the one of an upload in 8 MiB parts
    md5_hex: str
    crc32_b64: str

    @property
    def checksum(self) -> str:
        """The CRC-32 as object rows keep it."""
        return f"CRC32:{self.crc32_b64}"


def settle(connection: Connection, draft: Draft, now: int) -> StoredBlob:
    """Make a draft a blob, in the transaction that may also point to it."""
    if draft.blob_id is None:
        blob_id = blobs.add_small(connection, draft.account_id, draft.data or b"", now)
    else:
        blob_id = draft.blob_id
        blobs.settle(connection, blob_id, draft.size_bytes, now)
    return StoredBlob(blob_id, draft.size_bytes, draft.etag, draft.md5_hex, draft.crc32_b64)


class BlobStore:
    """Blobs of one database and the disk that belongs to it."""

    def __init__(self, store: Store, disk: BlobFiles, now: Callable[[], int]) -> None:
        self._store = store
        self._disk = disk
        self._now = now

    async def put(self, account_id: int, chunks: AsyncIterator[bytes]) -> StoredBlob:
        """Store a stream and return when it is durable; nothing points to it yet."""
        draft = await self.stage(account_id, chunks, etag_of_parts=True)
        return await self._store.write(settle, draft, self._now())

    async def stage(
        self,
        account_id: int,
        chunks: AsyncIterator[bytes],
        digests: Sequence[Digest] = (),
        *,
        etag_of_parts: bool = False,
    ) -> Draft:
        """Take in a stream, through `digests` too; the bytes are on disk, or few enough to be in hand."""
        content = ContentDigest(parts=etag_of_parts)
        seen_by = (content, *digests)
        buffer = bytearray()
        async for chunk in chunks:
            buffer += chunk
            if len(buffer) >= BUFFER_BYTES:
                break
        if len(buffer) <= SMALL_BYTES:
            data = bytes(buffer)
            for digest in seen_by:
                digest.update(data)
            return _draft(account_id, content, None, data)
        blob_id = await self._store.write(blobs.begin, account_id, self._now())
        await self._to_disk(blob_id, buffer, chunks, seen_by)
        return _draft(account_id, content, blob_id, None)

    async def _to_disk(
        self, blob_id: int, buffer: bytearray, chunks: AsyncIterator[bytes], digests: Iterable[Digest]
    ) -> None:
        writer = await self._disk.create(blob_id, digests)
        try:
            async for chunk in chunks:
                if len(buffer) >= BUFFER_BYTES:
                    await writer.write(bytes(buffer))
                    buffer = bytearray()
                buffer += chunk
            await writer.write(bytes(buffer))
            await writer.finish()
        except BaseException:
            writer.abandon()
            raise

    async def open(self, blob_id: int, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Yield a blob's bytes from `start` to before `end`; Missing when there is no such blob."""
        pieces = await self._store.read(blobs.pieces, blob_id)
        async with aclosing(self.stream(pieces, start, end)) as stream:
            async for block in stream:
                yield block

    async def stream(self, pieces: Sequence[Piece], start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Yield the bytes of pieces, laid one after another, from `start` to before `end`."""
        offset = 0
        for piece in pieces:
            first = max(start - offset, 0)
            last = piece.size_bytes if end is None else min(end - offset, piece.size_bytes)
            offset += piece.size_bytes
            if first >= last:
                continue
            if piece.data is not None:
                yield piece.data[first:last]
                continue
            async with aclosing(self._disk.read(piece.blob_id, first, last)) as blocks:
                async for block in blocks:
                    yield block

    async def discard(self, blob_ids: Iterable[int]) -> None:
        """Remove blobs that nothing points to; others are left alone."""
        await self.remove_files_of(await self._store.write(blobs.doom, list(blob_ids), self._now()))

    async def discard_draft(self, draft: Draft) -> None:
        """Drop bytes that turned out not to be wanted."""
        if draft.blob_id is not None:
            await self.discard([draft.blob_id])

    async def remove_files_of(self, doomed: Sequence[int]) -> None:
        """Remove the files of condemned blobs, then their rows: a crash between leaves a row, not a lost file."""
        if doomed:
            await self._disk.remove(doomed)
            await self._store.write(blobs.forget, doomed)


def _draft(account_id: int, content: ContentDigest, blob_id: int | None, data: bytes | None) -> Draft:
    return Draft(
        account_id=account_id,
        size_bytes=content.size_bytes,
        etag=content.etag,
        md5_hex=content.md5_hex,
        crc32_b64=content.crc32_base64,
        blob_id=blob_id,
        data=data,
    )
