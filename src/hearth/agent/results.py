"""Which files of a run are its results (contract: platform semantics 1.5)."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import regex

from hearth.agent.resources import Placed

PART_BYTES = 8 << 20
# One path against one pattern; a pattern that needs longer would stall the node on every file.
MATCH_SECONDS = 1.0


class BadFilter(Exception):
    """A results filter that is no regular expression, or takes for ever; the sentence says which."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Files to upload by relative path, and notes on what was left out."""

    files: dict[str, Path]
    notes: list[str]


def select(job: Path, placed: Mapping[str, Placed], whitelist: str, blacklist: str) -> Selection:
    """Return the files below `job` that were created or edited and that the filters let through.

    Symbolic links count as what they point to, when that is a file of the run itself; what lies outside is
    never read.
    """
    keep, drop = _pattern("resultsWhitelist", whitelist), _pattern("resultsBlacklist", blacklist)
    root = os.path.realpath(job)
    files: dict[str, Path] = {}
    notes: list[str] = []
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            full = os.path.join(folder, name)
            path = os.path.relpath(full, root)
            try:
                path.encode()
            except UnicodeEncodeError:
                notes.append(f"the file {path!r} was left out: its name is not UTF-8")
                continue
            target = os.path.realpath(full)
            if target != full and not target.startswith(root + os.sep):
                notes.append(f"the link '{path}' was left out: it points outside the working folder")
                continue
            try:
                info = os.stat(target, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(info.st_mode):
                continue
            if not (_matches(keep, path, True) and not _matches(drop, path, False)):
                continue
            before = placed.get(path)
            if before is not None and _is_same(target, info, before):
                continue
            files[path] = Path(target)
    return Selection(files, notes)


def _pattern(field: str, text: str) -> tuple[str, regex.Pattern[str]] | None:
    if not text:
        return None
    try:
        return field, regex.compile(text)
    except regex.error as error:
        raise BadFilter(f"{field} {text!r} is not a regular expression: {error}") from None


def _matches(pattern: tuple[str, regex.Pattern[str]] | None, path: str, default: bool) -> bool:
    if pattern is None:
        return default
    try:
        return pattern[1].search(path, timeout=MATCH_SECONDS, concurrent=True) is not None
    except TimeoutError:
        raise BadFilter(
            f"{pattern[0]} {pattern[1].pattern!r} takes over {MATCH_SECONDS:.0f} s on the path '{path}'; "
            "avoid repetitions inside repetitions"
        ) from None


def _is_same(path: str, info: os.stat_result, before: Placed) -> bool:
    if info.st_size != before.size:
        return False
    return info.st_ctime_ns == before.changed_ns or etag_of(path) == before.etag


def etag_of(path: str) -> str:
    """Return the ETag of a file as a client that uploads in 8 MiB parts makes it."""
    parts: list[bytes] = []
    size = 0
    with open(path, "rb") as file:
        while part := file.read(PART_BYTES):
            parts.append(hashlib.md5(part, usedforsecurity=False).digest())
            size += len(part)
    if size < PART_BYTES:
        return parts[0].hex() if parts else hashlib.md5(b"", usedforsecurity=False).hexdigest()
    return f"{hashlib.md5(b''.join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"
