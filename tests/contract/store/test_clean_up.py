"""Tasks whose time is over: those that waited too long, and ended ones that go by themselves."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Connection, Table, event, select, update

from hearth.control.clean_up import SLICE, end_overdue, keep_limits, remove_expired
from hearth.control.delete import sweep_deleted
from hearth.domain.errors import QuotaExceeded
from hearth.domain.spec import Retries
from hearth.store import tables
from hearth.store.queries import tasks
from tests.contract.store.truth import check_all, every
from tests.contract.store.world import SECOND, World, a_task, exited, failed, keys, lost, started, succeeded, wrote


async def overdue(world: World) -> bool:
    return await world.store.write(end_overdue, world.now)


async def run(world: World, node: int, cores: float = 1e6) -> None:
    """Run all that waits to a good end."""
    for key in keys(await world.claim(node, cores)):
        await world.report(ended=[succeeded(key)])


async def deadline(world: World, task_id: int) -> int | None:
    return (await world.task(task_id)).queue_deadline_at


async def test_a_task_that_no_node_takes_in_time_fails_whole_and_says_why(world: World):
    account = await world.account()
    task_id = await world.submit(account, 1_000_000, max_queue_seconds=60)
    world.now += 60 * SECOND - 1
    assert not await overdue(world)
    assert (await world.task(task_id)).state == "Submitted"
    world.now += 2 * SECOND + 1
    assert not await overdue(world)
    task = await world.task(task_id)
    assert (task.state, task.failed, task.waiting, task.ended_at) == ("Failure", "0-999999", "", world.now)
    assert json.loads(task.error or "") == {
        "code": "QUEUE_TIME_EXCEEDED",
        "message": "no instance was given to a node within maxTimeQueueSeconds, 60 seconds: all 1000000 waited 62 "
        "seconds",
    }
    assert await world.store.read(every, tables.instances) == []
    await world.store.read(check_all)
    assert await world.claim(await world.node()) == []


async def test_a_task_that_a_node_took_once_is_left_alone(world: World):
    account, node = await world.account(), await world.node()
    running = await world.submit(account, 5, max_queue_seconds=60)
    await world.claim(node, 1)
    waits_again = await world.submit(account, max_queue_seconds=60)
    [key] = [key for key in keys(await world.claim(node, 5)) if key[0] == waits_again]
    await world.report(ended=[lost(key)])
    ended = await world.submit(account, max_queue_seconds=60)
    await world.cancel(account, ended)
    world.now += 61 * SECOND
    await overdue(world)
    assert [(await world.task(t)).error for t in (running, waits_again, ended)] == [None, None, None]
    assert (await world.task(ended)).state == "Cancelled"
    assert (await world.task(waits_again)).waiting_count == 1
    assert [await deadline(world, t) for t in (running, waits_again, ended)] == [None, None, None]
    await world.store.read(check_all)


async def test_overdue_tasks_end_slice_by_slice(world: World):
    account = await world.account()
    await world.submit_all(account, *(a_task(2, max_queue_seconds=1) for _ in range(SLICE + 1)))
    kept = await world.submit(account)
    world.now += 2 * SECOND
    assert await overdue(world)
    assert not await overdue(world)
    assert {row["state"] for row in await world.store.read(every, tables.tasks) if row["id"] != kept} == {"Failure"}
    assert (await world.task(kept)).state == "Submitted"
    await world.store.read(check_all)


@pytest.mark.parametrize("end", ["success", "cancel", "overdue"])
async def test_a_task_goes_its_time_to_live_after_its_end(world: World, end: str):
    account, node = await world.account(), await world.node()
    task_id = await world.submit(account, completion_ttl_seconds=100, max_queue_seconds=50)
    world.now += 51 * SECOND
    if end == "success":
        await run(world, node)
    elif end == "cancel":
        await world.cancel(account, task_id)
    else:
        await overdue(world)
    task = await world.task(task_id)
    assert task.expires_at == world.now + 100 * SECOND
    world.now += 100 * SECOND - 1
    await world.store.write(remove_expired, world.now)
    assert await world.store.read(tasks.find, account, task.uuid) == await world.task(task_id)
    world.now += 1
    await world.store.write(remove_expired, world.now)
    assert await world.store.read(tasks.find, account, task.uuid) is None
    await world.store.read(check_all)
    assert await world.store.read(tasks.count, account) == 0


async def test_the_writer_is_asked_only_when_a_time_is_over(world: World):
    account = await world.account()
    overdue_id = await world.submit(account, max_queue_seconds=60)
    expiring = [await world.submit(account, 2, completion_ttl_seconds=100) for _ in range(SLICE + 1)]
    for task_id in expiring:
        await world.cancel(account, task_id)
    kept = await world.submit(account)
    writes = 0

    def count(connection: Connection) -> None:
        nonlocal writes
        writes += bool(connection.get_execution_options().get("hearth_write"))

    event.listen(world.store.engine, "begin", count)
    for seconds, expected in ((59, 0), (1, 2), (0, 2), (39, 2), (1, 5), (0, 5)):
        world.now += seconds * SECOND
        await keep_limits(world.store, world.now)
        assert writes == expected
    event.remove(world.store.engine, "begin", count)
    assert (await world.task(overdue_id)).state == "Failure"
    assert {(await world.task(task_id)).deleted_at for task_id in expiring} == {world.now}
    assert (await world.task(kept)).state == "Submitted"
    await world.store.read(check_all)


async def test_a_task_without_a_time_to_live_stays(world: World):
    account, node = await world.account(), await world.node()
    task_id = await world.submit(account)
    await run(world, node)
    assert (await world.task(task_id)).expires_at is None
    world.now += 10**15
    assert not await world.store.write(remove_expired, world.now)
    assert (await world.task(task_id)).deleted_at is None


async def test_the_oldest_ended_tasks_that_may_go_make_room_as_many_as_needed(world: World):
    account, other, node = await world.account(max_tasks=4), await world.account(), await world.node()
    not_mine = await world.submit(other, auto_delete=True)
    kept = await world.submit(account)
    await run(world, node)
    made = []
    for _ in range(3):
        world.now += SECOND
        made.append(await world.submit(account, auto_delete=True))
        await run(world, node)
    world.now += SECOND
    outcomes = await world.submit_all(
        account,
        a_task(auto_delete=True),  # in place of the oldest
        a_task(profile="nope"),  # which takes nobody's place
        a_task(),  # in place of the second
    )
    assert [type(outcome) for outcome in outcomes].count(str) == 2
    assert [(await world.task(t)).deleted_at is not None for t in (*made, kept, not_mine)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    await world.store.read(check_all)
    outcomes = await world.submit_all(account, a_task(), a_task())
    assert [type(outcome) for outcome in outcomes] == [str, QuotaExceeded]  # what runs does not go
    assert str(outcomes[1]).startswith("Maximum number of tasks reached: 4 of 4")
    await world.store.read(check_all)


async def test_a_lowered_quota_takes_as_many_as_it_is_too_many(world: World):
    account, node = await world.account(max_tasks=3), await world.node()
    for _ in range(3):
        await world.submit(account, auto_delete=True)
    await run(world, node)
    await world.store.write(lower, account)
    await world.submit(account)
    assert await world.store.read(tasks.count, account) == 2
    await world.store.read(check_all)


def lower(connection: Connection, account_id: int) -> None:
    connection.execute(
        update(tables.accounts).values(limits='{"max_tasks":2}').where(tables.accounts.c.id == account_id)
    )


async def test_all_that_belongs_to_a_removed_task_goes_bit_by_bit(world: World):
    account, node = await world.account(), await world.node()
    kept = await world.submit(account, 2, tags=("kept",))
    task_id = await world.submit(account, 3, completion_ttl_seconds=1, tags=("a", "b"), retries=Retries(per_instance=2))
    grants = keys(await world.claim(node, 1e6))
    await world.report(started=[started(key) for key in grants], outputs=[wrote(key, b"x\n") for key in grants])
    await world.report(exited=[exited(key) for key in grants])
    await world.report(ended=[failed(key) if key[0] == task_id else succeeded(key) for key in grants])
    for _ in range(2):
        await world.report(ended=[failed(key) for key in keys(await world.claim(node, 1e6))])
    world.now += 2 * SECOND
    await world.store.write(remove_expired, world.now)
    while await world.store.write(sweep_deleted):
        pass

    def left(connection: Connection) -> dict[str, list[int]]:
        return {table.name: _ids(connection, table) for table in tables.metadata.sorted_tables if "task_id" in table.c}

    found = await world.store.read(left)
    assert {name for name, ids in found.items() if task_id in ids} == set()
    assert {name for name, ids in found.items() if kept in ids} >= {"instances", "chunks", "task_tags", "history"}
    assert await world.store.read(tasks.get, task_id) is None
    await world.store.read(check_all)


def _ids(connection: Connection, table: Table) -> list[int]:
    return list(connection.execute(select(table.c.task_id).group_by(table.c.task_id)).scalars())


async def test_accounts_count_the_tasks_that_have_instances_on_nodes(world: World):
    account, node = await world.account(), await world.node()

    async def running() -> int:
        def read(connection: Connection) -> int:
            query = select(tables.accounts.c.running_tasks).where(tables.accounts.c.id == account)
            return connection.execute(query).scalar_one()

        return await world.store.read(read)

    await world.submit(account, 3)
    await world.submit(account, 1)
    assert await running() == 0
    first = keys(await world.claim(node, 1))
    assert await running() == 1
    rest = keys(await world.claim(node, 10))
    assert await running() == 2
    await world.report(ended=[succeeded(key) for key in first])
    assert await running() == 2
    await world.report(ended=[succeeded(key) for key in rest])
    assert await running() == 0


async def test_tasks_beyond_those_that_may_run_wait_and_those_that_run_go_on(world: World):
    account, other, node = await world.account(max_running_tasks=2), await world.account(), await world.node()
    mine = [await world.submit(account, 3) for _ in range(4)]
    theirs = await world.submit(other, 2)
    first = keys(await world.claim(node, 2))
    assert {key[0] for key in first} == {mine[0], theirs}
    more = keys(await world.claim(node, 100))
    assert sorted(key[0] for key in (*first, *more)) == sorted([*mine[:2] * 3, *[theirs] * 2])
    assert await world.claim(node, 100) == []
    await world.report(ended=[failed(key) for key in (*first, *more) if key[0] == mine[0]])
    again = keys(await world.claim(node, 100))
    assert {key[0] for key in again} == {mine[2]}
    await world.report(ended=[lost(key) for key in again])  # all wait again: the next may come in their place
    assert {key[0] for key in keys(await world.claim(node, 1))} == {mine[2]}
    await world.store.read(check_all)
