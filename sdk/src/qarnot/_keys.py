"""Object keys, and the local paths that stand for them."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path, PurePosixPath

from qarnot.helper import Log

_REPEATED = re.compile(r"([/\\])[/\\]+")


def stderr_logger() -> logging.Logger:
    """Return the logger of warnings, for objects that know no connection."""
    return Log.get_logger_for_stream(sys.stderr, "qarnot.stderr")


def clean_key(key: str, *, warn: logging.Logger | None = None) -> str:
    """Return a key without leading and without doubled slashes; `warn` hears of what was changed."""
    cleaned = _REPEATED.sub(r"\1", key).lstrip("/\\")
    if warn is not None and cleaned != key:
        warn.warning("the bucket path %r is used as %r: leading and doubled slashes are removed", key, cleaned)
    return cleaned


def local_path(directory: Path, key: str) -> Path:
    """Return where below `directory` an object is kept; a key that would leave it is refused."""
    parts = PurePosixPath(key.replace("\\", "/").lstrip("/")).parts
    if ".." in parts or not parts:
        raise ValueError(f"the object {key!r} would be written outside of {str(directory)!r}")
    return directory.joinpath(*parts)
