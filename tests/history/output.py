"""Output that was shown is never taken back (law 8)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.history.record import Exchange

_OUTPUT = re.compile(r"^/tasks/([^/]+)/(stdout|stderr)(?:/(\d+))?$")
Stream = tuple[str, str, str]  # task, stream, instance or ""


def output_stays(exchanges: Sequence[Exchange]) -> Iterator[str]:
    """Yield what contradicts it; a stream that was rotated is told by a header, and left alone from then on."""
    whole: dict[Stream, list[Exchange]] = {}
    fresh: dict[Stream, list[Exchange]] = {}
    rotated: set[Stream] = set()
    for exchange in sorted(exchanges, key=lambda each: each.sent):
        found = _OUTPUT.match(exchange.path)
        if found is None or exchange.query:
            continue
        stream = (found[1], found[2], found[3] or "")
        if any("dropped" in name and value != "0" for name, value in exchange.headers.items()):
            rotated.add(stream)
        if exchange.method == "POST":
            fresh.setdefault(stream, []).append(exchange)
        elif exchange.went_well:
            whole.setdefault(stream, []).append(exchange)
    for stream, reads in whole.items():
        if stream not in rotated:
            yield from _grows(stream, reads)
            yield from _joins(stream, fresh.get(stream, []), reads[-1])


def _grows(stream: Stream, reads: Sequence[Exchange]) -> Iterator[str]:
    for before, after in pairwise(reads):
        if before.heard is not None and after.sent >= before.heard and not after.told.startswith(before.told):
            yield f"{stream}: {_end(before.told)!r} was shown, and later {_end(after.told)!r}"


def _joins(stream: Stream, reads: Sequence[Exchange], last: Exchange) -> Iterator[str]:
    """Fresh answers follow one another in the whole; where an answer was lost, there may be a gap."""
    place, gap = 0, False
    for read in reads:
        if not read.went_well:
            gap = True
            continue
        if read.told and (read.heard is None or read.heard > last.sent):
            return  # the whole is older than this
        found = last.told.find(read.told, place) if gap else (place if last.told.startswith(read.told, place) else -1)
        if found < 0:
            yield f"{stream}: {_end(read.told)!r} was read as fresh, and is not in the whole from {place} on"
            return
        place = found + len(read.told)
        gap = gap and not read.told
    if not gap and place < len(last.told) and _is_read_out(reads, last):
        yield f"{stream}: fresh answers end after {place} of {len(last.told)} characters"


def _is_read_out(reads: Sequence[Exchange], last: Exchange) -> bool:
    """Whether the newest fresh answer was empty, and came after a whole read that had more."""
    return bool(reads) and reads[-1].went_well and reads[-1].told == "" and reads[-1].sent >= (last.heard or last.sent)


def _end(text: str) -> str:
    return text if len(text) < 80 else f"...{text[-80:]}"
