"""Times of a task: summed where attempts end, in the transaction that ends them, whatever their number."""

from __future__ import annotations

from msgspec.structs import replace

from hearth.control.sync import greet
from hearth.domain.instance import InstanceState
from hearth.domain.spec import Retries
from hearth.store import tables
from hearth.store.queries import machines, nodes, task_view
from hearth.store.queries.live_times import LiveTimes
from hearth.store.queries.machines import Machine, machine_times
from hearth.store.queries.tasks import TaskRow
from hearth.wire import agent as wire
from tests.contract.store.truth import check_all, every
from tests.contract.store.world import LEASE, OFFER, SECOND, Key, World, keys


async def dispatched(world: World, count: int = 1, **asked: object) -> list[Key]:
    await world.submit(await world.account(), count, **asked)
    return keys(await world.claim(await world.node(), cores=64))


def started(world: World, key: Key, download_seconds: int = 0) -> wire.Started:
    return wire.Started(*key, world.now, download_seconds * SECOND)


def ended(world: World, key: Key, *, began: int, exited: int, error: str = "", download_seconds: int = 0) -> wire.Ended:
    return wire.Ended(
        *key,
        at=world.now,
        exit_code=1 if error else 0,
        error_code=error,
        started_at=began,
        exited_at=exited,
        download_microseconds=download_seconds * SECOND,
    )


async def heard(world: World, name: str, counter: int, offer: wire.Offer) -> int:
    """Let a node speak; return its number."""
    sync = replace(world.said(name, counter=counter), offer=offer)
    return (await world.store.write(greet, sync, world.now, world.now + LEASE)).id


def seconds(task: TaskRow) -> tuple[float, float, float, float]:
    """Download, environment, execution and upload."""
    sums = (
        task.download_microseconds,
        task.environment_microseconds,
        task.execution_microseconds,
        task.upload_microseconds,
    )
    return tuple(each / SECOND for each in sums)  # type: ignore[return-value]


async def test_each_phase_of_each_attempt_counts_once_and_they_do_not_overlap(world: World):
    first, second = await dispatched(world, 2)
    world.now += 5 * SECOND
    began = world.now
    await world.report(started=[started(world, first, 2), started(world, second, 3)])
    world.now += 10 * SECOND
    exited = world.now
    assert seconds(await world.task(first[0])) == (0, 0, 0, 0)
    world.now += 4 * SECOND
    await world.report(ended=[ended(world, key, began=began, exited=exited) for key in (first, second)])

    assert seconds(await world.task(first[0])) == (2 + 3, 3 + 2, 20, 8)
    assert (await world.instance(*first[:2])).download_microseconds == 2 * SECOND
    await world.store.read(check_all)


async def test_an_end_that_tells_everything_at_once_counts_the_same(world: World):
    [key] = await dispatched(world)
    begin = world.now
    world.now += 20 * SECOND
    end = ended(world, key, began=begin + 6 * SECOND, exited=begin + 16 * SECOND, download_seconds=5)
    await world.report(ended=[end])
    await world.report(ended=[end])
    assert seconds(await world.task(key[0])) == (5, 1, 10, 4)


async def test_attempts_that_were_retried_or_lost_count_too(world: World):
    [key] = await dispatched(world, retries=Retries(total=5))
    begin = world.now
    world.now += 3 * SECOND
    await world.report(ended=[ended(world, key, began=begin, exited=world.now, error="EXIT_CODE")])
    [again] = keys(await world.claim(await world.node()))
    await world.report(started=[started(world, again)])
    world.now += 7 * SECOND
    await world.lose(again)
    [last] = keys(await world.claim(await world.node()))
    world.now += 2 * SECOND
    assert seconds(await world.task(key[0])) == (0, 0, 10, 0)

    await world.lose(last)  # it never started
    assert seconds(await world.task(key[0])) == (0, 2, 10, 0)
    await world.store.read(check_all)


async def test_times_of_what_runs_are_the_same_whether_it_is_fetched_or_summed_up(world: World):
    task_id = await world.submit(await world.account(), 5)
    for name, cores in (("engine", 3), ("other", 1)):
        offer = replace(OFFER, specification_key=f"{name}-key")
        await world.claim(await heard(world, name, 1, offer), cores=cores)
    world.now += 4 * SECOND
    held = [(task_id, number, 1) for number in range(3)]
    await world.report(started=[started(world, key, 3) for key in held])
    world.now += 10 * SECOND
    await world.report(
        exited=[wire.Exited(*held[0], 0, world.now)], ended=[ended(world, held[1], began=1, exited=world.now)]
    )
    world.now += 5 * SECOND

    row = await world.task(task_id)
    whole = await world.store.read(task_view.view, row, 10, world.now)
    few = await world.store.read(task_view.view, row, 1, world.now)
    assert (len(whole.live), len(few.live)) == (3, 1)
    kinds = [(await world.instance(task_id, number)).machine_id for number in (0, 3)]
    assert kinds[0] != kinds[1]
    expected = LiveTimes(
        download=2 * 3 * SECOND,
        environment=(1 + 1 + 19) * SECOND,
        upload=5 * SECOND,
        by_machine={kinds[0]: (10 + 15) * SECOND},
    )
    assert whole.live_times == expected
    assert replace_zeros(few.live_times) == expected
    assert few.machines == whole.machines


def replace_zeros(times: LiveTimes) -> LiveTimes:
    """Leave out kinds of machines on which nothing has begun."""
    times.by_machine = {kind: time for kind, time in times.by_machine.items() if time}
    return times


async def test_time_is_known_by_kind_of_machine(world: World):
    account = await world.account()
    task_id = await world.submit(account, 3)
    kinds = {"slow": 1.5, "fast": 4.0, "twin": 4.0}
    begin = world.now
    ends = []
    for length, (name, frequency) in enumerate(kinds.items(), start=1):
        node = await heard(world, name, 1, replace(OFFER, cpu_model="Z80", frequency_ghz=frequency))
        [key] = keys(await world.claim(node, cores=1))
        ends.append(ended(world, key, began=begin, exited=begin + length * SECOND))
    world.now += 10 * SECOND
    await world.report(ended=ends)

    task = await world.task(task_id)
    times = machine_times(task.machines)
    found = await world.store.read(machines.many, times)
    assert {found[kind]: time for kind, time in times.items()} == {
        Machine("", "Z80", 1.5): 1 * SECOND,
        Machine("", "Z80", 4.0): (2 + 3) * SECOND,
    }
    assert [(await world.instance(task_id, n)).state for n in range(3)] == [InstanceState.SUCCEEDED] * 3
    assert found[(await world.instance(task_id, 0)).machine_id or 0].frequency_ghz == 1.5
    await world.store.read(check_all)


async def test_a_node_that_changes_is_another_kind_of_machine_from_then_on(world: World):
    node = await world.node()
    await heard(world, "engine", 2, OFFER)
    assert len(await world.store.read(every, tables.machines)) == 1
    await heard(world, "engine", 3, replace(OFFER, specification_key="8c-32g-z80"))
    kind = (await world.store.read(nodes.machines, [node]))[node]
    assert (await world.store.read(machines.many, [kind or 0]))[kind or 0] == Machine("8c-32g-z80", "", 0.0)
