"""What a node would take now."""

import pytest

from hearth.domain.demand import Shape
from hearth.domain.hardware import Hardware, Machine
from hearth.scheduler.fit import NodeRoom, fits_now

GIB = 1 << 30
SMALL = Machine(cores=2, memory_bytes=GIB)


@pytest.mark.parametrize(
    ("room", "cores", "memory", "times"),
    [
        (NodeRoom(1, 4, GIB), 1, 0, 4),
        (NodeRoom(1, 0.3, GIB), 0.1, 0, 3),
        (NodeRoom(1, 4, GIB), 1, GIB // 2, 2),
        (NodeRoom(1, 4, -GIB), 1, GIB, 0),
        (NodeRoom(1, 0, 0), 1, 0, 0),
        (NodeRoom(1, 0, 0, ahead=5), 1, GIB, 5),
        (NodeRoom(1, 1, GIB, ahead=5, machine=SMALL), 2, GIB, 5),
    ],
)
def test_as_many_fit_as_have_cores_and_memory_and_some_are_queued_ahead(room, cores, memory, times):
    assert fits_now(room, Shape(cores, memory)) == times


@pytest.mark.parametrize(("cores", "memory"), [(3, 0), (1, GIB + 1)])
def test_nothing_larger_than_the_whole_node_is_queued_ahead(cores: float, memory: int):
    assert fits_now(NodeRoom(1, 0, 0, ahead=5, machine=SMALL), Shape(cores, memory)) == 0


def test_what_was_given_takes_cores_first_and_then_the_queue():
    assert NodeRoom(1, 2, GIB, ahead=3).without(4, 1, GIB // 4) == NodeRoom(1, 0, GIB // 2, ahead=1)


def test_what_finds_no_memory_is_queued_however_many_cores_are_free():
    assert NodeRoom(1, 4, GIB, ahead=3).without(3, 1, GIB) == NodeRoom(1, 3, 0, ahead=1)


def test_what_the_machine_does_not_have_does_not_fit():
    room = NodeRoom(1, 2, GIB, machine=SMALL)
    assert fits_now(room, Shape(1, 0, hardware=Hardware(gpu=False, specifications=("",)))) == 2
    assert fits_now(room, Shape(1, 0, hardware=Hardware(gpu=True))) == 0


def test_a_task_that_names_an_image_is_for_nodes_that_take_images():
    named = Shape(1, 0, needs_image=True)
    assert (fits_now(NodeRoom(1, 2, GIB), named), fits_now(NodeRoom(1, 2, GIB, takes_images=False), named)) == (2, 0)
