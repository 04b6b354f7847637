"""Files of a run on their way to the server, read as they are at one moment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from hearth.agent import beneath
from hearth.agent.attempt import Key
from hearth.agent.link import Link, Unreachable
from hearth.wire import agent as wire

BLOCK_BYTES = 1 << 20


class Changed(Exception):
    """The file was written to while it was read."""


async def upload(
    link: Link,
    key: Key,
    job: Path,
    path: str,
    file: Path,
    *,
    while_unchanged: bool = False,
    sent: Callable[[int], None] = lambda size: None,
) -> wire.ResultFile:
    """Store a file of a run, which nobody sees yet; `sent` hears of each piece.

    `while_unchanged`: raise Changed when the run writes to it meanwhile; the server drops what it has of it.
    """
    real = str(file.relative_to(os.path.realpath(job)))
    reading = _Reading(await asyncio.to_thread(beneath.open_file, job, real), sent, while_unchanged)
    try:
        stored = await link.put_result(key, reading.blocks(), reading.size)
    except Unreachable:
        if reading.has_changed:  # which is why the request broke off
            raise Changed from None
        raise
    finally:
        reading.close()
    return wire.ResultFile(path, stored.blob, stored.size, stored.etag)


class _Reading:
    """A file that is being read once, up to the size that it had at first."""

    def __init__(self, handle: int, sent: Callable[[int], None], while_unchanged: bool) -> None:
        self._handle = handle
        self._before = os.fstat(handle)
        self._sent = sent
        self._while_unchanged = while_unchanged
        self.size = self._before.st_size
        self.has_changed = False

    def close(self) -> None:
        os.close(self._handle)

    async def blocks(self) -> AsyncIterator[bytes]:
        """Yield the file; raise Changed before its last block when it is not what it was."""
        offset = 0
        while offset < self.size:
            block = await asyncio.to_thread(os.pread, self._handle, min(BLOCK_BYTES, self.size - offset), offset)
            offset += len(block)
            if not block or (self._while_unchanged and offset == self.size and self._was_written()):
                self.has_changed = True
                raise Changed
            yield block
            self._sent(len(block))

    def _was_written(self) -> bool:
        now = os.fstat(self._handle)
        return (now.st_size, now.st_mtime_ns) != (self.size, self._before.st_mtime_ns)


async def upload_all(
    files: Mapping[str, Path], at_once: int, one: Callable[[str, Path], Awaitable[wire.ResultFile | None]]
) -> list[wire.ResultFile]:
    """Upload files, several at a time; return what became of them, by path."""
    stored: list[wire.ResultFile] = []
    paths = iter(files.items())

    async def some() -> None:
        for path, file in paths:
            if (result := await one(path, file)) is not None:
                stored.append(result)

    workers = [asyncio.create_task(some()) for _ in range(min(at_once, len(files)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return sorted(stored, key=lambda file: file.path)
