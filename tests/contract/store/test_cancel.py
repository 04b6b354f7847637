"""Cancelling and deleting: what waits ends at once, what runs when its node says so, and every row goes in the end."""

from __future__ import annotations

import asyncio

import pytest

from hearth.control import cancel
from hearth.control.delete import sweep_deleted
from hearth.domain.errors import Missing
from hearth.domain.instance import InstanceState
from hearth.domain.spec import Retries
from hearth.store import tables
from hearth.store.door import Store, open_engine
from hearth.store.queries import deleted, tasks
from tests.contract.store.test_submit import MILLION, row_counts, statements
from tests.contract.store.truth import check_all, every
from tests.contract.store.world import World, failed, keys, started, succeeded, wrote


async def test_a_task_that_waits_is_cancelled_at_once(world: World):
    account = await world.account()
    task_id = await world.submit(account, numbers="1-3,7")
    world.now += 5
    changes = await world.cancel(account, task_id)
    task = await world.task(task_id)
    assert (task.state, task.cancelled, task.waiting, task.cancelled_count) == ("Cancelled", "1-3,7", "", 4)
    assert (task.ended_at, task.cancel_requested_at) == (world.now, world.now)
    assert changes.stops == []
    assert await world.claim(await world.node()) == []
    await world.store.read(check_all)


async def test_a_million_waiting_instances_are_cancelled_like_one(world: World):
    account = await world.account()
    one, million = await world.submit(account), await world.submit(account, MILLION)
    rows = await world.store.read(row_counts)
    with statements(world.store.engine) as for_one:
        await world.cancel(account, one)
    with statements(world.store.engine) as for_million:
        await world.cancel(account, million)
    assert len(for_million) == len(for_one)
    after = await world.store.read(row_counts)
    assert {name: after[name] - rows[name] for name in rows if after[name] != rows[name]} == {"history": 2}
    task = await world.task(million)
    assert (task.cancelled, task.cancelled_count) == ("0-999999", MILLION)
    await world.store.read(check_all)


async def test_what_runs_is_cancelled_when_its_node_says_that_it_is_gone(world: World):
    account = await world.account()
    task_id = await world.submit(account, 10)
    node = await world.node()
    first, second = keys(await world.claim(node, cores=2))
    await world.report(started=[started(first)])
    changes = await world.cancel(account, task_id)
    assert sorted(changes.stops) == [(node, *first), (node, *second)]
    task = await world.task(task_id)
    assert (task.state, task.cancelled, task.cancelling_count) == ("PendingCancel", "2-9", 2)
    await world.store.read(check_all)
    # Output and even a success that come now are of a cancelled instance.
    await world.report(outputs=[wrote(first, b"bye\n")], ended=[succeeded(first)])
    assert (await world.task(task_id)).state == "PendingCancel"
    await world.report(ended=[failed(second)])
    task = await world.task(task_id)
    assert (task.state, task.cancelled) == ("Cancelled", "0-9")
    await world.store.read(check_all)


async def test_instances_that_wait_again_are_cancelled_with_their_rows(world: World):
    account = await world.account()
    task_id = await world.submit(account, 3, retries=Retries(total=5))
    held = keys(await world.claim(await world.node()))
    await world.report(started=[started(held[0])], ended=[failed(held[0])])
    await world.lose(held[1])
    world.now += 1
    await world.cancel(account, task_id)
    for number in (0, 1):
        row = await world.instance(task_id, number)
        assert (row.state, row.ended_at) == (InstanceState.CANCELLED, world.now)
    await world.report(ended=[failed(held[2])])
    task = await world.task(task_id)
    assert (task.state, task.cancelled, task.requeued_count) == ("Cancelled", "0-2", 0)
    await world.store.read(check_all)


async def test_a_cancelled_instance_whose_node_is_lost_is_cancelled(world: World):
    account = await world.account()
    task_id = await world.submit(account)
    [key] = keys(await world.claim(await world.node()))
    await world.cancel(account, task_id)
    await world.lose(key)
    assert (await world.task(task_id)).state == "Cancelled"
    await world.store.read(check_all)


async def test_a_second_cancel_and_a_cancel_after_the_end_change_nothing(world: World):
    account = await world.account()
    ended = await world.submit(account)
    [key] = keys(await world.claim(await world.node()))
    await world.report(ended=[succeeded(key)])
    waiting = await world.submit(account)
    await world.cancel(account, waiting)
    before = await world.store.read(every, tables.tasks)
    world.now += 5
    for task_id in (ended, waiting):
        assert (await world.cancel(account, task_id)).stops == []
    assert await world.store.read(every, tables.tasks) == before
    await world.store.read(check_all)


async def test_somebody_elses_task_is_not_there(world: World):
    ada, bob = await world.account(), await world.account()
    task_id = await world.submit(ada)
    with pytest.raises(Missing, match="No such task"):
        await world.cancel(bob, task_id)
    assert (await world.task(task_id)).state == "Submitted"


