"""Claiming: never more than there is room for, never more than an account may have, nothing twice."""

from __future__ import annotations

import asyncio

import pytest

from hearth.control import claim
from hearth.control.claim import CANDIDATES
from hearth.domain.hardware import Machine
from hearth.domain.spec import SchedulingClass
from hearth.scheduler.fit import NodeRoom
from hearth.store import tables
from hearth.store.door import Store, open_engine
from hearth.store.queries import tasks
from tests.contract.store.test_submit import statements
from tests.contract.store.truth import check_all, every
from tests.contract.store.world import BOOT, World, a_task, keys, started, succeeded

MINIMUM_CORES = "MinimumCoreHardwareConstraint"


def needing(cores: int) -> tuple[dict[str, object], ...]:
    """Hardware constraints of an instance that needs so many cores."""
    return ({"discriminator": MINIMUM_CORES, "coreCount": cores},)


async def test_a_claim_gives_as_much_as_there_is_room_for(world: World):
    account = await world.account()
    task_id = await world.submit(account, 10)
    node = await world.node()
    [grant] = await world.claim(node, cores=4)
    assert (grant.node_id, grant.task.id, grant.attempt, str(grant.numbers)) == (node, task_id, 1, "0-3")
    task = await world.task(task_id)
    assert (task.state, task.waiting, task.dispatched_count) == ("PartiallyDispatched", "4-9", 4)
    row = await world.instance(task_id, 3)
    assert (row.node_id, row.boot, row.attempt, row.dispatched_at) == (node, BOOT, 1, world.now)
    await world.store.read(check_all)


async def test_a_node_without_room_gets_nothing(world: World):
    await world.submit(await world.account(), 3)
    assert await world.claim(await world.node(), cores=0) == []


async def test_instances_take_the_cores_that_they_need(world: World):
    account = await world.account()
    await world.submit(account, 5, hardware=needing(3))
    grants = await world.claim(await world.node(), cores=8)
    assert len(keys(grants)) == 2
    await world.store.read(check_all)


async def test_several_nodes_share_what_waits(world: World):
    await world.submit(await world.account(), 5)
    first, second = await world.node("one"), await world.node("two")
    grants = await world.claim_for(NodeRoom(first, 2, 1 << 40), NodeRoom(second, 2, 1 << 40))
    assert {node: sum(len(g.numbers) for g in grants if g.node_id == node) for node in (first, second)} == {
        first: 2,
        second: 2,
    }
    assert len(set(keys(grants))) == 4


async def test_the_quota_of_instances_is_never_exceeded(world: World):
    account = await world.account(max_instances=3)
    first, second = await world.submit(account, 2), await world.submit(account, 5)
    node = await world.node()
    held = keys(await world.claim(node, cores=64))
    assert [task for task, _, _ in held] == [first, first, second]
    assert await world.claim(node, cores=64) == []
    await world.report(ended=[succeeded(held[0])])
    assert len(keys(await world.claim(node, cores=64))) == 1
    await world.store.read(check_all)


async def test_the_quota_of_cores_is_never_exceeded(world: World):
    account = await world.account(max_cores=5)
    await world.submit(account, 4, hardware=needing(2))
    assert len(keys(await world.claim(await world.node(), cores=64))) == 2
    await world.store.read(check_all)


async def test_an_account_at_its_quota_does_not_hold_up_the_others(world: World):
    full, other = await world.account(max_instances=1), await world.account()
    for _ in range(40):
        await world.submit(full)
    theirs = await world.submit(other)
    node = await world.node()
    claimed = keys(await world.claim(node, cores=2)) + keys(await world.claim(node, cores=1))
    assert theirs in [task for task, _, _ in claimed]
    assert len(claimed) == 2


async def test_a_task_that_is_over_the_quota_does_not_hold_up_its_accounts_others(world: World):
    account = await world.account(max_cores=4)
    await world.submit(account, hardware=needing(8))
    small = await world.submit(account)
    assert keys(await world.claim(await world.node(), cores=16)) == [(small, 0, 1)]


async def test_tasks_that_fit_nowhere_do_not_hold_up_those_that_do(world: World):
    account = await world.account()
    for _ in range(CANDIDATES + 1):
        await world.submit(account, hardware=needing(64))
    small = await world.submit(account)
    assert keys(await world.claim(await world.node(), cores=2)) == [(small, 0, 1)]


async def test_a_task_knows_since_when_nothing_of_it_waits(world: World):
    task_id = await world.submit(await world.account(), 2)
    node = await world.node()
    [first] = keys(await world.claim(node, cores=1))
    assert (await world.task(task_id)).drained_at is None
    world.now += 5
    await world.claim(node, cores=1)
    drained = world.now
    assert (await world.task(task_id)).drained_at == drained
    world.now += 5
    await world.report(started=[started(first)])
    assert (await world.task(task_id)).drained_at == drained
    await world.lose(first)
    assert (await world.task(task_id)).drained_at is None
    await world.cancel((await world.task(task_id)).account_id, task_id)
    assert (await world.task(task_id)).drained_at == world.now


