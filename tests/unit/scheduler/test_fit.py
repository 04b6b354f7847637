"""What a node would take now."""

import pytest

from hearth.scheduler.fit import NodeRoom, fits_now

GIB = 1 << 30


@pytest.mark.parametrize(
    ("room", "cores", "memory", "times"),
    [
        (NodeRoom(1, 4, GIB), 1, 0, 4),
        (NodeRoom(1, 0.3, GIB), 0.1, 0, 3),
        (NodeRoom(1, 4, GIB), 1, GIB // 2, 2),
        (NodeRoom(1, 4, -GIB), 1, GIB, 0),
        (NodeRoom(1, 0, 0), 1, 0, 0),
        (NodeRoom(1, 0, 0, ahead=5), 1, GIB, 5),
        (NodeRoom(1, 1, GIB, ahead=5, most_cores=2, most_memory=GIB), 2, GIB, 5),
    ],
)
def test_as_many_fit_as_have_cores_and_memory_and_some_are_queued_ahead(room, cores, memory, times):
    assert fits_now(room, cores, memory) == times


@pytest.mark.parametrize(("cores", "memory"), [(3, 0), (1, GIB + 1)])
def test_nothing_larger_than_the_whole_node_is_queued_ahead(cores: float, memory: int):
    assert fits_now(NodeRoom(1, 0, 0, ahead=5, most_cores=2, most_memory=GIB), cores, memory) == 0


def test_what_was_given_takes_cores_first_and_then_the_queue():
    assert NodeRoom(1, 2, GIB, ahead=3).without(4, 1, GIB // 4) == NodeRoom(1, 0, GIB // 2, ahead=1)
