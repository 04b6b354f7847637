"""Reach files below a folder that a run may change at any moment, and nothing outside of it.

A run can put a link where a folder was a moment ago. So no path is followed by name: each folder on the way is
opened by itself, and a link among them is an error.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FOLDER_MODE = 0o755


@contextmanager
def folder(root: str | os.PathLike[str], parts: Sequence[str] = ()) -> Iterator[int]:
    """Open a folder below `root`, which itself is trusted."""
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            handle = _down(handle, part)
        yield handle
    finally:
        os.close(handle)


@contextmanager
def made_folder(root: int, parts: Sequence[str], owner: tuple[int, int]) -> Iterator[int]:
    """Open a folder below an open one; make those on the way that are not there, for `owner`."""
    handle = os.dup(root)
    try:
        for part in parts:
            try:
                os.mkdir(part, FOLDER_MODE, dir_fd=handle)
                is_new = True
            except FileExistsError:
                is_new = False
            handle = _down(handle, part)
            if is_new:
                give(handle, owner)
        yield handle
    finally:
        os.close(handle)


def _down(handle: int, part: str) -> int:
    """Open a folder of an open one, which is closed."""
    if part in ("", ".", "..") or "/" in part:
        raise OSError(errno.EINVAL, "no name of a folder", part)
    inner = os.open(part, _FOLDER, dir_fd=handle)
    os.close(handle)
    return inner


def give(handle: int, owner: tuple[int, int]) -> None:
    """Let an open file belong to `owner`, if this process may."""
    status = os.fstat(handle)
    if (status.st_uid, status.st_gid) != owner and os.geteuid() == 0:
        os.fchown(handle, *owner)


def open_file(root: str | os.PathLike[str], path: str) -> int:
    """Open a regular file below `root` for reading; OSError when it is none, or not there by folders alone."""
    *parents, name = path.split("/")
    with folder(root, parents) as handle:
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
    try:
        # Only what is known to be a file is opened: a pipe or a device might not answer.
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise OSError(errno.EINVAL, "no regular file", path)
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(found)
