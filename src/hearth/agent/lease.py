"""Until when this node may run what it holds, written down for the agent that follows this one."""

from __future__ import annotations

import math
import os
import struct
import time
from pathlib import Path

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_RECORD = struct.Struct("<40sd")


def boot_seconds() -> float:
    """Return the seconds since this machine started, those that it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class StoredLease:
    """A file of one record: which start of the machine, and the second after it.

    It is overwritten in place, which a full disk does not hinder. It need not survive the machine: nothing
    that ran does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._boot_id = Path(_BOOT_ID).read_text("ascii").strip().encode()
        self._file: int | None = None

    def load(self) -> float | None:
        """Return until when the lease holds, in seconds of CLOCK_BOOTTIME; None when nothing says so."""
        try:
            boot_id, until = _RECORD.unpack(self._path.read_bytes())
        except (FileNotFoundError, struct.error):
            return None
        if boot_id.rstrip(b"\0") != self._boot_id or math.isinf(until):
            return None
        return float(until)

    def store(self, until: float | None) -> None:
        """Write down until when the lease holds; None: without an end."""
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.pwrite(self._file, _RECORD.pack(self._boot_id, math.inf if until is None else until), 0)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