async def test_an_accounts_bulk_does_not_hold_up_anothers_task(world: World):
    ada, bob = await world.account(), await world.account()
    for _ in range(10_000 // 200):
        await world.submit_all(ada, *[a_task() for _ in range(200)])
    theirs = await world.submit(bob)
    claimed = keys(await world.claim(await world.node(), cores=2))
    assert [task for task, _, _ in claimed] == [1, theirs]


async def test_a_thousand_tasks_that_fit_nowhere_do_not_hold_up_one_that_does(world: World):
    account = await world.account()
    for cores in range(5, 10):
        await world.submit_all(account, *[a_task(hardware=needing(cores)) for _ in range(200)])
    small = await world.submit(account)
    assert keys(await world.claim(await world.node(), cores=4)) == [(small, 0, 1)]


async def test_where_there_are_more_shapes_than_one_claim_looks_at_all_have_their_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(claim, "SHAPES", 3)
    account = await world.account()
    asked = [await world.submit(account, hardware=needing(cores)) for cores in (70, 71, 72, 73, 74, 75, 2, 1)]
    node = await world.node()
    room = NodeRoom(node, 4, 1 << 40)
    rounds = []
    after = 0
    for _ in range(3):
        done = await world.store.write(claim.claim_some, [room], {node: BOOT}, world.now, after=after)
        rounds.append(keys(done.grants))
        after = done.after
    assert rounds == [[], [], [(asked[6], 0, 1), (asked[7], 0, 1)]]
    assert after == 0


async def test_a_higher_class_and_then_a_higher_priority_goes_first(world: World):
    ada, bob = await world.account(), await world.account()
    flex = await world.submit(ada)
    urgent = await world.submit(ada)
    await world.store.write(tasks.set_columns, urgent, {"priority": 5})
    on_demand = await world.submit(bob, scheduling=SchedulingClass.ON_DEMAND)
    reserved = await world.submit(bob, scheduling=SchedulingClass.RESERVED)
    node = await world.node()
    order = [keys(await world.claim(node, cores=1))[0][0] for _ in range(4)]
    assert order == [reserved, on_demand, urgent, flex]


async def test_the_account_that_holds_less_goes_first(world: World):
    ada, bob = await world.account(), await world.account()
    first = [await world.submit(ada) for _ in range(3)]
    theirs = [await world.submit(bob) for _ in range(2)]
    node = await world.node()
    order = [keys(await world.claim(node, cores=1))[0][0] for _ in range(5)]
    assert order == [first[0], theirs[0], first[1], theirs[1], first[2]]


async def test_a_task_goes_only_where_its_constraints_hold(world: World):
    account = await world.account()
    task_id = await world.submit(account, hardware=({"discriminator": "GpuHardwareConstraint"},))
    plain, other = await world.node("plain"), await world.node("with-gpu")
    assert await world.claim_for(NodeRoom(plain, 4, 1 << 40)) == []
    [grant] = await world.claim_for(NodeRoom(plain, 4, 1 << 40), NodeRoom(other, 1, 1 << 40, machine=Machine(gpus=1)))
    assert (grant.node_id, grant.task.id) == (other, task_id)


async def test_a_claim_of_one_shape_asks_the_same_questions_whatever_the_number_of_tasks(world: World):
    account = await world.account()
    node = await world.node()
    await world.submit(account)
    with statements(world.store.engine) as one:
        await world.claim(node, cores=32)
    await world.submit_all(account, *[a_task() for _ in range(32)])
    with statements(world.store.engine) as many:
        assert len(keys(await world.claim(node, cores=32))) == 32
    reads = [[told for told in part if told.lstrip().startswith(("SELECT", "WITH"))] for part in (one, many)]
    assert len(reads[0]) == len(reads[1])


async def test_what_was_claimed_is_not_claimed_again(world: World):
    await world.submit(await world.account(), 6)
    node = await world.node()
    first, second = keys(await world.claim(node, cores=4)), keys(await world.claim(node, cores=4))
    assert (len(first), len(second)) == (4, 2)
    assert not set(first) & set(second)
    assert await world.claim(node, cores=4) == []


async def test_a_lost_instance_is_claimed_as_its_next_attempt(world: World):
    task_id = await world.submit(await world.account(), 2)
    node = await world.node()
    held = keys(await world.claim(node))
    await world.lose(held[0])
    assert keys(await world.claim(node)) == [(task_id, 0, 2)]
    await world.store.read(check_all)


async def test_servers_that_claim_at_once_give_nothing_twice(world: World, url: str):
    """Several servers on one database, each with a node of its own that has room for part of the work."""
    ada, bob = await world.account(max_instances=30), await world.account()
    for account in (ada, bob):
        for _ in range(6):
            await world.submit(account, 10)
    servers = [world, *(World(Store(open_engine(url))) for _ in range(2))]
    nodes = [await world.node(f"node-{number}") for number in range(len(servers))]

    async def claim_all(server: World, node: int) -> list[tuple[int, int, int]]:
        got: list[tuple[int, int, int]] = []
        for _ in range(12):
            part = keys(await server.claim(node, cores=4))
            got += part
            if part:
                await server.report(started=[started(key) for key in part])
        return got

    shares = await asyncio.gather(*(claim_all(s, node) for s, node in zip(servers, nodes, strict=True)))
    given = [key for share in shares for key in share]
    assert len(given) == len(set(given))
    while part := keys(await world.claim(nodes[0], cores=64)):  # what the others had locked when they looked
        given += part
    rows = await world.store.read(every, tables.instances)
    assert sorted((row["task_id"], row["number"], row["attempt"]) for row in rows) == sorted(given)
    of_ada = [row for row in rows if row["account_id"] == ada]
    assert len(of_ada) <= 30
    assert len(rows) == len(of_ada) + 60, "all of bob's, who has no limit"
    await world.store.read(check_all)
    for server in servers[1:]:
        server.store.close()
