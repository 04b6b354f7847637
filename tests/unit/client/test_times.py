"""Dates as they travel."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth_client.messages.times import NEVER, format_date, parse_date

FIRST, LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
CENTURY = 100 * 365 * 86_400_000_000
MOMENTS = st.integers(FIRST, LAST) | st.integers(FIRST, FIRST + CENTURY)


@given(MOMENTS)
def test_a_moment_comes_back_as_it_was(moment: int) -> None:
    assert parse_date(format_date(moment)) == moment


@given(MOMENTS)
def test_dates_have_the_form_that_old_clients_parse(moment: int) -> None:
    text = format_date(moment)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", text)
    assert datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ" if "." in text else "%Y-%m-%dT%H:%M:%SZ")  # noqa: DTZ007


def test_never_is_the_first_moment_of_the_calendar() -> None:
    assert format_date(None) == NEVER
    assert format_date(parse_date(NEVER)) == NEVER


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-01T12:00:00Z",
        "2026-05-01T12:00:00.000Z",
        "2026-05-01T12:00:00.0000000Z",
        "2026-05-01t12:00:00z",
        "2026-05-01 12:00",
        "2026-05-01T12:00:00",
        "2026-05-01T14:00:00+02:00",
        "2026-05-01T10:30:00-0130",
    ],
)
def test_one_moment_has_many_spellings(text: str) -> None:
    assert parse_date(text) == 1_777_636_800_000_000


@pytest.mark.parametrize("text", ["", "now", "2026-13-01", "2026-02-30T00:00:00Z", "12:00:00", "2026-05-01T25:00:00Z"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a date"):
        parse_date(text)
