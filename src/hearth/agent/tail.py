"""Read spool files as they grow, and cut them into pieces for the server."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from hearth.agent.attempt import Key
from hearth.domain.output import cut

PIECE_BYTES = 64 << 10
HOLD_SECONDS = 1.0


@dataclass(slots=True)
class _Stream:
    name: str
    path: str
    limit: int  # the server keeps no more; 0: no limit
    told: int = 0
    unfinished_since: float | None = None


@dataclass(slots=True)
class _Run:
    streams: tuple[_Stream, _Stream]


class Tails:
    """How far the output of each run was told."""

    def __init__(self, tell: Callable[[Key, int, int, bytes], None]) -> None:
        self._tell = tell
        self._runs: dict[Key, _Run] = {}

    def add(self, key: Key, stdout: str, stderr: str, limit: int = 0) -> None:
        """Follow the spool files of a run, each up to `limit` bytes."""
        self._runs[key] = _Run((_Stream("stdout", stdout, limit), _Stream("stderr", stderr, limit)))

    def rewind(self, key: Key, stdout_bytes: int, stderr_bytes: int, limit: int = 0) -> None:
        """Go on from these offsets."""
        run = self._runs[key]
        for stream, told in zip(run.streams, (stdout_bytes, stderr_bytes), strict=True):
            stream.limit = limit
            stream.told = told
            stream.unfinished_since = None

    def drop(self, key: Key) -> None:
        """Forget a run."""
        self._runs.pop(key, None)

    def followed(self) -> list[Key]:
        """Return the runs that are followed."""
        return list(self._runs)

    def notes(self, key: Key) -> list[str]:
        """Say how much of a run's output is not told because it is beyond the limit."""
        notes: list[str] = []
        run = self._runs.get(key)
        for stream in run.streams if run is not None else ():
            if stream.limit and stream.told >= stream.limit and (size := _size(stream.path)) > stream.limit:
                notes.append(f"{stream.name} has {size} bytes, and the first {stream.limit} of them are kept")
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
        if stream.limit and size > stream.limit:
            size = stream.limit
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
            self._tell(key, index, stream.told, data[start : start + length])
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
