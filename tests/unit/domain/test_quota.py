"""What an account may have at once."""

import pytest

from hearth.domain.errors import QuotaExceeded
from hearth.domain.quota import Limits, instances_left, require_room_for_tasks


def test_the_last_task_that_fits_is_accepted():
    require_room_for_tasks(Limits(max_tasks=5), have=3, more=2)


def test_one_task_too_many_is_refused_in_the_words_that_clients_match_on():
    with pytest.raises(QuotaExceeded, match=r"Maximum number of tasks reached: 5 of 5; delete tasks that ended"):
        require_room_for_tasks(Limits(max_tasks=5), have=5, more=1)


def test_no_limit_is_no_limit():
    require_room_for_tasks(Limits(max_tasks=0), have=10**9, more=10**9)
    assert instances_left(Limits(max_instances=0, max_cores=0), 10**6, 1e6, 4.0) > 10**9


@pytest.mark.parametrize(
    ("live", "live_cores", "cores_each", "left"),
    [(0, 0.0, 1.0, 8), (7, 7.0, 1.0, 1), (8, 8.0, 1.0, 0), (9, 9.0, 1.0, 0), (1, 1.0, 4.0, 2), (0, 9.5, 1.0, 0)],
)
def test_the_stricter_of_instances_and_cores_counts(live: int, live_cores: float, cores_each: float, left: int):
    assert instances_left(Limits(max_instances=8, max_cores=10), live, live_cores, cores_each) == left


def test_tenths_of_cores_add_up():
    assert instances_left(Limits(max_cores=1), 0, 0.1 + 0.1 + 0.1, 0.1) == 7
