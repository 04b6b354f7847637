"""What a container wrote, on its way to the spool files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import StreamReader

STDOUT, STDERR = 1, 2
_HEADER_BYTES = 8
_LOG_PIECE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """A piece of one stream."""

    stream: int  # STDOUT or STDERR
    data: bytes


async def frames(source: StreamReader) -> AsyncGenerator[Frame, None]:
    """Split an engine's multiplexed stream: a byte for the stream, three of nothing, four of length, data."""
    while True:
        try:
            header = await source.readexactly(_HEADER_BYTES)
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise
            return
        data = await source.readexactly(int.from_bytes(header[4:], "big"))
        yield Frame(header[0], data)


async def with_all_newlines(source: AsyncIterator[Frame]) -> AsyncGenerator[Frame, None]:
    """Put back the newlines that docker's "local" log lost (seen in 20.10).

    It cuts lines longer than 16 KiB into pieces and gives them out without the newline behind the last one.
    A piece that is neither full nor ends a line can only be the last of its line, or of the whole stream.
    """
    lacking: set[int] = set()
    async for frame in source:
        if frame.stream in lacking:
            lacking.discard(frame.stream)
            yield Frame(frame.stream, b"\n")
        yield frame
        if not frame.data.endswith(b"\n") and len(frame.data) != _LOG_PIECE_BYTES:
            lacking.add(frame.stream)


class Spool:
    """The two spool files of a run. Knows how much of each stream it holds, so that a second reading
    of the same streams from their beginning adds only what is new."""

    def __init__(self, stdout: Path, stderr: Path, *, anew: bool) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (os.O_TRUNC if anew else 0)
        self._files = {STDOUT: os.open(stdout, flags, 0o600), STDERR: os.open(stderr, flags, 0o600)}
        self._written = {STDOUT: 0, STDERR: 0}

    def add(self, frame: Frame) -> None:
        """Write a piece that follows what is there."""
        file = self._files.get(frame.stream)
        if file is None:
            return
        rest = memoryview(frame.data)
        while rest:
            count = os.write(file, rest)
            self._written[frame.stream] += count
            rest = rest[count:]

    async def fill(self, source: AsyncIterator[Frame]) -> None:
        """Read both streams from their beginning and add what is not there yet."""
        known = dict(self._written)
        async for frame in source:
            skipped = min(known.get(frame.stream, 0), len(frame.data))
            if skipped:
                known[frame.stream] -= skipped
            if skipped < len(frame.data):
                self.add(Frame(frame.stream, frame.data[skipped:]))

    async def take(self, source: AsyncIterator[Frame]) -> None:
        """Add all of `source`, which begins where the files end."""
        async for frame in source:
            self.add(frame)

    def tail_of_stderr(self) -> bytes:
        """Return all of stderr if that is short, else its end."""
        return os.pread(self._files[STDERR], 4096, max(0, self._written[STDERR] - 4096))

    def close(self) -> None:
        """Close both files; closing twice is safe."""
        while self._files:
            os.close(self._files.popitem()[1])
