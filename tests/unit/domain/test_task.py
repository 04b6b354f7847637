"""The states that users see, from counts."""

import pytest
from msgspec.structs import replace

from hearth.domain.ranges import RangeSet
from hearth.domain.task import Progress, TaskState, task_state


def progress(
    *,
    waiting: int = 0,
    dispatched: int = 0,
    running: int = 0,
    uploading: int = 0,
    cancelling: int = 0,
    succeeded: int = 0,
    failed: int = 0,
    cancelled: int = 0,
) -> Progress:
    """A progress with so many instances in each state, numbered in that order."""
    names, sets, at = (waiting, succeeded, failed, cancelled), [], 0
    for size in names:
        sets.append(RangeSet.of(range(at, at + size)))
        at += size
    return Progress(
        total=at + dispatched + running + uploading + cancelling,
        waiting=sets[0],
        succeeded=sets[1],
        failed=sets[2],
        cancelled=sets[3],
        dispatched=dispatched,
        running=running,
        uploading=uploading,
        cancelling=cancelling,
    )


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({"waiting": 3}, TaskState.SUBMITTED),
        ({"waiting": 2, "dispatched": 1}, TaskState.PARTIALLY_DISPATCHED),
        ({"dispatched": 3}, TaskState.FULLY_DISPATCHED),
        ({"dispatched": 2, "running": 1}, TaskState.PARTIALLY_EXECUTING),
        ({"waiting": 2, "running": 1}, TaskState.PARTIALLY_EXECUTING),
        ({"waiting": 2, "succeeded": 1}, TaskState.PARTIALLY_EXECUTING),
        ({"dispatched": 2, "failed": 1}, TaskState.PARTIALLY_EXECUTING),
        ({"waiting": 1, "uploading": 1}, TaskState.PARTIALLY_EXECUTING),
        ({"running": 3}, TaskState.FULLY_EXECUTING),
        ({"running": 1, "uploading": 1, "succeeded": 1}, TaskState.FULLY_EXECUTING),
        ({"uploading": 3}, TaskState.UPLOADING_RESULTS),
        ({"uploading": 1, "failed": 2}, TaskState.UPLOADING_RESULTS),
        ({"succeeded": 3}, TaskState.SUCCESS),
        ({"succeeded": 2, "failed": 1}, TaskState.FAILURE),
        ({"succeeded": 1, "failed": 1, "cancelled": 1}, TaskState.CANCELLED),
    ],
)
def test_the_counts_make_the_state(counts: dict[str, int], state: TaskState):
    assert task_state(progress(**counts), cancel_requested=False, delete_requested=False) is state


@pytest.mark.parametrize(
    ("counts", "cancel", "delete", "state"),
    [
        ({"running": 2}, True, False, TaskState.PENDING_CANCEL),
        ({"cancelling": 2}, True, True, TaskState.PENDING_DELETE),
        ({"running": 2}, False, True, TaskState.PENDING_DELETE),
        ({"cancelled": 2}, True, True, TaskState.CANCELLED),
        ({"succeeded": 2}, True, False, TaskState.SUCCESS),
        ({"succeeded": 1, "cancelled": 1}, True, False, TaskState.CANCELLED),
    ],
)
def test_a_wish_shows_until_the_end(counts: dict[str, int], cancel: bool, delete: bool, state: TaskState):
    assert task_state(progress(**counts), cancel_requested=cancel, delete_requested=delete) is state


def test_three_states_are_final():
    assert {state for state in TaskState if state.is_final} == {
        TaskState.SUCCESS,
        TaskState.FAILURE,
        TaskState.CANCELLED,
    }


@pytest.mark.parametrize(
    "broken",
    [
        {"total": 7},
        {"running": -1, "dispatched": 3},
        {"failed": RangeSet.of([2]), "total": 7},
        {"cancelled": RangeSet.of([0]), "total": 7},
    ],
)
def test_the_check_finds_parts_that_do_not_make_the_whole(broken: dict[str, object]):
    whole = progress(waiting=2, succeeded=2, dispatched=1, running=1)
    whole.check()
    with pytest.raises(AssertionError):
        replace(whole, **broken).check()
