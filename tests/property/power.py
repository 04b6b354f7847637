"""A disk that can lose its power: it remembers every call, and what each cut would leave."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Step:
    """One call that changes the disk."""

    call: str
    path: str = ""
    other: str = ""
    inode: int = 0
    data: bytes = b""


class RecordingDisk:
    """Files in memory. Before each step `before` is told, so that it can note what the database says then."""

    def __init__(self, before: Callable[[int], None]) -> None:
        self.steps: list[Step] = []
        self._before = before
        self._lock = threading.RLock()
        self._names: dict[str, int] = {}
        self._inodes: dict[int, bytearray] = {}
        self._count = 0

    def make_folder(self, path: str) -> None:
        self._record(Step("make_folder", path))

    def create(self, path: str) -> int:
        with self._lock:
            self._count += 1
            self._record(Step("create", path, inode=self._count))
            self._names[path], self._inodes[self._count] = self._count, bytearray()
            return self._count

    def write(self, handle: int, data: bytes) -> None:
        self._record(Step("write", inode=handle, data=bytes(data)))
        self._inodes[handle] += data

    def sync(self, handle: int) -> None:
        self._record(Step("sync", inode=handle))

    def close(self, handle: int) -> None:
        """Changes nothing on disk."""

    def rename(self, source: str, target: str) -> None:
        with self._lock:
            self._record(Step("rename", source, target))
            self._names[target] = self._names.pop(source)

    def sync_folder(self, path: str) -> None:
        self._record(Step("sync_folder", path))

    def remove(self, path: str) -> None:
        with self._lock:
            if path in self._names:
                self._record(Step("remove", path))
                del self._names[path]

    def open(self, path: str) -> int:
        if path not in self._names:
            raise FileNotFoundError(path)
        return self._names[path]

    def read(self, handle: int, size: int, offset: int) -> bytes:
        return bytes(self._inodes[handle][offset : offset + size])

    def _record(self, step: Step) -> None:
        with self._lock:
            self._before(len(self.steps))
            self.steps.append(step)


class AfterTheCut(RecordingDisk):
    """What is on the disk when the power returns after `steps`.

    Only synced bytes are left of any file. Of names, `lucky` disks kept all changes, others only synced ones.
    """

    def __init__(self, steps: list[Step], *, lucky: bool) -> None:
        super().__init__(lambda _: None)
        now: dict[str, int] = {}
        kept: dict[str, int] = {}
        content: dict[int, bytearray] = {}
        for step in steps:
            if step.call in ("make_folder", "create"):
                now[step.path] = step.inode
                content.setdefault(step.inode, bytearray())
                self._inodes.setdefault(step.inode, bytearray())
            elif step.call == "write":
                content[step.inode] += step.data
            elif step.call == "sync":
                self._inodes[step.inode] = bytearray(content[step.inode])
            elif step.call == "rename":
                now[step.other] = now.pop(step.path)
            elif step.call == "remove":
                del now[step.path]
            elif step.call == "sync_folder":
                inside = {path for path in now | kept if str(PurePosixPath(path).parent) == step.path}
                for path in inside:
                    if path in now:
                        kept[path] = now[path]
                    else:
                        del kept[path]
        names = now if lucky else kept
        folders = {path for path, inode in names.items() if inode == 0}
        self._names = {
            path: inode for path, inode in names.items() if inode and str(PurePosixPath(path).parent) in folders
        }

    @property
    def paths(self) -> set[str]:
        """The names of all files."""
        return set(self._names)
