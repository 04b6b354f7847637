"""The file calls that blobs make, and nothing more: a test replaces them to see what a power cut would leave."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """Files and folders by path; a handle is what `create` and `open` return. Every call may block."""

    def make_folder(self, path: str) -> None:
        """Make a folder; one that exists is fine."""

    def create(self, path: str) -> int:
        """Open a file for writing, empty, whether or not there was one."""

    def write(self, handle: int, data: bytes) -> None:
        """Append all of `data`."""

    def sync(self, handle: int) -> None:
        """Return when the file's bytes survive a power cut."""

    def close(self, handle: int) -> None:
        """Let go of the handle."""

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, taking the place of what had it."""

    def sync_folder(self, path: str) -> None:
        """Return when the folder's names survive a power cut."""

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is fine."""

    def open(self, path: str) -> int:
        """Open a file for reading; FileNotFoundError when there is none."""

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset`; empty at the end."""


class OsFiles:
    """The operating system's own."""

    def make_folder(self, path: str) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)

    def create(self, path: str) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def write(self, handle: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]

    def sync(self, handle: int) -> None:
        os.fsync(handle)

    def close(self, handle: int) -> None:
        os.close(handle)

    def rename(self, source: str, target: str) -> None:
        Path(source).replace(target)

    def sync_folder(self, path: str) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)

    def open(self, path: str) -> int:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, handle: int, size: int, offset: int) -> bytes:
        return os.pread(handle, size, offset)
