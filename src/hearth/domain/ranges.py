"""Sets of instance numbers, kept as ranges: a million numbers are one pair.

Text form (contract: `advancedRanges`): "1-6,15,20-30", blanks allowed around items, bounds inclusive,
the empty set is "".
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

import msgspec

from hearth.domain.errors import Invalid

_ITEM = re.compile(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*)?\Z")


class RangeSet(msgspec.Struct, frozen=True):
    """A set of non-negative integers; `spans` are inclusive, sorted, apart from each other."""

    spans: tuple[tuple[int, int], ...] = ()

    @staticmethod
    def of(numbers: Iterable[int]) -> RangeSet:
        """Return the set of these numbers, in any order, doubled or not."""
        spans = sorted([(n, n) for n in numbers])
        return RangeSet(tuple(_merged(spans)) if len(spans) > 1 else tuple(spans))

    @staticmethod
    def count(size: int) -> RangeSet:
        """Return 0, 1, ..., size - 1."""
        return RangeSet(((0, size - 1),)) if size > 0 else RangeSet()

    @staticmethod
    def parse(text: str, field: str = "advancedRanges") -> RangeSet:
        """Read the text form; raise `Invalid` naming `field` when it is something else."""
        if text.isdecimal() and text.isascii() and len(text) <= 18:
            return RangeSet(((int(text), int(text)),))
        if not text.strip():
            return EMPTY
        spans = []
        for item in text.split(","):
            match = _ITEM.match(item)
            if match is None:
                raise Invalid(field, f"'{item.strip()}' is not a number or a range; write for example 1-6,15,20-30")
            low = int(match[1])
            high = low if match[2] is None else int(match[2])
            if high < low:
                raise Invalid(field, f"'{item.strip()}' ends before it begins; write {high}-{low}")
            spans.append((low, high))
        spans.sort()
        return RangeSet(tuple(_merged(spans)))

    def __str__(self) -> str:
        return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in self.spans)

    def __len__(self) -> int:
        if len(self.spans) == 1:
            [(low, high)] = self.spans
            return high - low + 1
        return sum(high - low + 1 for low, high in self.spans)

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __iter__(self) -> Iterator[int]:
        for low, high in self.spans:
            yield from range(low, high + 1)

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self.spans, (number, number if number < 0 else 1 << 62)) - 1
        return index >= 0 and self.spans[index][0] <= number <= self.spans[index][1]

    def __or__(self, other: RangeSet) -> RangeSet:
        if not other.spans:
            return self
        if not self.spans:
            return other
        return RangeSet(tuple(_merged(sorted(self.spans + other.spans))))

    def __sub__(self, other: RangeSet) -> RangeSet:
        if not other.spans or not self.spans:
            return self
        if self.spans == other.spans:
            return EMPTY
        left: list[tuple[int, int]] = []
        holes = other.spans
        at = 0
        for low, high in self.spans:
            while at < len(holes) and holes[at][1] < low:
                at += 1
            begin, hole = low, at
            while hole < len(holes) and holes[hole][0] <= high:
                if holes[hole][0] > begin:
                    left.append((begin, holes[hole][0] - 1))
                begin = max(begin, holes[hole][1] + 1)
                hole += 1
            if begin <= high:
                left.append((begin, high))
        return RangeSet(tuple(left))

    def __and__(self, other: RangeSet) -> RangeSet:
        return self - (self - other)

    def first(self, size: int) -> RangeSet:
        """Return the `size` smallest numbers of the set."""
        taken: list[tuple[int, int]] = []
        for low, high in self.spans:
            if size <= 0:
                break
            high = min(high, low + size - 1)
            taken.append((low, high))
            size -= high - low + 1
        return RangeSet(tuple(taken))


EMPTY = RangeSet()


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join sorted spans that overlap or touch."""
    result: list[tuple[int, int]] = []
    for low, high in spans:
        if result and low <= result[-1][1] + 1:
            if high > result[-1][1]:
                result[-1] = (result[-1][0], high)
        else:
            result.append((low, high))
    return result
