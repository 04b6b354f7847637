"""Dates and time spans between Python and the wire."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import overload

from hearth_client.timespan import parse_timespan

_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?Z?")


@overload
def read_date(text: str) -> datetime: ...
@overload
def read_date(text: None) -> None: ...
def read_date(text: str | None) -> datetime | None:
    """Return a date of the wire as a UTC datetime without a zone, as the documentation's samples use it."""
    if text is None:
        return None
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a date: it should look like 2026-01-31T23:59:59Z")
    # Finer digits than microseconds, as some servers send, are left out.
    moment = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    return moment.replace(microsecond=int((match[2] or "0").ljust(6, "0")[:6]), tzinfo=None)


def span_text(value: str | timedelta, field: str) -> str:
    """Return a time span for the wire, from a `timedelta` or from text that is already one."""
    if isinstance(value, timedelta):
        hours, rest = divmod(value.seconds, 3600)
        minutes, seconds = divmod(rest, 60)
        if value < timedelta(0):
            raise ValueError(f"{field} cannot be negative: {value}")
        return f"{value.days}.{hours:02}:{minutes:02}:{seconds:02}"
    try:
        parse_timespan(value)
    except (ValueError, AttributeError, TypeError):
        raise ValueError(
            f"{field} should be a timedelta or text like 'd.hh:mm:ss' or 'hh:mm:ss', not {value!r}"
        ) from None
    return value
