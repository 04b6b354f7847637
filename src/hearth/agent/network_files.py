"""How many bytes went in and out of a run that has a network of its own."""

from __future__ import annotations

from pathlib import Path


def has_own(pid: int, proc: Path = Path("/proc")) -> bool:
    """Answer whether a process is in another network namespace than this one; False when that is not to be seen."""
    try:
        theirs = (proc / str(pid) / "ns/net").stat()
        ours = (proc / "self/ns/net").stat()
    except OSError:
        return False
    return (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino)


def read(pid: int, proc: Path = Path("/proc")) -> tuple[int, int] | None:
    """Return the bytes that came in and went out since the namespace was made, loopback apart; None: it is gone."""
    try:
        lines = (proc / str(pid) / "net/dev").read_text().splitlines()
    except OSError:
        return None
    received = sent = 0
    for line in lines:
        name, colon, numbers = line.partition(":")
        fields = numbers.split()
        if colon and name.strip() != "lo" and len(fields) >= 9 and fields[0].isdigit():
            received += int(fields[0])
            sent += int(fields[8])
    return received, sent
