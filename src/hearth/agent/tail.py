"""Read spool files as they grow, and cut them into pieces for the server."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from hearth.agent.logic import Key
from hearth.domain.output import cut

PIECE_BYTES = 64 << 10
HOLD_SECONDS = 1.0


@dataclass(slots=True)
class _Stream:
    path: str
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

    def add(self, key: Key, stdout: str, stderr: str) -> None:
        """Follow the spool files of a run."""
        self._runs[key] = _Run((_Stream(stdout), _Stream(stderr)))

    def rewind(self, key: Key, stdout_bytes: int, stderr_bytes: int) -> None:
        """Go on from these offsets."""
        run = self._runs[key]
        for stream, told in zip(run.streams, (stdout_bytes, stderr_bytes), strict=True):
            stream.told = told
            stream.unfinished_since = None

    def drop(self, key: Key) -> None:
        """Forget a run."""
        self._runs.pop(key, None)

    def followed(self) -> list[Key]:
        """Return the runs that are followed."""
        return list(self._runs)

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
        try:
            size = os.stat(stream.path).st_size
        except FileNotFoundError:
            return False
        if size <= stream.told:
            return False
        with open(stream.path, "rb") as file:
            file.seek(stream.told)
            data = file.read(at_most)
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
