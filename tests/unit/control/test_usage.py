"""What a server remembers of measurements: the newest of each attempt, as long as its node holds it."""

from __future__ import annotations

import pytest

from hearth.control.usage import Usages
from hearth.domain.instance import Phase
from hearth.wire.agent import Usage

NODE, OTHER = 1, 2
KEY, SECOND = (1, 0, 1), (1, 1, 1)


def usage(key: tuple[int, int, int] = KEY, at: int = 1) -> Usage:
    return Usage(*key, phase=Phase.EXECUTION, at=at)


@pytest.fixture
def usages() -> Usages:
    return Usages()


def test_the_newest_is_kept(usages: Usages):
    usages.take(NODE, 1, [usage(at=1), usage(SECOND)], [], now=1)
    usages.take(NODE, 1, [usage(at=2)], [], now=2)
    assert usages.of(NODE, KEY) == usage(at=2)
    assert usages.of(NODE, SECOND) == usage(SECOND)
    assert usages.of(OTHER, KEY) is usages.of(None, KEY) is None


def test_it_goes_with_the_end(usages: Usages):
    usages.take(NODE, 1, [usage(), usage(SECOND)], [], now=1)
    usages.take(NODE, 1, [], [KEY], now=2)
    assert (usages.of(NODE, KEY), len(usages)) == (None, 1)
    usages.take(NODE, 1, [usage()], [KEY], now=3)  # the report that ends it carries one, too
    assert len(usages) == 1


def test_it_goes_when_the_node_does_not_hold_it_any_more(usages: Usages):
    usages.take(NODE, 1, [usage(), usage(SECOND)], [], now=1)
    assert usages.knows(NODE)
    usages.keep(NODE, {SECOND}, now=2)
    assert (usages.of(NODE, KEY), usages.of(NODE, SECOND)) == (None, usage(SECOND))
    usages.keep(NODE, set(), now=3)
    assert not usages.knows(NODE)
    usages.keep(OTHER, {KEY}, now=3)
    assert len(usages) == 0


def test_another_boot_of_the_node_begins_anew_and_an_old_one_says_nothing(usages: Usages):
    usages.take(NODE, 1, [usage()], [], now=1)
    usages.take(NODE, 2, [usage(SECOND)], [], now=2)
    usages.take(NODE, 1, [usage(at=9)], [SECOND], now=3)
    assert (usages.of(NODE, KEY), usages.of(NODE, SECOND)) == (None, usage(SECOND))


def test_it_goes_with_a_node_that_is_silent(usages: Usages):
    usages.take(NODE, 1, [usage()], [], now=10)
    usages.take(OTHER, 1, [usage(SECOND)], [], now=20)
    usages.forget_silent(15)
    assert (usages.of(NODE, KEY), usages.of(OTHER, SECOND)) == (None, usage(SECOND))


def test_a_node_that_measures_nothing_costs_nothing(usages: Usages):
    usages.take(NODE, 1, [], [KEY], now=1)
    assert not usages.knows(NODE)
