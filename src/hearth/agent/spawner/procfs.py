"""What /proc tells about processes."""

from __future__ import annotations

import os
from collections.abc import Iterator

MARKER = "HEARTH_RUN"  # NAME=<site>/<key> in the environment of everything a spawner starts
_TICK_MICROSECONDS = 1_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def processes() -> list[int]:
    """Return the ids of all processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        parts = []
        while part := os.read(descriptor, 131072):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def run_of(pid: int, site: str) -> str | None:
    """Return the key of the run that a process belongs to, as its environment says."""
    prefix = f"{MARKER}={site}/".encode()
    environment = b"\0" + _read(f"/proc/{pid}/environ")
    start = environment.find(b"\0" + prefix)
    if start < 0:
        return None
    start += 1 + len(prefix)
    end = environment.find(b"\0", start)
    return environment[start : end if end >= 0 else None].decode(errors="surrogateescape")


def parent_of(pid: int) -> int:
    """Return the parent's id; 0 when there is none, or no such process."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and only waits to be reaped, or is not there at all."""
    fields = _stat(pid)
    return not fields or fields[0] in (b"Z", b"X")


def _stat(pid: int) -> list[bytes]:
    # The command's name may hold spaces and parentheses; the last ")" ends it.
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def children_of(pid: int) -> Iterator[int]:
    """Return the children of all threads of a process."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        for child in _read(f"/proc/{pid}/task/{thread}/children").split():
            yield int(child)


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for member in found:
        found.extend(child for child in children_of(member) if child not in found)
    return found


def measure(pids: list[int]) -> tuple[int, int]:
    """Return microseconds of processor time and bytes of resident memory of these processes together."""
    ticks = pages = 0
    for pid in pids:
        fields = _stat(pid)
        if len(fields) > 21:
            ticks += sum(int(field) for field in fields[11:15])
            pages += int(fields[21])
    return ticks * _TICK_MICROSECONDS, pages * _PAGE_BYTES


def own_peak_bytes() -> int:
    """Return the most memory that this process has held."""
    for line in _read("/proc/self/status").splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


class OwnChildren:
    """Reads the children of this single-threaded process, fast."""

    __slots__ = ("_descriptor", "_pid")

    def __init__(self) -> None:
        self._pid = os.getpid()
        try:
            self._descriptor: int | None = os.open(f"/proc/self/task/{self._pid}/children", os.O_RDONLY)
        except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
            self._descriptor = None

    def read(self) -> list[int]:
        """Return the ids of all children, zombies too."""
        if self._descriptor is None:
            return [pid for pid in processes() if parent_of(pid) == self._pid]
        data = os.pread(self._descriptor, 65536, 0)
        if len(data) > 3000:  # one read gives a page at most; only reading on keeps numbers whole
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            data = b""
            while part := os.read(self._descriptor, 65536):
                data += part
        return [int(child) for child in data.split()]
