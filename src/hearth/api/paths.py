"""Paths as clients write them, brought to the one form that is routed.

`//tasks`, `/v1/tasks`, `/V1.0/Tasks/` are all `/tasks`. Only fixed words are folded: ids, names of profiles
and keys of secrets keep their case.
"""

from __future__ import annotations

from typing import Final

_VERSIONS: Final = frozenset({"v1", "v1.0"})
_COLLECTIONS: Final = frozenset({"tasks", "pools", "jobs"})
_SINGLE_WORDS: Final = frozenset({"settings", "info", "status", "versions", "profiles", "openapi.json"})

# Second words of collections that are routes; no shortname may be one of them.
RESERVED_WORDS: Final = frozenset({"summaries", "paginate", "search", "force"})


def fold_path(path: str) -> str:
    """Return the path that is routed."""
    segments = [segment for segment in path.split("/") if segment]
    if segments and segments[0].lower() in _VERSIONS:
        del segments[0]
    if not segments:
        return "/"
    root = segments[0].lower()
    if root in _SINGLE_WORDS:
        segments[0] = root
    elif root in ("quotas", "hardware-constraints"):
        segments = [segment.lower() for segment in segments]
    elif root == "carbon":
        places = {0, 1, 2, 4}  # not the id
        segments = [part.lower() if place in places else part for place, part in enumerate(segments)]
    elif root in _COLLECTIONS:
        segments[0] = root
        if len(segments) > 1 and segments[1].lower() in RESERVED_WORDS:
            segments[1] = segments[1].lower()
        if len(segments) > 2:
            segments[2] = segments[2].lower()
        if len(segments) > 3 and segments[3].lower() == "periodic":
            segments[3] = "periodic"
    return "/" + "/".join(segments)
