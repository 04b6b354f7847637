"""The folders of runs on this node: `runs/<slot>/{job,stdout,stderr,resources,given-up,upper,work}`.

Making and removing folders waits for the file system's journal whenever somebody syncs, so a run that left
nothing behind gives its folder, still empty, to the next one. Which attempt has which slot stands in a mapped
file of fixed records: an agent that was killed finds its runs' folders again.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import mmap
import os
import stat
from collections.abc import Collection
from pathlib import Path

from hearth.agent.attempt import Key

SLOTS = 1 << 14
RECORD = 64
_MOVED = itertools.count()
GIVEN_UP = "given-up"
JOB_MODE = 0o777  # an image may run its command as any user


def key_text(key: Key) -> str:
    """Return the name by which runtimes know an attempt."""
    return f"{key[0]}.{key[1]}.{key[2]}"


def key_of(text: str) -> Key:
    """Read the name of an attempt."""
    task, number, attempt = text.split(".")
    return int(task), int(number), int(attempt)


class Folders:
    """Where the files of runs are."""

    def __init__(self, root: Path) -> None:
        self._runs = str(root / "runs")
        os.makedirs(self._runs, mode=0o711, exist_ok=True)
        self._table = _open_table(root / "slots")
        self._slots: dict[Key, int] = {}
        self._paths: dict[int, tuple[Path, Path, Path]] = {}
        self._clean: list[int] = []  # with an empty folder
        self._bare: list[int] = list(range(SLOTS - 1, -1, -1))  # without a folder

    def recover(self, known: Collection[Key]) -> None:
        """Find the folders of these runs again, and remove all others."""
        self.find(known)
        self.remove_others()

    def find(self, known: Collection[Key]) -> None:
        """Find the folders of these runs again."""
        wanted = {key_text(key): key for key in known}
        for slot in range(SLOTS):
            record = self._table[slot * RECORD : (slot + 1) * RECORD].rstrip(b"\0")
            if record and (key := wanted.get(record.decode("ascii", "replace"))) is not None:
                self._slots[key] = slot

    def remove_others(self) -> None:
        """Remove the folders of all other runs; nothing may be mounted there."""
        used = set(self._slots.values())
        for name in os.listdir(self._runs):
            if not (name.isdigit() and int(name) in used):
                remove(f"{self._runs}/{name}")
        self._bare = [slot for slot in range(SLOTS - 1, -1, -1) if slot not in used]

    def path(self, key: Key) -> str:
        """Return the folder of an attempt."""
        return f"{self._runs}/{self._slots[key]}"

    def folder(self, slot: int) -> str:
        """Return the folder of a slot."""
        return f"{self._runs}/{slot}"

    def job(self, key: Key) -> Path:
        """Return the folder that is the attempt's working folder."""
        return self._files(key)[0]

    def stdout(self, key: Key) -> Path:
        """Return the spool file of the attempt's output."""
        return self._files(key)[1]

    def stderr(self, key: Key) -> Path:
        """Return the spool file of the attempt's error output."""
        return self._files(key)[2]

    def _files(self, key: Key) -> tuple[Path, Path, Path]:
        slot = self._slots[key]
        paths = self._paths.get(slot)
        if paths is None:
            folder = Path(f"{self._runs}/{slot}")
            paths = self._paths[slot] = (folder / "job", folder / "stdout", folder / "stderr")
        return paths

    def has(self, key: Key) -> bool:
        """Answer whether the attempt has a folder here."""
        return key in self._slots

    def make(self, key: Key) -> None:
        """Give an attempt an empty folder."""
        if self._clean:
            slot = self._clean.pop()
        elif not self._bare:
            raise OSError(errno.ENOSPC, f"all {SLOTS} folders of runs are in use", self._runs)
        else:
            slot = self._bare.pop()
            try:
                _make(f"{self._runs}/{slot}")
            except OSError:
                self._bare.append(slot)
                raise
        self._slots[key] = slot
        record = key_text(key).encode("ascii")
        self._table[slot * RECORD : (slot + 1) * RECORD] = record.ljust(RECORD, b"\0")

    def give_up(self, key: Key) -> None:
        """Note that this node kills the run itself, so that its end is no end of the user's."""
        os.close(os.open(f"{self.path(key)}/{GIVEN_UP}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def was_given_up(self, key: Key) -> bool:
        """Answer whether an agent was killing the run when it ended."""
        return os.path.lexists(f"{self.path(key)}/{GIVEN_UP}")

    def release(self, key: Key) -> int | None:
        """Take the folder back; return its slot when something is in it, which `clear` must remove."""
        slot = self._slots.pop(key, None)
        if slot is None:
            return None
        self._table[slot * RECORD : (slot + 1) * RECORD] = bytes(RECORD)
        if _is_clean(f"{self._runs}/{slot}"):
            self._clean.append(slot)
            return None
        return slot

    def clear(self, slot: int) -> None:
        """Remove the folder of a slot with all that is in it (slow: not on the event loop)."""
        remove(f"{self._runs}/{slot}")

    def recycle(self, slot: int) -> None:
        """Let a slot that was cleared be used again."""
        if not os.path.exists(f"{self._runs}/{slot}"):
            self._bare.append(slot)


def _open_table(path: Path) -> mmap.mmap:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(handle, SLOTS * RECORD)
        return mmap.mmap(handle, SLOTS * RECORD)
    finally:
        os.close(handle)


def _make(path: str) -> None:
    os.mkdir(path, 0o711)
    os.mkdir(path + "/job")
    os.chmod(path + "/job", JOB_MODE)
    for name in ("/stdout", "/stderr"):
        os.close(os.open(path + name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def remove(path: str) -> None:
    """Remove a folder with all that is in it, as far as that is possible.

    A run may nest folders deeper than a recursion goes and a path is long, so each folder that is not empty is
    first moved beside `path`.
    """
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
    except OSError:
        return
    folders = [path]
    for folder in folders:  # grows meanwhile
        while _take_out(folder, path, folders):
            pass
    for folder in folders:
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _take_out(folder: str, path: str, folders: list[str]) -> bool:
    """Remove or move aside what is in a folder; return whether there was something that went."""
    went = False
    try:
        os.chmod(folder, 0o700)  # a run may have closed it to its own user
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.path)
                    else:
                        _move_aside(entry.path, path, folders)
                    went = True
                except OSError:
                    continue
    except OSError:
        pass
    return went


def _move_aside(folder: str, path: str, folders: list[str]) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        os.chmod(folder, 0o700)
        aside = f"{path}.{next(_MOVED)}"
        while os.path.lexists(aside):
            aside = f"{path}.{next(_MOVED)}"
        os.rename(folder, aside)
        folders.append(aside)


def _is_clean(path: str) -> bool:
    """Answer whether nothing tells that somebody was here."""
    try:
        job = os.stat(path + "/job", follow_symlinks=False)
        return (
            stat.S_ISDIR(job.st_mode)
            and stat.S_IMODE(job.st_mode) == JOB_MODE
            and sorted(os.listdir(path)) == ["job", "stderr", "stdout"]
            and not os.listdir(path + "/job")
            and not os.listxattr(path + "/job")
            and os.stat(path + "/stdout").st_size == 0
            and os.stat(path + "/stderr").st_size == 0
        )
    except OSError:
        return False
