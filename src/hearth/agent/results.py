"""Which files of a run are its results (contract: platform semantics 1.5)."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import regex

from hearth.agent import beneath
from hearth.agent.manifest import SHOWN, Manifest, Placed
from hearth.agent.mounts import MOVED
from hearth.domain.path_filter import why_too_large

MEBIBYTE = 1 << 20
# Sizes of parts, in MiB, that clients upload in.
USUAL_PARTS = (8, 5, 6, 10, 12, 15, 16, 20, 25, 32, 50, 64, 100, 128, 256, 512)
# One path against one pattern, and all paths together: a slow pattern must not keep a thread of the node for long.
MATCH_SECONDS = 1.0
FILTER_SECONDS = 30.0
PATTERN_LIMIT = 10_000
# What one report, and the transaction that publishes it, can carry.
FILES_LIMIT = 100_000
PATHS_LIMIT_BYTES = 16 * MEBIBYTE
KEY_LIMIT_BYTES = 1024
NOTES_LIMIT = 20
# How files are named while they are pushed into a folder; in the folder itself, and for a moment.
PUSHING = ".hearth-push-"


class BadFilter(Exception):
    """A results filter that is no regular expression, or takes for ever; the sentence says which."""


class TooMany(Exception):
    """More result files than one instance may have; the sentence says how many those are."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Files to upload by relative path, and notes on what was left out."""

    files: dict[str, Path]
    notes: list[str]


def select(job: Path, manifest: Manifest | None, whitelist: str, blacklist: str) -> Selection:
    """Return the files below `job` that were created or edited and that the filters let through.

    Symbolic links count as what they point to, when that is a file of the run itself; what lies outside is
    never read, even if the run still runs and changes its folders meanwhile. Raises BadFilter and TooMany.
    """
    keep, drop = _Filter("resultsWhitelist", whitelist), _Filter("resultsBlacklist", blacklist)
    story = _Story(job, manifest or Manifest())
    root = os.path.realpath(job)
    files: dict[str, Path] = {}
    notes = _Notes()
    size = 0
    folders = [""]
    while folders:
        path = folders.pop()
        try:
            inner, found = _look_through(root, path, notes)
        except OSError as error:
            notes.add(f"the folder '{_shown(path)}' was left out: {error.strerror}")
            continue
        folders += inner
        for name, target in found:
            if not (keep.lets(name, True) and not drop.lets(name, False)) or story.is_unchanged(name, target):
                continue
            files[name] = Path(root, target)
            size += len(name)
            if len(files) > FILES_LIMIT or size > PATHS_LIMIT_BYTES:
                raise TooMany(
                    f"{len(files)} result files or more are too many for one instance; choose some with "
                    "resultsWhitelist, or put many into one archive"
                )
    return Selection(dict(sorted(files.items())), notes.all())


def _look_through(root: str, path: str, notes: _Notes) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the folders in a folder, and its files with the paths that they really have below `root`."""
    if len(os.fsencode(path)) > KEY_LIMIT_BYTES:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    folders: list[str] = []
    files: list[tuple[str, str]] = []
    with beneath.folder(root, path.split("/")[:-1]) as handle, os.scandir(handle) as entries:
        for entry in entries:
            name = path + entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(name + "/")
            elif _can_be_a_key(name, notes) and not name.startswith(PUSHING):
                target = _target(entry, handle, root, name, notes)
                if target is not None:
                    files.append((name, target))
    return folders, files


class _Story:
    """How a run's files looked before it began."""

    def __init__(self, job: Path, manifest: Manifest) -> None:
        self._job = job
        self._manifest = manifest
        self._upper = job.parent / "upper" if manifest.tree else None
        self._moved: dict[Path, bool] = {}

    def is_unchanged(self, path: str, target: str) -> bool:
        """Answer whether a file is a resource as it was put there."""
        stories = self._manifest.stories(path)
        if not stories:
            return False
        if any(before.changed_ns == SHOWN for before in stories) and self._is_only_shown(path):
            return True
        with suppress(OSError):
            handle = beneath.open_file(self._job, target)
            try:
                return any(_is_same(handle, before) for before in stories)
            finally:
                os.close(handle)
        return False

    def _is_only_shown(self, path: str) -> bool:
        """Answer whether an overlay has kept nothing of this name, so that it shows what it always did."""
        if self._upper is None or os.path.lexists(self._upper / path):
            return False
        return not any(self._was_moved(folder) for folder in _parents(self._upper, path))

    def _was_moved(self, folder: Path) -> bool:
        if folder not in self._moved:
            self._moved[folder] = False
            with suppress(OSError):
                self._moved[folder] = bool(os.getxattr(folder, MOVED, follow_symlinks=False))
        return self._moved[folder]


