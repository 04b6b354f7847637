"""Immutable blobs as files, by number: written once, whole and on the platter before anybody hears of them.

A blob is written as `NN/ID.part`, synced, renamed to `NN/ID`, and its folder synced. Folders are made and synced
when the store is opened. Nothing here knows which blobs there should be: the database does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from hearth.objects.digest import Digest
from hearth.objects.files import Files, OsFiles

P = ParamSpec("P")
T = TypeVar("T")

FOLDERS = 256
BLOCK_BYTES = 1024 * 1024


class BlobDamaged(Exception):
    """A blob's file is missing or shorter than it was: the disk lost what it had confirmed."""

    def __init__(self, blob_id: int, detail: str) -> None:
        super().__init__(f"blob {blob_id}: {detail}")
        self.blob_id = blob_id


class BlobFiles:
    """The files of one folder, on a small pool of threads; the event loop never waits for the disk."""

    def __init__(self, root: Path, *, files: Files | None = None, threads: int = 6) -> None:
        root = root.absolute()
        self._root = str(root)
        self._files = files or OsFiles()
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="blobs")
        self._files.make_folder(self._root)
        for number in range(FOLDERS):
            self._files.make_folder(self._folder(number))
        self._files.sync_folder(self._root)
        self._files.sync_folder(str(root.parent))

    async def create(self, blob_id: int, digests: Iterable[Digest]) -> BlobWriter:
        """Begin to write a blob; its bytes pass through `digests` on the way."""
        part = f"{self._path(blob_id)}.part"
        handle = await self._run(self._files.create, part)
        return BlobWriter(self, blob_id, handle, tuple(digests))

    async def read(self, blob_id: int, start: int, end: int) -> AsyncGenerator[bytes]:
        """Yield the bytes from `start` to before `end`, reading one block ahead of the reader."""
        try:
            handle = await self._run(self._files.open, self._path(blob_id))
        except FileNotFoundError:
            raise BlobDamaged(blob_id, "its file is gone") from None
        ahead: asyncio.Future[bytes] | None = None
        try:
            ahead = self._submit(self._files.read, handle, min(BLOCK_BYTES, end - start), start)
            while start < end:
                block = await asyncio.shield(ahead)
                if not block:
                    raise BlobDamaged(blob_id, f"its file ends at {start}, not at {end}")
                start += len(block)
                if start < end:
                    ahead = self._submit(self._files.read, handle, min(BLOCK_BYTES, end - start), start)
                yield block
        finally:
            # A read under way must not meet a number that now belongs to another file.
            if ahead is not None and not ahead.done():
                ahead.add_done_callback(lambda _: self._files.close(handle))
            else:
                self._files.close(handle)

    async def remove(self, blob_ids: Iterable[int]) -> None:
        """Remove files, whole or begun, and return when they stay removed after a power cut."""
        await self._run(self._remove, list(blob_ids))

    def close(self) -> None:
        """Finish what was begun and stop the threads."""
        self._pool.shutdown(wait=True)

    def _remove(self, blob_ids: list[int]) -> None:
        for blob_id in blob_ids:
            self._files.remove(self._path(blob_id))
            self._files.remove(f"{self._path(blob_id)}.part")
        for number in sorted({blob_id % FOLDERS for blob_id in blob_ids}):
            self._files.sync_folder(self._folder(number))

    def _folder(self, number: int) -> str:
        return f"{self._root}/{number:02x}"

    def _path(self, blob_id: int) -> str:
        return f"{self._folder(blob_id % FOLDERS)}/{blob_id}"

    def _submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        return asyncio.wrap_future(self._pool.submit(function, *args, **kwargs))

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._submit(function, *args, **kwargs)


class BlobWriter:
    """One blob on its way to disk: `write` as often as needed, then `finish` or `abandon`, once."""

    def __init__(self, blobs: BlobFiles, blob_id: int, handle: int, digests: tuple[Digest, ...]) -> None:
        self._blobs = blobs
        self._blob_id = blob_id
        self._handle: int | None = handle
        self._digests = digests
        self._under_way: asyncio.Future[None] | None = None

    async def write(self, data: bytes) -> None:
        """Append; returns while the thread still works, so that the next bytes arrive meanwhile."""
        await self._settled()
        self._under_way = self._blobs._submit(self._write, data)

    async def finish(self) -> None:
        """Return when the blob is whole under its own name and survives a power cut."""
        await self._settled()
        self._under_way = self._blobs._submit(self._finish)
        await self._settled()

    def abandon(self) -> None:
        """Drop what was written, without waiting."""
        before = self._under_way

        def drop(_: object = None) -> None:
            try:
                self._blobs._pool.submit(self._drop)
            except RuntimeError:  # the threads were stopped
                self._drop()

        if before is not None and not before.done():
            before.add_done_callback(drop)
        else:
            drop()

    async def _settled(self) -> None:
        if self._under_way is not None:
            await asyncio.shield(self._under_way)

    def _write(self, data: bytes) -> None:
        for digest in self._digests:
            digest.update(data)
        self._blobs._files.write(self._open_handle(), data)

    def _finish(self) -> None:
        files, path = self._blobs._files, self._blobs._path(self._blob_id)
        files.sync(self._open_handle())
        self._close()
        files.rename(f"{path}.part", path)
        files.sync_folder(self._blobs._folder(self._blob_id % FOLDERS))

    def _drop(self) -> None:
        self._close()
        self._blobs._files.remove(f"{self._blobs._path(self._blob_id)}.part")

    def _open_handle(self) -> int:
        if self._handle is None:
            raise ValueError(f"blob {self._blob_id} was finished or abandoned already")
        return self._handle

    def _close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            self._blobs._files.close(handle)
