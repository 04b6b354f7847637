"""A part of a snapshot is taken once, told until it is known, and never left hanging."""

from __future__ import annotations

from typing import Any

from hearth.agent.attempt import Attempt, Key, Phase, RunEnd, TakeSnapshot
from hearth.agent.snapshot_parts import AT_ONCE, ENDED_BEFORE, NOT_HERE, PROGRESS_SECONDS, SnapshotParts
from hearth.wire import agent as wire

KEY, SECOND = (1, 0, 1), (1, 1, 1)
FILE = wire.ResultFile("a", 7, 100, "etag")


def running(key: Key = KEY, **more: Any) -> Attempt:
    return Attempt(key, Phase.RUNNING, **({"started_at": 1} | more))


def an_order(snapshot: int = 5, key: Key = KEY) -> TakeSnapshot:
    return TakeSnapshot(snapshot, key, "white", "black")


def over(key: Key = KEY, error: str = "", snapshot: int = 5, **more: Any) -> wire.SnapshotPart:
    return wire.SnapshotPart(snapshot, *key, over=True, error=error, **more)


def test_a_part_that_is_told_again_is_taken_once():
    parts = SnapshotParts()
    assert parts.wanted(an_order(), running()) == [an_order()]
    assert parts.wanted(an_order(), running()) == []
    assert parts.over(5, KEY, [FILE], "") == []
    told = over(size_bytes=100, transferred_bytes=100, files=[FILE])
    assert parts.take(1.0, 0) == [told]
    assert parts.due() is None
    assert parts.wanted(an_order(), running()) == []
    parts.acknowledged([told], [KEY])
    assert parts.wanted(an_order(), running()) == []
    assert parts.take(2.0, 0) == []


def test_an_end_that_may_not_have_arrived_is_told_again():
    parts = SnapshotParts()
    parts.wanted(an_order(), running())
    parts.over(5, KEY, [], "the disk is full")
    [told] = parts.take(1.0, 0)
    parts.take_back([told])
    assert parts.due() == 0.0
    assert parts.take(2.0, 0) == [told] == [over(error="the disk is full")]


def test_progress_is_told_twice_a_second_and_as_it_is_now():
    parts = SnapshotParts()
    parts.wanted(an_order(), running())
    parts.progress(5, KEY, 100, 10)
    assert parts.take(10.0, 0) == [wire.SnapshotPart(5, *KEY, 100, 10)]
    parts.progress(5, KEY, 100, 20)
    parts.progress(5, KEY, 100, 30)
    assert parts.due() == 10.0 + PROGRESS_SECONDS
    assert parts.take(10.1, 0) == []
    assert parts.take(10.5, 0) == [wire.SnapshotPart(5, *KEY, 100, 30)]


def test_an_end_that_comes_while_progress_is_on_its_way_is_told():
    parts = SnapshotParts()
    parts.wanted(an_order(), running())
    parts.progress(5, KEY, 100, 10)
    under_way = parts.take(1.0, 0)
    parts.over(5, KEY, [FILE], "")
    parts.acknowledged(under_way, [KEY])
    assert parts.due() == 0.0
    assert parts.take(2.0, 0) == [over(size_bytes=100, transferred_bytes=100, files=[FILE])]


def test_a_node_takes_a_few_at_once_and_the_others_in_turn():
    parts = SnapshotParts()
    keys = [(1, number, 1) for number in range(AT_ONCE + 2)]
    begun = [parts.wanted(an_order(key=key), running(key)) for key in keys]
    assert begun == [[an_order(key=key)] for key in keys[:AT_ONCE]] + [[], []]
    assert parts.over(5, keys[0], [], "") == [an_order(key=keys[AT_ONCE])]


def test_several_snapshots_of_one_instance_are_parts_of_their_own():
    parts = SnapshotParts()
    assert parts.wanted(an_order(5), running()) == [an_order(5)]
    assert parts.wanted(an_order(6), running()) == [an_order(6)]


def test_a_run_that_ends_before_its_turn_ends_its_part():
    parts = SnapshotParts()
    for number in range(AT_ONCE + 1):
        parts.wanted(an_order(number, (1, number, 1)), running((1, number, 1)))
    last = (1, AT_ONCE, 1)
    parts.run_ended(last)
    assert parts.take(1.0, 0) == [over(last, ENDED_BEFORE, snapshot=AT_ONCE)]
    assert parts.over(0, (1, 0, 1), [], "") == []


def test_what_does_not_run_here_is_said_at_once():
    parts = SnapshotParts()
    for number, attempt in enumerate(
        [None, running(exit=RunEnd(9, 0)), Attempt(KEY, Phase.COLLECTING, started_at=1), Attempt(KEY, Phase.QUEUED)]
    ):
        assert parts.wanted(an_order(number), attempt) == []
    assert parts.take(1.0, 0) == [
        over(error=NOT_HERE, snapshot=0),
        over(error=ENDED_BEFORE, snapshot=1),
        over(error=ENDED_BEFORE, snapshot=2),
        over(snapshot=3),  # it has made nothing so far
    ]


def test_a_run_whose_owner_is_not_known_yet_is_asked_for_again():
    parts = SnapshotParts()
    assert parts.wanted(an_order(), running(confirmed=False)) == []
    assert parts.due() is None
    assert parts.wanted(an_order(), running()) == [an_order()]


def test_a_part_whose_attempt_is_gone_is_told_all_the_same_and_then_forgotten():
    parts = SnapshotParts()
    parts.wanted(an_order(), running())
    parts.forget(KEY)
    parts.over(5, KEY, [], "the instance ended before its snapshot was whole")
    [told] = parts.take(1.0, 0)
    parts.acknowledged([told], [])
    assert parts.wanted(an_order(), None) == []
    assert parts.take(2.0, 0) == [over(error=NOT_HERE)]


def test_another_database_hears_nothing_of_what_an_older_one_ordered():
    parts = SnapshotParts()
    parts.wanted(an_order(), running())
    parts.wanted(an_order(key=SECOND), None)
    parts.forget_all()
    parts.progress(5, KEY, 10, 10)
    assert parts.over(5, KEY, [FILE], "") == []
    assert parts.take(1.0, 0) == []
    assert parts.wanted(an_order(), running()) == [an_order()]
