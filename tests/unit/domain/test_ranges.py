"""Sets of instance numbers: the text form, and its refusals."""

import pytest

from hearth.domain.errors import Invalid
from hearth.domain.ranges import RangeSet


def test_the_text_form_is_read_and_written():
    numbers = RangeSet.parse(" 20-30 , 1-6,15 ")
    assert str(numbers) == "1-6,15,20-30"
    assert len(numbers) == 18


@pytest.mark.parametrize(
    ("text", "form"), [("", ""), ("  ", ""), ("7", "7"), ("3-3", "3"), ("1-3,4,2", "1-4"), ("5-9,1-6", "1-9")]
)
def test_what_touches_or_overlaps_is_one_range(text: str, form: str):
    assert str(RangeSet.parse(text)) == form


@pytest.mark.parametrize("text", ["a", "1-", "-1", "1,,2", "1--2", "1-2-3", "1 2", "1.5", "0x1", "9" * 19, ","])
def test_what_is_no_range_is_refused_with_an_example(text: str):
    with pytest.raises(Invalid, match=r"advancedRanges: '.*' is not a number or a range; write for example 1-6,15"):
        RangeSet.parse(text)


def test_a_range_that_ends_before_it_begins_is_refused_with_the_right_one():
    with pytest.raises(Invalid, match=r"numbers: '9-4' ends before it begins; write 4-9"):
        RangeSet.parse("1,9-4", field="numbers")


def test_a_million_numbers_are_one_pair():
    assert RangeSet.count(1_000_000).spans == ((0, 999_999),)


@pytest.mark.parametrize("size", [0, -1])
def test_no_numbers_are_the_empty_set(size: int):
    assert RangeSet.count(size) == RangeSet()
    assert not RangeSet.count(size)


@pytest.mark.parametrize("number", [-1, 0, 4, 7, 10**17])
def test_what_is_outside_is_not_in_it(number: int):
    assert number not in RangeSet.parse("1-3,5-6,8")


def test_the_largest_number_is_in_it():
    assert 10**18 - 1 in RangeSet.parse("999999999999999999")
