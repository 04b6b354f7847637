"""As many instances as there is room for, and not one more."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from hearth.domain.quota import Limits, instances_left
from tests.property import laws  # noqa: F401

TENTHS = st.integers(0, 60)


@given(st.integers(0, 12), st.integers(0, 8), st.integers(0, 15), TENTHS, st.integers(1, 40))
def test_what_is_left_fits_and_one_more_does_not(
    max_instances: int, max_cores: int, live: int, live_tenths: int, each_tenths: int
):
    limits = Limits(max_instances=max_instances, max_cores=max_cores)
    left = instances_left(limits, live, live_tenths / 10, each_tenths / 10)

    def fits(more: int) -> bool:
        cores = Fraction(live_tenths + more * each_tenths, 10)
        return (not max_instances or live + more <= max_instances) and (not max_cores or cores <= max_cores)

    assert left >= 0
    assert left == 0 or fits(left)
    assert (not max_instances and not max_cores) or not fits(left + 1)
