"""Claiming: never more than there is room for, never more than an account may have, nothing twice."""

from __future__ import annotations

import asyncio

from hearth.control.claim import CANDIDATES
from hearth.scheduler.fit import NodeRoom
from hearth.store import tables
from hearth.store.door import Store, open_engine
from tests.contract.store.truth import check_all, every
from tests.contract.store.world import BOOT, World, keys, started, succeeded

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
