"""Time spans as they travel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth_client.timespan import (
    format_timespan,
    parse_timespan,
)

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("00:00:00", 0),
        ("00:00:01", SECOND),
        ("01:02:03", 3723 * SECOND),
        ("1.00:00:00", 86_400 * SECOND),
        ("0.10:00:00", 36_000 * SECOND),
        ("123.04:05:06.5", (123 * 86_400 + 14_706) * SECOND + 500_000),
        ("30:00:00", 108_000 * SECOND),
        ("00:00:00.0000019", 1),
        ("00:00:00.5000000", 500_000),
        (" 00:01:00 ", 60 * SECOND),
    ],
)
def test_a_span_is_read_to_the_microsecond(text, microseconds):
    assert parse_timespan(text) == microseconds


@pytest.mark.parametrize(
    "text",
    ["", "1", "10:00", "00:60:00", "00:00:60", "-01:00:00", "1:2:3:4", "00:00:00.", "00:00:00.12345678", "a:b:c"],
)
def test_what_is_no_span_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match=r"is not a time span: write \[d\.\]hh:mm:ss"):
        parse_timespan(text)


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "00:00:00"),
        (1, "00:00:00.0000010"),
        (90_061 * SECOND, "1.01:01:01"),
        (86_399 * SECOND + 999_999, "23:59:59.9999990"),
    ],
)
def test_a_span_is_written_in_its_shortest_form(microseconds, text):
    assert format_timespan(microseconds) == text


def test_a_negative_span_is_refused():
    with pytest.raises(ValueError, match="cannot be negative"):
        format_timespan(-1)


@given(st.integers(min_value=0, max_value=10_000 * 86_400 * SECOND))
def test_what_is_written_is_read_again(microseconds):
    assert parse_timespan(format_timespan(microseconds)) == microseconds
