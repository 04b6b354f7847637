"""Why instances wait: the code, its numbers and its sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hearth.domain.demand import Shape
from hearth.domain.hardware import Hardware, Machine
from hearth.domain.quota import Limits, Share
from hearth.scheduler.why import Code, Kind, Place, Reason, busy, reason

SECOND = 1_000_000
NOW = 1000 * SECOND
GIB = 1 << 30
SMALL = Machine(cores=2, memory_bytes=4 * GIB, specification_key="2c-4g", takes_images=False)
LARGE = Machine(cores=8, memory_bytes=8 * GIB, specification_key="8c-8g", cpu_model="Model T", gpus=1)
FREE = Share(Limits(), 0, 0.0)


def why(shape: Shape, *kinds: Kind, share: Share = FREE, last_heard: int | None = None) -> Reason:
    return reason(shape, kinds, share, is_running=False, now=NOW, last_heard=last_heard)


def heard(machine: Machine, count: int = 1) -> Kind:
    return Kind(machine, count, 0, NOW)


def silent(machine: Machine, seconds: int = 30) -> Kind:
    return Kind(machine, 0, 1, NOW - seconds * SECOND)


ONE = Shape(1, 0)


def test_without_any_node():
    assert why(ONE) == Reason(Code.NO_NODES, "there is no node: start one with `hearth agent`")
    found = why(ONE, last_heard=NOW - 90 * SECOND)
    assert (found.code, found.numbers) == (Code.NO_NODES, {"secondsSilent": 90})


def test_nodes_that_are_silent():
    found = why(ONE, silent(SMALL), silent(LARGE, 20))
    assert (found.code, found.numbers) == (Code.NODE_UNREACHABLE, {"nodes": 2, "secondsSilent": 20})
    found = why(Shape(8, 0), heard(SMALL), silent(LARGE))
    assert found.message == "one node that could run it cannot be reached: not heard of for 30 s"


@pytest.mark.parametrize(
    ("shape", "message", "numbers"),
    [
        (Shape(16, 0), "needs 16 cores, the largest node has 8", {"constraint": "CORES", "needed": 16, "best": 8}),
        (
            Shape(1, 32000 << 20),
            "needs 32000 MB of memory, the largest node has 8192",
            {"constraint": "MEMORY", "needed": 32000, "best": 8192},
        ),
        (
            Shape(1, 0, hardware=Hardware(specifications=("epyc",))),
            "wants the specification key 'epyc'; the nodes have '2c-4g', '8c-8g'",
            {"constraint": "SPECIFICATION", "needed": "epyc"},
        ),
        (
            Shape(1, 0, hardware=Hardware(cpu_models=("Ryzen",))),
            "wants the cpu model 'Ryzen'; the nodes have 'Model T'",
            {"constraint": "CPU_MODEL", "needed": "Ryzen"},
        ),
        (Shape(1, 0, hardware=Hardware(ssd=True)), "wants an SSD, and no node has one", {"constraint": "SSD"}),
        (
            Shape(1, 0, hardware=Hardware(maximum_cores=1), whole_machine=True),
            "wants a machine of 1 cores at most, the smallest has 2",
            {"constraint": "MAXIMUM_CORES", "needed": 1, "best": 2},
        ),
        (
            Shape(1, 0, hardware=Hardware(minimum_ratio=9), whole_machine=True),
            "wants 9 GB per core at least, the best machine has 2",
            {"constraint": "MINIMUM_RATIO", "needed": 9, "best": 2},
        ),
    ],
)
def test_what_no_node_has_is_told_with_the_best_there_is(shape: Shape, message: str, numbers: dict[str, object]):
    found = why(shape, heard(SMALL), heard(LARGE))
    assert (found.code, found.message, dict(found.numbers)) == (Code.NO_NODE_FITS, message, numbers)
    assert found.needs_help == message


def test_where_each_node_lacks_something_else_the_nearest_is_told():
    shape = Shape(4, 0, hardware=Hardware(gpu=False))
    found = why(shape, heard(SMALL), heard(LARGE))
    assert found.message == ("no node has all that it asks for; the nearest: needs 4 cores, the largest node has 2")
    assert found.numbers == {"constraint": "CORES"}


def test_an_image_needs_a_node_that_takes_images_where_there_are_some():
    named = Shape(1, 0, hardware=Hardware(specifications=("2c-4g",)), needs_image=True)
    found = why(named, heard(SMALL, 3), heard(LARGE))
    assert (found.code, found.numbers) == (Code.IMAGE_NEEDS_DOCKER, {"nodesWithoutImages": 3})
    assert why(named, heard(SMALL)).code is Code.NODES_BUSY, "where none takes images, all take all"


def test_quotas():
    full = replace(FREE, limits=Limits(max_instances=3), instances=3)
    assert why(ONE, heard(SMALL), share=full).numbers == {"limit": 3, "inUse": 3}
    cores = Share(Limits(max_cores=4), 2, 3.0)
    found = why(Shape(2, 0), heard(SMALL), share=cores)
    assert (found.code, found.numbers, found.needs_help) == (
        Code.QUOTA_CORES,
        {"limit": 4, "inUse": 3.0, "needed": 2},
        "",
    )
    never = why(Shape(8, 0), heard(LARGE), share=cores)
    assert never.needs_help == "it needs 8 cores, more than the 4 that the account may ever have"
    tasks = Share(Limits(max_running_tasks=2), 2, 2.0, running_tasks=2)
    assert why(ONE, heard(SMALL), share=tasks).code is Code.QUOTA_TASKS
    own = reason(ONE, [heard(SMALL)], tasks, is_running=True, now=NOW, last_heard=None)
    assert own.code is Code.NODES_BUSY


def test_what_does_not_fit_is_told_before_quotas():
    full = replace(FREE, limits=Limits(max_instances=3), instances=3)
    assert why(Shape(99, 0), heard(LARGE), share=full).code is Code.NO_NODE_FITS


def test_busy_nodes_are_those_that_could_run_it():
    assert why(Shape(4, 0), heard(SMALL, 5), heard(LARGE, 2)) == Reason(
        Code.NODES_BUSY, "2 nodes could run it, and other instances have all the room", {"nodes": 2}
    )
    assert busy(1, Place(10, is_all=False)).message.endswith("at least 10 tasks ahead in the queue")
    assert busy(1, Place(1, is_all=True)).numbers == {"nodes": 1, "place": 2, "tasksAhead": 1}


def test_no_sentence_for_the_operator_changes_while_time_passes():
    assert why(ONE, silent(SMALL, 20)).needs_help == why(ONE, silent(SMALL, 21)).needs_help == why(ONE).needs_help
