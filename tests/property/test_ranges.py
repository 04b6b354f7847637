"""Sets of ranges behave as sets of numbers."""

from hypothesis import given
from hypothesis import strategies as st

from hearth.domain.ranges import RangeSet
from tests.property import laws  # noqa: F401

SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), max_size=5)
NUMBERS = SPANS.map(lambda spans: {low + i for low, size in spans for i in range(size)}) | st.sets(
    st.integers(0, 10**17), max_size=6
)


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, set[int]]:
    """A text form as a person might write it, and the numbers that it means."""
    items, numbers = [], set()
    for low, more in draw(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=8)):
        blank = draw(st.sampled_from(["", " ", "  "]))
        items.append(f"{blank}{low}{blank}" if more == 0 else f"{blank}{low}{blank}-{blank}{low + more}{blank}")
        numbers |= set(range(low, low + more + 1))
    return ",".join(items), numbers


def is_canonical(ranges: RangeSet) -> bool:
    ends = [end for span in ranges.spans for end in span]
    apart = all(a[1] + 1 < b[0] for a, b in zip(ranges.spans, ranges.spans[1:], strict=False))
    return apart and ends == sorted(ends)


@given(NUMBERS)
def test_a_set_of_ranges_holds_what_it_was_made_of(numbers: set[int]):
    ranges = RangeSet.of(list(numbers) + list(numbers)[:3])
    assert list(ranges) == sorted(numbers)
    assert (len(ranges), bool(ranges)) == (len(numbers), bool(numbers))
    assert is_canonical(ranges)


@given(NUMBERS, NUMBERS)
def test_union_difference_and_intersection_are_those_of_sets(left: set[int], right: set[int]):
    a, b = RangeSet.of(left), RangeSet.of(right)
    for ranges, numbers in ((a | b, left | right), (a - b, left - right), (a & b, left & right)):
        assert ranges == RangeSet.of(numbers)
        assert is_canonical(ranges)


@given(NUMBERS, st.integers(-2, 45))
def test_membership_is_that_of_the_set(numbers: set[int], number: int):
    ranges = RangeSet.of(numbers)
    assert (number in ranges) is (number in numbers)
    assert all(each in ranges for each in numbers)


@given(NUMBERS, st.integers(-1, 30))
def test_the_first_are_the_smallest(numbers: set[int], size: int):
    assert list(RangeSet.of(numbers).first(size)) == sorted(numbers)[: max(0, size)]


@given(NUMBERS)
def test_what_is_written_is_read_back(numbers: set[int]):
    ranges = RangeSet.of(numbers)
    assert RangeSet.parse(str(ranges)) == ranges


@given(texts())
def test_a_text_means_its_numbers_however_it_is_written(text: tuple[str, set[int]]):
    ranges = RangeSet.parse(text[0])
    assert set(ranges) == text[1]
    assert is_canonical(ranges)
