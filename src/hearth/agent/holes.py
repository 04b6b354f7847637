"""Give the beginning of a file back to the file system: its size and offsets stay, its blocks go."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os

_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h
_BLOCK = 4096

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong)


def punch(path: str, begin: int, end: int) -> int:
    """Free the blocks of a file between two offsets; return up to where nothing is left.

    A file system that cannot do that keeps the blocks: the offset is returned all the same, and not tried again.
    """
    end -= end % _BLOCK
    if end <= begin:
        return begin
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if _libc.fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, begin, end - begin) != 0:
            number = ctypes.get_errno()
            if number not in (errno.EOPNOTSUPP, errno.ENOSYS):
                raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)
    return end


def first_data(path: str, offset: int) -> int:
    """Return where the first data at or behind an offset is; the offset itself when that cannot be told."""
    with contextlib.suppress(OSError):  # no such file, or nothing but a hole up to its end
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.lseek(descriptor, offset, os.SEEK_DATA)
        finally:
            os.close(descriptor)
    return offset
