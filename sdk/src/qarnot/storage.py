"""What every store of files can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from os import PathLike, fspath
from pathlib import Path
from typing import IO, Any

LocalPath = str | PathLike[str]
Progress = bool | Callable[[float, float, str], None] | None


class Storage(ABC):
    """A store of files, by name: also used as `storage[name] = local`, `storage[name]`, `del storage[name]`."""

    @abstractmethod
    def get_all_files(self, output_dir: LocalPath, progress: Progress = None) -> None:
        """Fetch all files into a local directory; files of the same names there are replaced.

        `progress` is a function of (bytes read, bytes in all, name), or True to show a line.
        """

    def __init__(self) -> None:  # noqa: B027 (a part of the documented interface)
        pass

    @abstractmethod
    def list_files(self) -> list[Any]:
        """Return the files; each has its name as `key`."""

    @abstractmethod
    def get_file(self, remote: str, local: LocalPath | None = None, progress: Progress = None) -> str:
        """Fetch one file, and return the local name that it got; folders are made as needed.

        Raises `ValueError` when there is no such file.
        """

    @abstractmethod
    def copy_file(self, source: str, dest: str) -> None:
        """Make a copy of a file under another name."""

    @abstractmethod
    def add_directory(self, local: LocalPath, remote: str) -> None:
        """Send a local directory with all below it; links to directories are not followed."""

    @abstractmethod
    def add_file(self, local_or_file: LocalPath | IO[Any], remote: str) -> None:
        """Send a local file, or an open one."""

    @abstractmethod
    def delete_file(self, remote: str) -> None:
        """Delete a file."""

    @abstractmethod
    def update(self, flush: bool | None = None) -> None:
        """Read again what is known of the store."""

    @abstractmethod
    def flush(self) -> None:
        """Wait until all that was added is there."""

    def __getitem__(self, filename: str) -> str:
        return self.get_file(filename)

    def __setitem__(self, remote: str, filename: LocalPath | IO[Any]) -> None:
        if isinstance(filename, str | PathLike) and Path(fspath(filename)).is_dir():
            self.add_directory(filename, remote)
        else:
            self.add_file(filename, remote)

    def __delitem__(self, filename: str) -> None:
        self.delete_file(filename)

    def __contains__(self, item: object) -> bool:
        name = getattr(item, "key", item)
        return any(file.key == name for file in self.list_files())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.list_files())

    @abstractmethod
    def __eq__(self, other: object) -> bool: ...

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__: Any = None
