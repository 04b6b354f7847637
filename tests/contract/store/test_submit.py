"""Submitting: accepted in order, refused one by one, and as cheap for a million instances as for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, event, func, select

from hearth.domain.errors import Conflict, Invalid, Missing, QuotaExceeded
from hearth.domain.ranges import RangeSet
from hearth.domain.task import TaskState
from hearth.store import tables
from hearth.store.queries import accounts_counters, tasks
from tests.contract.store.truth import check_all, every
from tests.contract.store.world import World, a_task

MILLION = 1_000_000


def row_counts(connection: Connection) -> dict[str, int]:
    """How many rows each table has."""
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in tables.metadata.sorted_tables
    }


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """Note the statements that run meanwhile, one entry per row of an executemany."""
    noted: list[str] = []

    def note(_c: object, _cursor: object, statement: str, parameters: object, _context: object, many: bool) -> None:
        noted.extend([statement] * (len(parameters) if many and isinstance(parameters, list) else 1))

    event.listen(engine, "before_cursor_execute", note)
    yield noted
    event.remove(engine, "before_cursor_execute", note)


async def test_a_submitted_task_waits_whole(world: World):
    account = await world.account()
    task = await world.task(await world.submit(account, numbers="1-6,15", name="render", tags=("a", "b", "a")))
    assert (task.state, task.waiting, task.instance_total, task.name) == ("Submitted", "1-6,15", 7, "render")
    assert (task.created_at, task.state_changed_at, task.shortname) == (world.now, world.now, task.uuid)
    assert task.parsed_spec().tags == ("a", "b", "a")
    tags = await world.store.read(every, tables.task_tags)
    assert [row["tag"] for row in tags] == ["a", "b"]
    await world.store.read(check_all)


async def test_a_million_instances_cost_the_rows_of_one(world: World):
    account = await world.account()
    await world.submit(account)  # the first of its shape
    empty = await world.store.read(row_counts)
    with statements(world.store.engine) as one:
        await world.submit(account, 1)
    after_one = await world.store.read(row_counts)
    with statements(world.store.engine) as many:
        task_id = await world.submit(account, MILLION)
    after_many = await world.store.read(row_counts)
    added = {name: after_one[name] - empty[name] for name in empty}
    assert added == {name: after_many[name] - after_one[name] for name in empty}
    assert added["instances"] == 0
    assert len(many) == len(one)
    task = await world.task(task_id)
    assert (task.waiting, task.waiting_count) == ("0-999999", MILLION)


async def test_each_task_of_a_bulk_is_accepted_or_refused_by_itself_in_order(world: World):
    account = await world.account(max_instances_per_task=10)
    await world.bucket(account, "there")
    there, gone = tables_of("there"), tables_of("gone")
    outcomes = await world.submit_all(
        account,
        a_task(uuid="u-1", shortname="one"),
        a_task(profile="nope"),
        a_task(uuid="u-2", resources=there),
        a_task(resources=gone),
        a_task(shortname="one"),
        a_task(11),
        a_task(numbers="1-20"),
        a_task(uuid="u-3"),
    )
    assert [o for o in outcomes if isinstance(o, str)] == ["u-1", "u-2", "u-3"]
    assert [type(outcome) for outcome in outcomes] == [str, Invalid, str, Missing, Conflict, Invalid, Invalid, str]
    assert [getattr(o, "field", None) for o in outcomes] == [
        None,
        "profile",
        None,
        None,
        None,
        "instanceCount",
        "advancedRanges",
        None,
    ]
    assert str(outcomes[3]) == "No such bucket: gone"
    await world.store.read(check_all)


def tables_of(*names: str) -> tuple[object, ...]:
    from hearth.domain.spec import ResourceBucket

    return tuple(ResourceBucket(name) for name in names)


async def test_the_quota_of_tasks_holds_within_a_bulk_and_across_calls(world: World):
    account = await world.account(max_tasks=3)
    outcomes = await world.submit_all(account, *(a_task() for _ in range(2)))
    assert all(isinstance(outcome, str) for outcome in outcomes)
    outcomes = await world.submit_all(account, *(a_task() for _ in range(3)))
    assert [type(outcome) for outcome in outcomes] == [str, QuotaExceeded, QuotaExceeded]
    assert str(outcomes[1]).startswith("Maximum number of tasks reached: 3 of 3")
    assert await world.store.read(tasks.count, account) == 3


async def test_a_deleted_task_makes_room_in_the_quota_and_frees_its_shortname(world: World):
    account = await world.account(max_tasks=1)
    task_id = await world.submit(account, shortname="mine")
    with pytest.raises(QuotaExceeded):
        await world.submit(account, shortname="other")
    await world.cancel(account, task_id, delete=True)
    await world.submit(account, shortname="mine")
    await world.store.read(check_all)


async def test_a_shortname_is_one_accounts_own(world: World):
    ada, bob = await world.account(), await world.account()
    await world.submit(ada, shortname="mine")
    await world.submit(bob, shortname="mine")
    with pytest.raises(Conflict, match="shortname: 'mine' is the name of another task of yours"):
        await world.submit(ada, shortname="mine")


async def test_a_bucket_of_somebody_else_is_not_there(world: World):
    ada, bob = await world.account(), await world.account()
    await world.bucket(ada, "hers")
    with pytest.raises(Missing):
        await world.submit(bob, resources=tables_of("hers"))


async def test_tasks_are_found_by_uuid_in_any_case_and_by_shortname_by_their_account_only(world: World):
    ada, bob = await world.account(), await world.account()
    await world.submit_all(ada, a_task(uuid="0000000a-0000-7000-8000-00000000000b", shortname="Mine"))
    found = await world.store.read(tasks.find, ada, "0000000A-0000-7000-8000-00000000000B")
    assert found is not None
    assert await world.store.read(tasks.find, ada, "Mine") == found
    assert await world.store.read(tasks.find, ada, "mine") is None
    assert await world.store.read(tasks.find, bob, found.uuid) is None
    assert await world.store.read(tasks.find, bob, "Mine") is None


async def test_counters_of_accounts_add_up(world: World):
    account = await world.account(max_tasks=7)
    change = accounts_counters.Change(tasks=2, live_instances=3, live_cores=1.5)
    await world.store.write(accounts_counters.apply, {account: change})
    await world.store.write(accounts_counters.apply, {account: accounts_counters.Change(live_instances=-1)})
    counters = (await world.store.write(accounts_counters.lock, [account]))[account]
    assert (counters.tasks, counters.live_instances, counters.live_cores) == (2, 2, 1.5)
    assert counters.limits.max_tasks == 7


async def test_a_state_is_kept_with_the_time_and_the_state_before_it(world: World):
    account = await world.account()
    task_id = await world.submit(account)
    submitted_at, world.now = world.now, world.now + 5
    await world.claim(await world.node())
    task = await world.task(task_id)
    assert (task.state, task.state_changed_at) == (TaskState.FULLY_DISPATCHED, world.now)
    assert (task.previous_state, task.previous_state_changed_at) == (TaskState.SUBMITTED, submitted_at)
    assert RangeSet.parse(task.waiting) == RangeSet()
