"""Time spans as they travel: `[d.]hh:mm:ss[.fffffff]`, up to seven digits of fraction."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_SPAN = re.compile(
    r"(?:(?P<days>[0-9]+)\.)?(?P<hours>[0-9]+):(?P<minutes>[0-9]{1,2}):(?P<seconds>[0-9]{1,2})"
    r"(?:\.(?P<fraction>[0-9]{1,7}))?",
)


def parse_timespan(text: str) -> int:
    """Return the microseconds of a span; hours may exceed 23 (`30:00:00` is a day and six hours)."""
    match = _SPAN.fullmatch(text.strip())
    if match is None or int(match["minutes"]) > 59 or int(match["seconds"]) > 59:
        raise ValueError(f"{text!r} is not a time span: write [d.]hh:mm:ss[.fffffff], for example 1.06:30:00")
    # A seventh digit counts tenths of a microsecond, finer than anything here is measured.
    fraction = (match["fraction"] or "").ljust(6, "0")[:6]
    return (
        int(match["days"] or 0) * DAY
        + int(match["hours"]) * HOUR
        + int(match["minutes"]) * MINUTE
        + int(match["seconds"]) * SECOND
        + int(fraction)
    )


@lru_cache(maxsize=4096)  # a page of tasks has hundreds, most of them the same
def format_timespan(microseconds: int) -> str:
    """Return the span in its shortest form: days and the fraction only where there are any."""
    if microseconds < 0:
        raise ValueError(f"a time span cannot be negative: {microseconds} microseconds")
    days, rest = divmod(microseconds, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    seconds, fraction = divmod(rest, SECOND)
    text = f"{hours:02}:{minutes:02}:{seconds:02}"
    if days:
        text = f"{days}.{text}"
    return f"{text}.{fraction:06}0" if fraction else text