async def test_a_deleted_task_is_seen_no_more_and_not_counted(world: World):
    account = await world.account()
    task_id = await world.submit(account, 2)
    uuid = (await world.task(task_id)).uuid
    await world.cancel(account, task_id, delete=True)
    assert await world.store.read(tasks.find, account, uuid) is None
    assert await world.store.read(tasks.count, account) == 0
    assert (await world.task(task_id)).deleted_at == world.now
    await world.store.read(check_all)


async def test_a_task_that_runs_is_deleted_once_it_has_ended(world: World):
    account = await world.account()
    task_id = await world.submit(account)
    [key] = keys(await world.claim(await world.node()))
    changes = await world.cancel(account, task_id, delete=True)
    assert len(changes.stops) == 1
    task = await world.task(task_id)
    assert (task.state, task.deleted_at) == ("PendingDelete", None)
    assert await world.store.read(tasks.find, account, task.uuid) == task
    await world.cancel(account, task_id, delete=True)  # again: nothing new
    await world.store.read(check_all)
    await world.report(ended=[failed(key)])
    assert await world.store.read(tasks.find, account, task.uuid) is None
    await world.store.read(check_all)


async def test_a_task_that_ended_is_deleted_as_it_ended(world: World):
    account = await world.account()
    task_id = await world.submit(account)
    await world.report(ended=[succeeded(key) for key in keys(await world.claim(await world.node()))])
    await world.cancel(account, task_id, delete=True)
    task = await world.task(task_id)
    assert (task.state, task.cancel_requested_at, task.deleted_at) == ("Success", None, world.now)
    await world.store.read(check_all)


async def test_two_servers_that_delete_at_once_count_it_once(world: World, url: str):
    account = await world.account()
    for task_id in [await world.submit(account) for _ in range(10)]:
        uuid = (await world.task(task_id)).uuid
        servers = [world.store, Store(open_engine(url))]
        outcomes = await asyncio.gather(
            *(s.write(cancel.cancel, account, uuid, world.now, delete=True) for s in servers), return_exceptions=True
        )
        assert all(isinstance(outcome, cancel.Changes | Missing) for outcome in outcomes), outcomes
        servers[1].close()
    assert (await world.store.read(every, tables.accounts))[0]["tasks"] == 0
    await world.store.read(check_all)


async def test_a_cancel_that_finds_its_task_deleted_meanwhile_says_so(world: World):
    """What was found without a lock may be gone once it is locked."""
    account = await world.account()
    task_id = await world.submit(account)
    found = await world.task(task_id)
    await world.cancel(account, task_id, delete=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hearth.control.find.task", lambda *_: found)
        before = await world.store.read(every, tables.tasks)
        for delete in (False, True):
            with pytest.raises(Missing, match="No such task"):
                await world.store.write(cancel.cancel, account, found.uuid, world.now + 9, delete=delete)
        assert await world.store.read(every, tables.tasks) == before
        while await world.store.write(sweep_deleted):
            pass
        with pytest.raises(Missing, match="No such task"):
            await world.store.write(cancel.cancel, account, found.uuid, world.now)


async def test_the_rows_of_deleted_tasks_go_bit_by_bit_and_nobody_elses(world: World):
    account = await world.account()
    gone = await world.submit(account, 30, tags=("a",), retries=Retries(total=1))
    held = keys(await world.claim(await world.node(), cores=30))
    await world.report(started=[started(k) for k in held], outputs=[wrote(k, b"line\n") for k in held])
    await world.report(ended=[failed(held[0]), *(succeeded(k) for k in held[1:])])
    kept = await world.submit(account, 2, tags=("a",))
    [again, other, *_] = keys(await world.claim(await world.node(), cores=2))
    await world.report(outputs=[wrote(other, b"kept\n")], ended=[succeeded(again)])
    assert again[0] == gone and other[0] == kept
    await world.cancel(account, gone, delete=True)

    rounds = 0
    while (task_id := await world.store.write(deleted.next_task)) is not None:
        assert task_id == gone
        await world.store.write(deleted.remove_some, gone, 7)
        rounds += 1
        assert rounds < 100
    assert rounds > 5
    for table in (tables.instances, tables.attempts, tables.history, tables.chunks, tables.streams, tables.task_tags):
        assert {row["task_id"] for row in await world.store.read(every, table)} <= {kept}, table.name
    assert [row["id"] for row in await world.store.read(every, tables.tasks)] == [kept]
    await world.store.read(check_all)


async def test_ids_of_swept_tasks_do_not_come_back(world: World):
    account = await world.account()
    first = await world.submit(account)
    await world.cancel(account, first, delete=True)
    while await world.store.write(sweep_deleted):
        pass
    assert await world.store.read(every, tables.tasks) == []
    assert await world.submit(account) > first
