"""How the chunks of many instances make one stream that never takes anything back.

Each line of the merged stream begins with "<instance>> " (contract: section 4). A chunk's bytes in the merged
view depend on the chunk and on its `Lead` alone; the lead is decided once, when the chunk is accepted, from
whose line is open at the end of the stream.
"""

from __future__ import annotations

from enum import IntEnum


class Lead(IntEnum):
    """How the first line of a chunk begins in the merged view; the numbers are stored."""

    PREFIX = 0  # the stream is at the start of a line
    CONTINUE = 1  # the open line is this attempt's own
    BREAK = 2  # somebody else's line is open: end it first


def lead_of(tail: tuple[int, int] | None, number: int, attempt: int) -> Lead:
    """Decide the lead of a chunk of (number, attempt) when `tail` names whose line is open."""
    if tail is None:
        return Lead.PREFIX
    return Lead.CONTINUE if tail == (number, attempt) else Lead.BREAK


def merged(data: bytes, number: int, lead: Lead) -> bytes:
    """Return the chunk as the merged stream shows it."""
    if not data:
        return b""
    prefix = b"%d> " % number
    ends_open = not data.endswith(b"\n")
    body = data if ends_open else data[:-1]
    text = body.replace(b"\n", b"\n" + prefix)
    if lead is not Lead.CONTINUE:
        text = prefix + text
    if lead is Lead.BREAK:
        text = b"\n" + text
    return text if ends_open else text + b"\n"


def leaves_open(data: bytes) -> bool:
    """Answer whether a line is open after this chunk."""
    return bool(data) and not data.endswith(b"\n")


def cut(data: bytes, *, limit: int, flush: bool) -> int:
    """Return how many of these bytes to send now: whole lines; all that is there when `flush` or past `limit`.

    A cut never falls inside a UTF-8 character, unless the bytes are not UTF-8 at all or it is the end.
    """
    window = data[:limit]
    end = window.rfind(b"\n") + 1
    if end and (not flush or len(data) > limit):
        return end
    if not flush and len(data) < limit:
        return end
    return _whole_characters(window)


def _whole_characters(data: bytes) -> int:
    """Return the length without a character that is cut off at the end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        needed = 1 if byte < 0x80 else 2 if byte >> 5 == 6 else 3 if byte >> 4 == 14 else 4 if byte >> 3 == 30 else 1
        return len(data) - back if needed > back else len(data)
    return len(data)
