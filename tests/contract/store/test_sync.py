"""What a node holds against what the database says it holds, and leases that are over."""

from __future__ import annotations

import pytest

from hearth.control import sync
from hearth.control.fleet import StaleSync
from hearth.control.sync import Difference
from hearth.domain.instance import InstanceState
from hearth.store.queries import nodes
from hearth.wire import agent as wire
from tests.contract.store.truth import check_all
from tests.contract.store.world import (
    BOOT,
    LEASE,
    LOSSES_ALLOWED,
    SECOND,
    Key,
    World,
    keys,
    started,
    succeeded,
    wrote,
)


def held(*given: Key) -> list[wire.Held]:
    return [wire.Held(task, attempt, str(number)) for task, number, attempt in given]


async def compared(world: World, node: int, *holds: Key, boot: int = BOOT) -> Difference:
    return await world.store.read(sync.compare, node, world.said(boot=boot, holds=held(*holds)))


async def test_a_node_that_holds_what_it_should_hears_nothing(world: World):
    await world.submit(await world.account(), 2)
    node = await world.node()
    given = keys(await world.claim(node))
    assert await compared(world, node, *given) == Difference()


async def test_a_lease_that_did_not_arrive_is_sent_again(world: World):
    await world.submit(await world.account(), 3)
    node = await world.node()
    first, second, third = keys(await world.claim(node))
    assert (await compared(world, node, second)).resend == [first, third]


async def test_what_an_older_boot_held_is_lost(world: World):
    await world.submit(await world.account(), 2)
    node = await world.node()
    first, second = keys(await world.claim(node))
    difference = await compared(world, node, boot=BOOT + 1)
    assert difference == Difference(lost=[first, second])
    await world.lose(*difference.lost)
    again = keys(await world.claim(node, boot=BOOT + 1))
    assert again == [(first[0], 0, 2), (first[0], 1, 2)]
    assert await compared(world, node, *again, boot=BOOT + 1) == Difference()
    await world.store.read(check_all)


async def test_a_returned_agent_hears_how_much_of_its_output_is_known(world: World):
    await world.submit(await world.account(), 2)
    node = await world.node()
    first, second = keys(await world.claim(node))
    await world.report(started=[started(first)], outputs=[wrote(first, b"12345"), wrote(first, b"ab", stream=1)])
    difference = await compared(world, node, first, boot=BOOT + 1)
    assert difference == Difference(lost=[second], known=[wire.Known(*first, 5, 2)])


async def test_a_node_is_told_to_drop_what_is_not_its_own(world: World):
    account = await world.account()
    await world.submit(account, 2)
    node, other = await world.node(), await world.node("other")
    first, second = keys(await world.claim(node, cores=2))
    await world.lose(first)
    [moved] = keys(await world.claim(other))
    await world.report(ended=[succeeded(second)])
    difference = await compared(world, node, first, second, (999, 0, 1))
    assert difference == Difference(
        stops=[wire.Stop(*key, cancelled=False) for key in sorted([first, second, (999, 0, 1)])]
    )
    assert await compared(world, other, moved) == Difference()


async def test_a_cancel_is_said_until_the_node_tells_the_end(world: World):
    account = await world.account()
    task_id = await world.submit(account, 2)
    node = await world.node()
    first, second = keys(await world.claim(node, cores=2))
    await world.cancel(account, task_id)
    for holds in ([first, second], [first], []):
        difference = await compared(world, node, *holds)
        assert difference == Difference(stops=[wire.Stop(*key, cancelled=True) for key in (first, second)])
    # An agent that started again and no longer has them cannot tell their end: they are lost, and so cancelled.
    difference = await compared(world, node, second, boot=BOOT + 1)
    assert difference == Difference(lost=[first], stops=[wire.Stop(*second, cancelled=True)])
    await world.lose(*difference.lost)
    assert (await world.instance(*first[:2])).state == InstanceState.CANCELLED
    await world.store.read(check_all)


async def test_an_older_message_of_a_node_is_refused(world: World):
    async def greet(boot: int, counter: int) -> int:
        said = world.said(boot=boot, counter=counter)
        return (await world.store.write(sync.greet, said, world.now, world.now + LEASE)).id

    first = await greet(7, 3)
    assert await greet(7, 4) == first
    assert await greet(8, 1) == first
    for boot, counter in ((7, 9), (6, 1)):
        with pytest.raises(StaleSync):
            await greet(boot, counter)
    row = await world.store.read(nodes.by_name, "engine")
    assert row is not None
    assert (row.boot, row.counter, row.lease_until) == (8, 1, world.now + LEASE)


async def expire(world: World, *, not_before: int = 0) -> list[int] | None:
    changes = await world.store.write(sync.expire, world.now, not_before=not_before, losses_allowed=LOSSES_ALLOWED)
    return None if changes is None else sorted(changes.tasks)


async def test_leases_of_a_node_that_was_silent_for_a_whole_lease_are_over(world: World):
    account = await world.account()
    task_id = await world.submit(account, 3)
    silent, heard = await world.node("silent"), await world.node("heard")
    first = keys(await world.claim(silent, cores=2))
    second = keys(await world.claim(heard, cores=1))
    world.now += LEASE - SECOND
    await world.store.write(sync.greet, world.said("heard", counter=2), world.now, world.now + LEASE)
    assert await expire(world) is None
    world.now += 2 * SECOND
    assert await expire(world) == [task_id]
    assert [(await world.instance(task_id, n)).state for n in range(3)] == [
        InstanceState.WAITING,
        InstanceState.WAITING,
        InstanceState.DISPATCHED,
    ]
    assert await expire(world) is None, "once"
    await world.store.read(check_all)
    # Its late words no longer count.
    assert len((await world.report(ended=[succeeded(key) for key in first])).receipt.refused) == 2
    assert (await world.report(ended=[succeeded(key) for key in second])).receipt.refused == []


async def test_a_server_that_returns_ends_no_lease_before_one_lease_is_over(world: World):
    await world.submit(await world.account())
    await world.claim(await world.node())
    world.now += 10 * LEASE
    assert await expire(world, not_before=world.now + 1) is None
    assert await expire(world, not_before=world.now) is not None


async def test_a_loss_that_came_too_late_changes_nothing(world: World):
    await world.submit(await world.account())
    node = await world.node()
    [key] = keys(await world.claim(node))
    await world.lose(key)
    [again] = keys(await world.claim(node))
    await world.lose(key, key, (999, 0, 1))
    row = await world.instance(*again[:2])
    assert (row.state, row.attempt, row.losses) == (InstanceState.DISPATCHED, 2, 1)
    await world.store.read(check_all)
