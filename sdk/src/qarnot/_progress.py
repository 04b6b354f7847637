"""Lines that show how far something is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Final, TextIO

_BAR_WIDTH: Final = 30


class ProgressLine:
    """One line of a terminal that is written again and again; silent where there is no terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._shown = False

    def show(self, share: float, label: str) -> None:
        """Show a bar that is filled to `share` (0 to 1)."""
        if not self._stream.isatty():
            return
        share = min(max(share, 0.0), 1.0)
        filled = round(share * _BAR_WIDTH)
        bar = "#" * filled + "." * (_BAR_WIDTH - filled)
        self._stream.write(f"\r[{bar}] {share:4.0%} {label}\x1b[K")
        self._stream.flush()
        self._shown = True

    def end(self) -> None:
        """Leave the line as it is."""
        if self._shown:
            self._stream.write("\n")
            self._stream.flush()
            self._shown = False


class Transfer:
    """Counts the bytes of one file, and tells them to what the caller gave as `progress`."""

    def __init__(self, progress: bool | Callable[[float, float, str], None] | None, total: int, name: str) -> None:
        self._line = ProgressLine() if progress is True else None
        self._tell = progress if callable(progress) else None
        self._total = total
        self._name = name
        self._read = 0
        self._lock = threading.Lock()

    def __call__(self, more_bytes: int) -> None:
        # Parts of one file arrive on several threads.
        with self._lock:
            self._read += more_bytes
            if self._tell is not None:
                self._tell(self._read, self._total, self._name)
            if self._line is not None:
                self._line.show(self._read / self._total if self._total else 1.0, self._name)

    def end(self) -> None:
        """Say that all bytes are here."""
        if self._line is not None:
            self._line.end()
