"""What a sandboxed run sees of the machine's files, and whether its command is among it."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from hearth.agent.spawner.processes import CannotStart, bad_format, not_executable, not_found

SHOWN_ROOTS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SHOWN_ETC = (
    "alternatives",
    "ca-certificates.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "os-release",
    "pki/ca-trust",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
)
_GLIBC_PATH = "/bin:/usr/bin"  # where execvp looks when PATH is not set
_MOST_LINKS = 40


def shown_folders() -> tuple[dict[str, str], dict[str, str]]:
    """Return the machine's folders of programs to show (inside -> outside), and its links between them."""
    folders: dict[str, str] = {}
    links: dict[str, str] = {}
    for root in SHOWN_ROOTS:
        path = Path(root)
        if path.is_symlink():
            links[root] = str(path.readlink())
        elif path.is_dir():
            folders[root] = root
    return folders, links


class View:
    """A run's view of files: shown folders, links between them, and its own folder."""

    def __init__(self, folders: Mapping[str, str], links: Mapping[str, str], working_directory: str) -> None:
        self._folders = folders
        self._links = links
        self._working_directory = working_directory

    def outside(self, path: str) -> str | None:
        """Return where a path of the run lies on this machine, links followed; None when it shows nothing."""
        parts = deque(os.path.join(self._working_directory, path).split("/"))
        inside = ""
        followed = 0
        while parts:
            part = parts.popleft()
            if part in ("", "."):
                continue
            if part == "..":
                inside = inside.rpartition("/")[0]
                continue
            candidate = f"{inside}/{part}"
            target = self._link(candidate)
            if target is None:
                inside = candidate
                continue
            followed += 1
            if followed > _MOST_LINKS:
                return None
            if target.startswith("/"):
                inside = ""
            parts.extendleft(reversed(target.split("/")))
        return self._place(inside)

    def _link(self, inside: str) -> str | None:
        if inside in self._links:
            return self._links[inside]
        place = self._place(inside)
        try:
            return os.readlink(place) if place is not None and inside not in self._folders else None
        except OSError:
            return None

    def _place(self, inside: str) -> str | None:
        for root in sorted(self._folders, key=len, reverse=True):
            if inside == root or inside.startswith(f"{root}/"):
                return self._folders[root] + inside[len(root) :]
        return None


def check_command(argv: tuple[str, ...], environment: Mapping[str, str], view: View, uid: int, gid: int) -> None:
    """Raise `CannotStart` when the command of a run cannot be executed by this user."""
    name = argv[0]
    denied: str | None = None
    for path in _candidates(name, environment):
        place = view.outside(path)
        try:
            status = os.stat(place) if place is not None else None
        except OSError:
            status = None
        if status is None or place is None:
            continue
        if not stat.S_ISREG(status.st_mode) or not _may_execute(status, uid, gid):
            denied = denied or path
            continue
        _check_format(path, place, view)
        return
    if denied is not None:
        raise not_executable(denied)
    if "/" in name:
        raise not_found(name, exists=False)
    searched = environment.get("PATH", _GLIBC_PATH)
    raise CannotStart(127, "COMMAND_NOT_FOUND", f"command not found: {name!r} is in no folder of PATH ({searched})")


def _candidates(name: str, environment: Mapping[str, str]) -> Iterator[str]:
    if not name:
        return
    if "/" in name:
        yield name
        return
    for folder in environment.get("PATH", _GLIBC_PATH).split(":"):
        yield f"{folder or '.'}/{name}"


def _may_execute(status: os.stat_result, uid: int, gid: int) -> bool:
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _check_format(path: str, place: str, view: View) -> None:
    try:
        with Path(place).open("rb") as file:
            head = file.read(256)
    except PermissionError:
        return  # it may be executed all the same
    if head.startswith(b"#!"):
        words = head[2:].split(b"\n", 1)[0].split()
        interpreter = view.outside(os.fsdecode(words[0])) if words else None
        if interpreter is None or not Path(interpreter).exists():
            raise not_found(path, exists=True)
    elif not head.startswith(b"\x7fELF"):
        raise bad_format(path)
