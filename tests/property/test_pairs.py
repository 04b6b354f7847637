"""Boxes around pairs of keys."""

from hypothesis import given
from hypothesis import strategies as st

from hearth.store.pairs import CELLS, boxes

pairs = st.sets(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=300)


@given(pairs)
def test_every_pair_is_in_a_box_and_no_box_is_large(keys: set[tuple[int, int]]):
    found = list(boxes(keys))
    for key in keys:
        assert sum(key[0] in firsts and key[1] in seconds for firsts, seconds in found) >= 1
    assert all(len(firsts) * len(seconds) <= CELLS for firsts, seconds in found)


def test_tasks_of_one_instance_are_one_question():
    assert list(boxes((task, 0) for task in range(400))) == [(list(range(400)), [0])]
    assert list(boxes([])) == []
