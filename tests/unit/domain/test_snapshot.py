"""When snapshots are due, where their files go, and how far they are."""

import pytest

from hearth.domain.errors import Invalid
from hearth.domain.snapshot import (
    Filter,
    SnapshotState,
    Tally,
    Wish,
    filter_of,
    interval,
    name,
    next_due,
    placed,
)
from hearth.domain.spec import TaskSpec

SECOND = 1_000_000


def test_a_snapshot_without_parts_is_a_success_at_once():
    assert Tally(0).state is SnapshotState.SUCCESS


def test_a_snapshot_is_triggered_until_a_node_tells_of_it():
    tally = Tally(2)
    assert tally.state is SnapshotState.TRIGGERED
    assert tally.told(more_size=0, more_transferred=0).state is SnapshotState.IN_PROGRESS


def test_a_snapshot_is_over_with_its_last_part():
    tally = Tally(2).told(more_size=10, more_transferred=4).closed(failed=False, files=3)
    assert tally.state is SnapshotState.IN_PROGRESS
    tally = tally.told(more_size=5, more_transferred=11).closed(failed=False, files=1)
    assert tally == Tally(0, 0, files=4, size_bytes=15, transferred_bytes=15, is_heard_of=True)
    assert tally.state is SnapshotState.SUCCESS


def test_one_failed_part_makes_a_failure_when_all_are_over():
    tally = Tally(2).closed(failed=True, files=0)
    assert tally.state is SnapshotState.IN_PROGRESS
    assert tally.closed(failed=False, files=1).state is SnapshotState.FAILURE


def test_a_part_too_many_is_a_mistake_of_the_program():
    with pytest.raises(AssertionError):
        Tally(0).closed(failed=False, files=0)


@pytest.mark.parametrize(("asked", "taken"), [(0, 0), (1, 5), (5, 5), (6, 6), ((1 << 31) - 1, (1 << 31) - 1)])
def test_an_interval_is_none_the_shortest_or_what_was_asked(asked: int, taken: int):
    assert interval(asked, 5) == taken


@pytest.mark.parametrize("asked", [-1, 1 << 31])
def test_an_interval_that_cannot_be_is_refused(asked: int):
    with pytest.raises(Invalid) as refusal:
        interval(asked, 5)
    assert refusal.value.field == "interval"


@pytest.mark.parametrize(
    ("now", "due"), [(0, 130), (100, 130), (129, 130), (130, 160), (131, 160), (1000, 1030), (1010, 1030)]
)
def test_periods_count_from_the_submission(now: int, due: int):
    assert next_due(100 * SECOND, 30, now * SECOND) == due * SECOND


def test_what_a_call_does_not_say_is_as_the_task_has_it():
    own = Filter("a", "b", "c", "d")
    assert Wish().over(own) == own
    assert Wish(whitelist="x", prefix="").over(own) == Filter("x", "b", "c", "")
    assert Wish("", "", "", "").over(own) == Filter()


def test_a_submission_says_the_filter():
    spec = TaskSpec(snapshot_whitelist="w", snapshot_blacklist="b", snapshot_bucket="s", snapshot_prefix="p/")
    assert filter_of(spec) == Filter("w", "b", "s", "p/")


def test_snapshots_go_to_their_bucket_else_where_results_go():
    spec = TaskSpec(result_bucket="out", results_prefix="run/")
    assert placed(Filter(bucket="own"), spec) == Filter(bucket="own")
    assert placed(Filter("w"), spec) == Filter("w", bucket="out", prefix="run/")
    assert placed(Filter(prefix="snap/"), spec) == Filter(bucket="out", prefix="snap/")


def test_a_snapshot_without_any_bucket_is_refused():
    with pytest.raises(Invalid, match="neither a snapshotBucket nor a resultBucket"):
        placed(Filter("w"), TaskSpec())


def test_a_name_tells_task_second_and_which_of_that_second():
    assert name("uuid", "20260501120000") == "snap_uuid_20260501120000"
    assert name("uuid", "20260501120000", "0f0f") == "snap_uuid_20260501120000_0f0f"
