"""Read spool files as they grow, and cut them into pieces for the server.

A spool file is bounded: its beginning is given back to the file system (a hole is punched) when the server has it,
or when so much waits behind it that the server would not keep it. Offsets stay what they were.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from hearth.agent.attempt import Key
from hearth.agent.holes import first_data, punch
from hearth.domain.output import cut

PIECE_BYTES = 64 << 10
HOLD_SECONDS = 1.0
# So much is given back at once: small outputs never are.
RELEASE_BYTES = 4 << 20
# What stays of output that the server has: the last words of a run are read here.
KEPT_BYTES = 64 << 10


@dataclass(slots=True)
class _Stream:
    name: str
    path: str
    limit: int  # the server keeps no more, the newest; 0: no limit
    told: int = 0
    skipped: int = 0  # bytes before `told` that were never told
    released: int = 0  # where the file's data begins
    unfinished_since: float | None = None


@dataclass(slots=True)
class _Run:
    streams: tuple[_Stream, _Stream]


class Tails:
    """How far the output of each run was told."""

    def __init__(self, tell: Callable[[Key, int, int, bytes, int], None]) -> None:
        """`tell` takes stream, offset, data, and how many bytes before it were skipped."""
        self._tell = tell
        self._runs: dict[Key, _Run] = {}

    def add(self, key: Key, stdout: str, stderr: str, limit: int = 0) -> None:
        """Follow the spool files of a run; of each, `limit` bytes are worth telling at the end, the newest."""
        self._runs[key] = _Run((_Stream("stdout", stdout, limit), _Stream("stderr", stderr, limit)))

    def rewind(self, key: Key, stdout_bytes: int, stderr_bytes: int, limit: int = 0) -> None:
        """Go on from these offsets, or from where the files still have something."""
        run = self._runs[key]
        for stream, told in zip(run.streams, (stdout_bytes, stderr_bytes), strict=True):
            stream.limit = limit
            stream.told = told
            stream.skipped = 0
            stream.unfinished_since = None
            if (begin := first_data(stream.path, told)) > told:
                _skip_to(stream, _line_start(stream.path, begin))

    def acknowledged(self, key: Key, index: int, offset: int) -> None:
        """Give back what the server has."""
        run = self._runs.get(key)
        if run is not None:
            stream = run.streams[index]
            _release(stream, min(offset, stream.told) - KEPT_BYTES)

    def trim(self, key: Key) -> None:
        """Skip what the server would not keep anyway, so that a run cannot fill the disk while the server is away."""
        run = self._runs.get(key)
        for stream in run.streams if run is not None else ():
            _trim(stream, _size(stream.path))

    def drop(self, key: Key) -> None:
        """Forget a run."""
        self._runs.pop(key, None)

    def count(self) -> int:
        """Return how many runs are followed."""
        return len(self._runs)

    def followed(self) -> list[Key]:
        """Return the runs that are followed."""
        return list(self._runs)

    def notes(self, key: Key) -> list[str]:
        """Say how much of a run's output is kept when that is not all of it."""
        notes: list[str] = []
        run = self._runs.get(key)
        for stream in run.streams if run is not None else ():
            if stream.limit and stream.told > stream.limit:
                notes.append(f"{stream.name} has {stream.told} bytes, and the newest {stream.limit} of them are kept")
        return notes

    def poll(self, key: Key, mono: float, *, at_most: int, flush: bool = False) -> bool:
        """Tell what is new of a run, up to `at_most` bytes a stream; return whether there is more to tell now."""
        run = self._runs.get(key)
        if run is None:
            return False
        more = False
        for index, stream in enumerate(run.streams):
            more |= self._poll(key, index, stream, mono, at_most, flush)
        return more

    def _poll(self, key: Key, index: int, stream: _Stream, mono: float, at_most: int, flush: bool) -> bool:
        size = _size(stream.path)
        _trim(stream, size)
        if size <= stream.told:
            return False
        with open(stream.path, "rb") as file:
            file.seek(stream.told)
            data = file.read(min(at_most, size - stream.told))
        if stream.unfinished_since is None:
            stream.unfinished_since = mono
        ending, flush = flush, flush or mono - stream.unfinished_since >= HOLD_SECONDS
        start = 0
        while start < len(data):
            end_of_run = ending and stream.told + (len(data) - start) >= size
            length = cut(data[start : start + PIECE_BYTES + 1], limit=PIECE_BYTES, flush=flush) or (
                len(data) - start if end_of_run else 0
            )
            if not length:
                break
            self._tell(key, index, stream.told, data[start : start + length], stream.skipped)
            stream.skipped = 0
            stream.told += length
            start += length
        if start:
            stream.unfinished_since = None if start == len(data) else mono
        return stream.told < size and (flush or size - stream.told > PIECE_BYTES)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _trim(stream: _Stream, size: int) -> None:
    """Skip to the newest bytes that the server will keep when more than these wait, and give the others back."""
    if stream.limit and size - stream.told > stream.limit + stream.limit // 4 + PIECE_BYTES:
        # The server drops whole pieces, so it may hold a little less than the limit; we keep a little more.
        _skip_to(stream, _line_start(stream.path, size - stream.limit - PIECE_BYTES))
        _release(stream, stream.told)


def _skip_to(stream: _Stream, offset: int) -> None:
    stream.skipped += offset - stream.told
    stream.told = offset
    stream.unfinished_since = None


def _release(stream: _Stream, end: int) -> None:
    if end - stream.released >= RELEASE_BYTES:
        stream.released = punch(stream.path, stream.released, end)


def _line_start(path: str, offset: int) -> int:
    """Return where the next line begins, or, when none is near, the next character."""
    if offset <= 0:
        return 0
    with open(path, "rb") as file:
        file.seek(offset - 1)
        data = file.read(PIECE_BYTES)
    newline = data.find(b"\n")
    if newline >= 0:
        return offset + newline
    for index, byte in enumerate(data[1:4]):
        if byte & 0xC0 != 0x80:
            return offset + index
    return offset
