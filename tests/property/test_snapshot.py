"""A snapshot is what its parts are, in whatever order nodes tell of them."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from hearth.domain.snapshot import SECOND, SnapshotState, Tally, next_due
from tests.property import laws  # noqa: F401


@dataclass
class Share:
    """One instance's share, told in so many steps."""

    steps: list[tuple[int, int]]  # size, transferred
    error: bool
    files: int
    told: tuple[int, int] = (0, 0)
    is_over: bool = False


SHARES = st.lists(
    st.builds(
        Share,
        steps=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=3),
        error=st.booleans(),
        files=st.integers(0, 3),
    ),
    max_size=5,
)


def believed(shares: list[Share]) -> SnapshotState:
    """What the state of these shares is, in plain words."""
    if all(share.is_over for share in shares):
        return SnapshotState.FAILURE if any(share.error for share in shares) else SnapshotState.SUCCESS
    heard = any(share.is_over for share in shares) or any(share.told != (0, 0) for share in shares)
    return SnapshotState.IN_PROGRESS if heard else SnapshotState.TRIGGERED


@given(SHARES, st.randoms(use_true_random=False))
def test_a_snapshot_is_what_its_parts_are(shares: list[Share], chance: object):
    tally = Tally(len(shares))
    heard = False
    assert tally.state is believed(shares)
    while waiting := [share for share in shares if not share.is_over]:
        share = chance.choice(waiting)  # type: ignore[attr-defined]
        heard = True
        if share.steps:
            step = share.steps.pop(0)
            tally = tally.told(more_size=step[0] - share.told[0], more_transferred=step[1] - share.told[1])
            share.told = step
        else:
            share.is_over = True
            share.files = 0 if share.error else share.files
            tally = tally.closed(failed=share.error, files=share.files)
        assert tally == Tally(
            open_parts=sum(not share.is_over for share in shares),
            failed_parts=sum(share.is_over and share.error for share in shares),
            files=sum(share.files for share in shares if share.is_over),
            size_bytes=sum(share.told[0] for share in shares),
            transferred_bytes=sum(share.told[1] for share in shares),
            is_heard_of=heard,
        )
        expected = believed(shares)
        assert tally.state is (SnapshotState.IN_PROGRESS if expected is SnapshotState.TRIGGERED else expected)
        assert tally.state.is_over == all(share.is_over for share in shares)


@given(st.integers(0, 10**15), st.integers(1, 10**6), st.integers(0, 10**15))
def test_the_next_one_is_a_whole_number_of_intervals_after_the_submission_and_the_first_to_come(
    submitted: int, seconds: int, now: int
):
    due = next_due(submitted, seconds, now)
    step = seconds * SECOND
    assert due > now
    assert due > submitted
    assert (due - submitted) % step == 0
    assert due - step <= max(now, submitted)
