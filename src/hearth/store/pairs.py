"""Rows by pairs of keys, such as (task, number), in questions that both databases answer by their index.

SQLite reads the whole table when it is asked for `(a, b) IN (...)`; for `a IN (...) AND b IN (...)` it seeks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

# How many seeks one question makes at most.
CELLS = 400


def boxes(keys: Iterable[tuple[int, int]]) -> Iterator[tuple[list[int], list[int]]]:
    """Cover pairs by boxes (firsts, seconds): every pair is in one, and what else is in it was not asked for."""
    firsts: set[int] = set()
    seconds: set[int] = set()
    for first, second in sorted(keys, key=lambda key: (key[1], key[0])):
        wide = len(firsts) + (first not in firsts)
        high = len(seconds) + (second not in seconds)
        if wide * high > CELLS:
            yield sorted(firsts), sorted(seconds)
            firsts, seconds = set(), set()
        firsts.add(first)
        seconds.add(second)
    if firsts:
        yield sorted(firsts), sorted(seconds)