def _parents(upper: Path, path: str) -> Iterator[Path]:
    folder = upper
    for part in path.split("/")[:-1]:
        folder = folder / part
        yield folder


class _Notes:
    """Sentences for people, as many as people read."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._more = 0

    def add(self, note: str) -> None:
        if len(self._first) < NOTES_LIMIT:
            self._first.append(note)
        else:
            self._more += 1

    def all(self) -> list[str]:
        return self._first + ([f"{self._more} more were left out"] if self._more else [])


class _Filter:
    """A regular expression of the user's."""

    def __init__(self, field: str, text: str) -> None:
        self._field = field
        self._pattern: regex.Pattern[str] | None = None
        self._left = FILTER_SECONDS
        if len(text) > PATTERN_LIMIT:
            raise BadFilter(f"{field} has {len(text)} characters, at most {PATTERN_LIMIT} are possible")
        if too_large := why_too_large(text):
            raise BadFilter(f"{field} {text[:200]!r} is too large: {too_large}")
        if text:
            try:
                self._pattern = regex.compile(text)
            except (regex.error, RecursionError, OverflowError, ValueError) as error:
                raise BadFilter(f"{field} {text[:200]!r} is not a regular expression: {error}") from None

    def lets(self, path: str, default: bool) -> bool:
        """Answer whether the pattern is in the path; `default` when there is no pattern."""
        if self._pattern is None:
            return default
        began = time.monotonic()
        try:
            return self._pattern.search(path, timeout=min(MATCH_SECONDS, self._left), concurrent=True) is not None
        except TimeoutError:
            raise BadFilter(
                f"{self._field} {self._pattern.pattern[:200]!r} takes too long (at the path '{path}'): "
                f"{MATCH_SECONDS:.0f} s are there for one path, {FILTER_SECONDS:.0f} s for all; "
                "avoid repetitions inside repetitions"
            ) from None
        finally:
            self._left = max(0.001, self._left - (time.monotonic() - began))


def _can_be_a_key(path: str, notes: _Notes) -> bool:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        notes.add(f"the file {path!r} was left out: its name is not UTF-8")
        return False
    if size > KEY_LIMIT_BYTES:
        notes.add(
            f"the file '{_shown(path)}' was left out: its path has {size} bytes, at most {KEY_LIMIT_BYTES} can be"
        )
    return size <= KEY_LIMIT_BYTES


def _target(entry: os.DirEntry[str], folder: int, root: str, path: str, notes: _Notes) -> str | None:
    """Return where the regular file is that an entry is or links to, if that is one of the run's own."""
    if not entry.is_symlink():
        return path if entry.is_file(follow_symlinks=False) else None
    try:
        handle = os.open(entry.name, os.O_PATH | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None  # it points nowhere
    try:
        target = os.readlink(f"/proc/self/fd/{handle}")
        is_file = stat.S_ISREG(os.fstat(handle).st_mode)
    finally:
        os.close(handle)
    if not target.startswith(root + os.sep) and target != root:
        notes.add(f"the link '{path}' was left out: it points outside the working folder")
        return None
    return target[len(root) + 1 :] if is_file else None


def _shown(path: str) -> str:
    text = path.encode(errors="backslashreplace").decode()
    return text if len(text) <= 200 else f"{text[:100]}...{text[-90:]}"


def _is_same(handle: int, before: Placed) -> bool:
    info = os.fstat(handle)
    if info.st_size != before.size:
        return False
    return info.st_ctime_ns == before.changed_ns or _has_etag(handle, info.st_size, before.etag)


def _has_etag(handle: int, size: int, etag: str) -> bool:
    """Answer whether an upload of this file, in one piece or in parts of a usual size, would have the ETag."""
    _, dash, parts = etag.partition("-")
    if not dash:
        return b"".join(_md5s(handle, MEBIBYTE, together=True)).hex() == etag
    for part_bytes in (mebibytes * MEBIBYTE for mebibytes in USUAL_PARTS):
        if str(max(1, -(-size // part_bytes))) == parts:
            md5s = _md5s(handle, part_bytes)
            if f"{hashlib.md5(b''.join(md5s), usedforsecurity=False).hexdigest()}-{len(md5s)}" == etag:
                return True
    return False


def _md5s(handle: int, part_bytes: int, *, together: bool = False) -> list[bytes]:
    """Return the MD5 of each part of a file, or the one of all of it."""
    md5s: list[bytes] = []
    digest = hashlib.md5(usedforsecurity=False)
    left = part_bytes
    offset = 0
    while block := os.pread(handle, min(left, MEBIBYTE), offset):
        digest.update(block)
        offset += len(block)
        left -= len(block)
        if not left:
            left = part_bytes
            if not together:
                md5s.append(digest.digest())
                digest = hashlib.md5(usedforsecurity=False)
    if together or left < part_bytes or not md5s:
        md5s.append(digest.digest())
    return md5s
