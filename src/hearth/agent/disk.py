"""The disk of a node: how much of it may be used, and how files get from the cache to where a run edits them."""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

# Linux: let a file have the blocks of another, until one of them is written to.
_FICLONE = 0x40049409
# What says that this machine, not the user's work, is at fault.
_FAULTS = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN,
    errno.ENXIO, errno.EUCLEAN, errno.ESTALE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DiskRules:
    """How a node uses its disk."""

    cache_bytes: int = 20 << 30
    # What stays free for output and results of what runs already: below, the node takes nothing more.
    free_bytes: int = 256 << 20
    owner: tuple[int, int] | None = None  # the user that runs are, if that is always the same one
    overlays: bool = False  # whether runs see what this process mounts


class Crowded(OSError):
    """What is wanted does not fit beside what is on the disk now, which is well otherwise."""


def is_fault(error: BaseException) -> bool:
    """Answer whether an error is one of this machine: it may pass, and elsewhere it would not have been."""
    return isinstance(error, OSError) and error.errno in _FAULTS


def free_bytes(folder: Path) -> int:
    """Return how much may still be written below a folder."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def disk_bytes(folder: Path) -> int:
    """Return how much could be written below a folder if nothing else was there."""
    status = os.statvfs(folder)
    return status.f_blocks * status.f_frsize


def require_free(folder: Path, size: int, rules: DiskRules) -> None:
    """Raise unless `size` more bytes leave as much free as there must be: of a full disk, or `Crowded`."""
    free = free_bytes(folder)
    if size and free - size < rules.free_bytes:
        told = f"{size} bytes are needed and {free} are free, of which {rules.free_bytes} are kept"
        # Whose fault it is: the disk takes nothing from anybody, or only not as much as this one wants.
        kind = OSError if free < rules.free_bytes else Crowded
        raise kind(errno.ENOSPC, f"the disk of the node is too full: {told}")


def require_floor(folder: Path, rules: DiskRules) -> None:
    """Raise the error of a full disk when less is free than must stay free for what runs already."""
    if (free := free_bytes(folder)) < rules.free_bytes:
        told = f"the disk has {free} bytes free, and {rules.free_bytes} must be (node_disk_floor_mb)"
        raise OSError(errno.ENOSPC, told)


def look(folder: Path, rules: DiskRules, *, by_writing: bool) -> str | None:
    """See whether the disk can take what runs write, or try it; return what is wrong, or None."""
    try:
        require_floor(folder, rules)
        if not by_writing:
            return None
        probe = folder / "disk-probe"
        probe.write_bytes(bytes(4096))
        probe.unlink()
    except OSError as error:
        return str(error)
    return None


def can_clone(folder: Path) -> bool:
    """Answer whether files below a folder can share their blocks."""
    source, target = folder / "clone-probe", folder / "clone-probe-2"
    try:
        source.write_bytes(bytes(4096))
        return clone(source, target)
    except OSError:
        return False
    finally:
        source.unlink(missing_ok=True)
        target.unlink(missing_ok=True)


def clone(source: Path, target: Path) -> bool:
    """Make a file that shares its blocks with another; answer whether the file system can."""
    with source.open("rb") as old, target.open("wb") as new:
        try:
            fcntl.ioctl(new, _FICLONE, old.fileno())
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            return False
        return True
