"""Who runs where: never more than there is room for or an account may have, only where it fits, and nobody is idle."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from hearth.domain.demand import Shape
from hearth.domain.hardware import Hardware, Machine
from hearth.domain.quota import Limits, Share
from hearth.domain.ranges import RangeSet
from hearth.domain.spec import SchedulingClass
from hearth.scheduler.fit import NodeRoom, fits_now
from hearth.scheduler.plan import Cluster, Dispatch, Wanting, plan
from tests.property import laws  # noqa: F401

HARDWARE = st.builds(
    Hardware,
    specifications=st.sampled_from([(), ("a",), ("b",), ("a", "b")]),
    gpu=st.sampled_from([None, True, False]),
    ssd=st.sampled_from([None, None, True]),
)
SHAPES = st.builds(
    Shape,
    cores=st.integers(1, 12).map(lambda quarters: quarters / 4),
    memory_bytes=st.sampled_from([0, 0, 1, 3]),
    scheduling=st.sampled_from(SchedulingClass),
    hardware=HARDWARE,
    needs_image=st.booleans(),
)
MACHINES = st.builds(
    Machine,
    cores=st.integers(1, 4),
    memory_bytes=st.integers(1, 8),
    specification_key=st.sampled_from(["", "a", "b", "ab"]),
    has_ssd=st.booleans(),
    gpus=st.integers(0, 1),
)


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    tasks = [
        Wanting(
            number,
            draw(st.integers(1, 3)),
            RangeSet.of(draw(st.sets(st.integers(0, 9), min_size=1))),
            draw(SHAPES),
            draw(st.sampled_from([0, 0, 5])),
        )
        for number in range(1, draw(st.integers(0, 6)) + 1)
    ]
    nodes = []
    for number in range(1, draw(st.integers(0, 3)) + 1):
        machine = draw(MACHINES)
        cores = draw(st.integers(0, int(machine.cores) * 4)) / 4
        memory = draw(st.integers(0, int(machine.memory_bytes)))
        nodes.append(NodeRoom(number, cores, memory, draw(st.integers(0, 3)), draw(st.booleans()), machine))
    shares = {
        account: Share(
            Limits(max_instances=draw(st.integers(0, 8)), max_cores=draw(st.integers(0, 8))),
            draw(st.integers(0, 3)),
            draw(st.integers(0, 12)) / 4,
        )
        for account in (1, 2, 3)
    }
    return Cluster(tasks, nodes, shares)


def given_to(dispatches: list[Dispatch], cluster: Cluster) -> list[tuple[Wanting, NodeRoom, RangeSet]]:
    tasks = {task.task_id: task for task in cluster.tasks}
    nodes = {node.node_id: node for node in cluster.nodes}
    return [(tasks[d.task_id], nodes[d.node_id], d.numbers) for d in dispatches]


@given(clusters())
def test_a_plan_stays_within_rooms_quotas_and_constraints(cluster: Cluster):
    dispatches = given_to(plan(cluster), cluster)
    numbers: Counter[tuple[int, int]] = Counter()
    held = {key: [share.instances, Fraction(share.cores)] for key, share in cluster.shares.items()}
    placed: dict[int, list[Shape]] = {node.node_id: [] for node in cluster.nodes}
    for task, node, given_numbers in dispatches:
        assert _has_all(node.machine, task.shape)
        assert node.takes_images or not task.shape.needs_image
        for number in given_numbers:
            assert number in task.waiting
            numbers[task.task_id, number] += 1
            held[task.account_id][0] += 1
            held[task.account_id][1] += Fraction(task.shape.cores)
            placed[node.node_id].append(task.shape)
    assert not numbers or max(numbers.values()) == 1
    for account, (instances, cores) in held.items():
        share = cluster.shares[account]
        assert not share.limits.max_instances or instances <= max(share.limits.max_instances, share.instances)
        assert not share.limits.max_cores or cores <= max(share.limits.max_cores, Fraction(share.cores))
    for node in cluster.nodes:
        _require_room(node, placed[node.node_id])


def _has_all(machine: Machine, shape: Shape) -> bool:
    """Answer in plain words whether the machine is what the shape asks for."""
    asked = shape.hardware
    has = {"gpu": machine.gpus > 0, "ssd": machine.has_ssd}
    switches = all(getattr(asked, name) in (None, value) for name, value in has.items())
    keys = all(key in machine.specification_key for key in asked.specifications)
    return switches and keys and shape.cores <= machine.cores and shape.memory_bytes <= machine.memory_bytes


def _require_room(node: NodeRoom, shapes: list[Shape]) -> None:
    """What is on the cores fits on them, and what is beyond them is no more than the node queues."""
    cores, memory, queued = Fraction(node.cores), node.memory_bytes, 0
    for shape in shapes:
        if Fraction(shape.cores) <= cores and (not shape.memory_bytes or shape.memory_bytes <= memory):
            cores -= Fraction(shape.cores)
            memory -= shape.memory_bytes
        else:
            queued += 1
    assert queued <= node.ahead


@given(clusters())
def test_nothing_that_fits_is_left_while_there_is_room(cluster: Cluster):
    dispatches = plan(cluster)
    rooms = {node.node_id: node for node in cluster.nodes}
    shares = dict(cluster.shares)
    waiting = {task.task_id: task.waiting for task in cluster.tasks}
    for task, node, numbers in given_to(dispatches, cluster):
        rooms[node.node_id] = rooms[node.node_id].without(len(numbers), task.shape.cores, task.shape.memory_bytes)
        shares[task.account_id] = shares[task.account_id].holding(len(numbers), task.shape.cores)
        waiting[task.task_id] -= numbers
    for task in cluster.tasks:
        if waiting[task.task_id] and shares[task.account_id].more(task.shape.cores) > 0:
            assert [room for room in rooms.values() if fits_now(room, task.shape) > 0] == []


@given(clusters(), st.integers(1, 3))
def test_a_higher_class_is_never_held_up_by_a_lower_one(cluster: Cluster, account: int):
    """What reserved tasks get does not depend on whether others are there."""
    reserved = [task for task in cluster.tasks if task.shape.scheduling is SchedulingClass.RESERVED]
    ids = {task.task_id for task in reserved}
    alone = plan(Cluster(reserved, cluster.nodes, cluster.shares))
    among = [dispatch for dispatch in plan(cluster) if dispatch.task_id in ids]
    assert sum(len(d.numbers) for d in among) == sum(len(d.numbers) for d in alone)


@given(st.integers(1, 40), st.integers(2, 16))
def test_accounts_that_hold_nothing_get_as_much_as_each_other(many: int, cores: int):
    shape = Shape(1.0, 0)
    tasks = [Wanting(number, 1, RangeSet.count(1), shape) for number in range(1, many + 1)]
    tasks.append(Wanting(1000, 2, RangeSet.count(100), shape))
    free = Share(Limits(), 0, 0.0)
    got: Counter[int] = Counter()
    for dispatch in plan(Cluster(tasks, [NodeRoom(1, cores, 0)], {1: free, 2: free})):
        got[2 if dispatch.task_id == 1000 else 1] += len(dispatch.numbers)
    turn = max(1, cores // 4)
    assert sum(got.values()) == cores
    assert got[1] >= min(many, cores // 2 - turn)
    assert got[2] >= cores // 2 - turn
