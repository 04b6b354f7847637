"""Dates as they travel: UTC, ISO 8601 with up to six digits of fraction, ending in Z."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

NEVER: Final = "0001-01-01T00:00:00Z"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DATE: Final = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})(?:[T ](?P<clock>\d{2}:\d{2}(?::\d{2})?)(?:\.(?P<fraction>\d{1,9}))?"
    r"\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?)?",
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)  # a page of tasks has hundreds, most of them the same
def format_date(microseconds: int | None) -> str:
    """Return a moment (microseconds since 1970 UTC) as it travels; None is "never"."""
    if microseconds is None:
        return NEVER
    seconds, fraction = divmod(microseconds, 1_000_000)
    days, rest = divmod(seconds, 86_400)
    text = f"{_day(days)}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{text}.{fraction:06}Z" if fraction else f"{text}Z"


@lru_cache(maxsize=512)
def _day(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).date().isoformat()


def parse_date(text: str) -> int:
    """Return the microseconds since 1970 of a date; without a zone it is UTC, without a clock it is midnight."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a date: write for example 2026-01-31T12:30:00Z")
    clock = match["clock"] or "00:00:00"
    if len(clock) == 5:
        clock += ":00"
    try:
        moment = datetime.fromisoformat(f"{match['day']}T{clock}").replace(tzinfo=_zone(match["zone"]))
        whole = (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a date that exists") from None
    return whole + int((match["fraction"] or "").ljust(6, "0")[:6])


def _zone(text: str | None) -> timezone:
    if not text or text in "Zz":
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))
