"""Snapshots: who has a share, what becomes of it, what is published, and when the periodic ones come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, delete

from hearth.control import push, snapshot, sync
from hearth.control.snapshot import OPEN_AT_ONCE, REMEMBERED, Seen
from hearth.control.snapshot_parts import ENDED_FIRST, FAILURES_KEPT, orders_to_take
from hearth.control.sweep import sweep_blobs
from hearth.domain.errors import Conflict, Invalid
from hearth.domain.ranges import RangeSet
from hearth.domain.snapshot import SECOND, Filter, SnapshotState, Wish
from hearth.domain.spec import Retries
from hearth.store import tables
from hearth.store.queries import blobs, deleted, snapshots
from hearth.wire import agent as wire
from tests.contract.store.test_publish import account_of, running, shown
from tests.contract.store.truth import check_all, every
from tests.contract.store.world import Key, World, exited, failed, keys, lost, succeeded

Told = list[tuple[int, wire.Snapshot]]


async def trigger(world: World, task_id: int, **wish: Any) -> tuple[Seen, Told]:
    """Take a snapshot of a task, as its owner; return it and what nodes are told."""
    task = await world.task(task_id)
    ids: Callable[[], str] = world.new_uuid
    seen = await world.store.write(snapshot.trigger, task.account_id, task.uuid, Wish(**wish), world.now, ids)
    return seen, await world.store.read(orders_to_take, [seen.row])


async def triggered(world: World, task_id: int, **wish: Any) -> int:
    seen, _ = await trigger(world, task_id, **wish)
    return seen.row.id


async def every_so_often(world: World, task_id: int, interval: int, **wish: Any) -> None:
    task = await world.task(task_id)
    await world.store.write(snapshot.schedule, task.account_id, task.uuid, interval, Wish(**wish), world.now)


async def due(world: World) -> Told:
    begun, more = await world.store.write(snapshot.trigger_due, world.now, world.new_uuid)
    assert not more
    return await world.store.read(orders_to_take, begun)


def part(snapshot_id: int, key: Key, *, over: bool = True, **told: Any) -> wire.SnapshotPart:
    """What a node tells of an attempt's share."""
    return wire.SnapshotPart(snapshot_id, *key, over=over, **told)


async def state(world: World, snapshot_id: int) -> tuple[SnapshotState, int, int, int, int]:
    """State, open parts, failed parts, size and how much of it was transferred."""
    row = await world.store.read(snapshots.get, snapshot_id)
    assert row is not None
    return SnapshotState(row.state), row.open_parts, row.failed_parts, row.size_bytes, row.transferred_bytes


async def counts(world: World, task_id: int) -> tuple[int, int]:
    """How many snapshots of the task are open, and how many results it has."""
    row = await world.task(task_id)
    return row.open_snapshots, row.results_count


async def test_every_running_instance_has_a_share_and_no_other(world: World):
    account = await world.account()
    task = await world.submit(account, 1_000_000, result_bucket="out")
    node, other = await world.node("a"), await world.node("b")
    first = keys(await world.claim(node, cores=3))
    second = keys(await world.claim(other, cores=2))
    await world.report(started=[wire.Started(*key, 30) for key in first[1:] + second])
    await world.report(exited=[exited(first[1])])
    seen, told = await trigger(world, task, whitelist="a.*", blacklist="b")
    number = seen.row.id
    assert sorted(told) == [
        (node, wire.Snapshot(number, task, 1, "2", "a.*", "b")),
        (other, wire.Snapshot(number, task, 1, "3-4", "a.*", "b")),
    ]
    assert await state(world, number) == (SnapshotState.TRIGGERED, 3, 0, 0, 0)
    assert len(await world.store.read(every, tables.snapshot_parts)) == 3
    await world.store.read(check_all)


async def test_without_an_instance_that_runs_it_is_over_at_once(world: World):
    account = await world.account()
    task = await world.submit(account, 5, result_bucket="out")
    seen, told = await trigger(world, task)
    assert told == []
    assert await state(world, seen.row.id) == (SnapshotState.SUCCESS, 0, 0, 0, 0)
    assert await counts(world, task) == (0, 0)


async def test_an_ended_task_has_nothing_left_to_copy(world: World):
    [key] = await running(world)
    await world.report(ended=[succeeded(key)])
    with pytest.raises(Invalid, match="has ended"):
        await trigger(world, key[0])


async def test_a_share_appears_whole_when_it_is_over_and_the_task_counts_the_snapshot_once(world: World):
    first, second = await running(world, 2)
    account = await account_of(world, first)
    number = await triggered(world, first[0], bucket="snaps", prefix="now/")
    assert await counts(world, first[0]) == (1, 0)
    a, b = await world.result(account, "a.txt", b"12345"), await world.result(account, "b.txt", b"123")

    await world.report(snapshots=[part(number, first, over=False, size_bytes=8, transferred_bytes=5)])
    assert await state(world, number) == (SnapshotState.IN_PROGRESS, 2, 0, 8, 5)
    assert await shown(world, account, "snaps") == {}

    await world.report(snapshots=[part(number, first, size_bytes=8, transferred_bytes=8, files=[a, b])])
    assert await state(world, number) == (SnapshotState.IN_PROGRESS, 1, 0, 8, 8)
    assert await shown(world, account, "snaps") == {"now/a.txt": a.blob, "now/b.txt": b.blob}
    assert await counts(world, first[0]) == (1, 0)

    await world.report(snapshots=[part(number, second, size_bytes=2, transferred_bytes=2)])
    assert await state(world, number) == (SnapshotState.SUCCESS, 0, 0, 10, 10)
    assert await counts(world, first[0]) == (0, 1)
    assert await world.store.read(every, tables.snapshot_parts) == []
    await world.store.read(check_all)


async def test_a_snapshot_without_files_is_no_result(world: World):
    [key] = await running(world)
    number = await triggered(world, key[0])
    await world.report(snapshots=[part(number, key)])
    assert await state(world, number) == (SnapshotState.SUCCESS, 0, 0, 0, 0)
    assert await counts(world, key[0]) == (0, 0)


async def test_what_is_told_twice_counts_once(world: World):
    [key] = await running(world)
    account = await account_of(world, key)
    number = await triggered(world, key[0])
    told = part(number, key, size_bytes=6, transferred_bytes=6, files=[await world.result(account, "a.txt")])
    await world.report(snapshots=[told])
    before = {t.name: await world.store.read(every, t) for t in (tables.objects, tables.blobs, tables.snapshots)}
    again = await world.report(snapshots=[told])
    assert again.receipt == wire.Receipt()
    assert {
        t.name: await world.store.read(every, t) for t in (tables.objects, tables.blobs, tables.snapshots)
    } == before


async def test_an_attempt_that_is_not_current_publishes_nothing_and_its_blobs_are_swept(world: World):
    [old] = await running(world)
    account = await account_of(world, old)
    number = await triggered(world, old[0])
    late = await world.result(account, "late.txt", b"late")
    await world.lose(old)
    assert await state(world, number) == (SnapshotState.FAILURE, 0, 1, 0, 0)
    assert await world.store.read(snapshots.failures, number) == [(0, ENDED_FIRST)]
    assert await counts(world, old[0]) == (0, 0)
    outcome = await world.report(snapshots=[part(number, old, files=[late])])
    assert outcome.receipt.refused == [wire.Refusal(*old)]
    assert await shown(world, account) == {}
    await world.store.read(check_all)
    swept = await world.store.write(sweep_blobs, world.now + blobs.UNUSED_LIVES, 10)
    assert swept.count == 1
    assert await world.store.read(every, tables.blobs) == []


async def test_a_new_attempt_cannot_speak_for_the_share_of_the_old_one(world: World):
    [old] = await running(world)
    number = await triggered(world, old[0])
    await world.lose(old)
    [new] = keys(await world.claim(await world.node()))
    await world.report(started=[wire.Started(*new, 60)])
    account = await account_of(world, old)
    outcome = await world.report(snapshots=[part(number, new, files=[await world.result(account, "a.txt")])])
    assert outcome.receipt == wire.Receipt()
    assert await shown(world, account) == {}
    assert await state(world, number) == (SnapshotState.FAILURE, 0, 1, 0, 0)


@pytest.mark.parametrize("how", [succeeded, failed, lost])
async def test_an_attempt_that_ends_takes_its_share_with_it(world: World, how: Callable[[Key], wire.Ended]):
    first, second = await running(world, 2, retries=Retries(per_instance=1))
    number = await triggered(world, first[0])
    await world.report(ended=[how(first)])
    assert await state(world, number) == (SnapshotState.IN_PROGRESS, 1, 1, 0, 0)
    await world.report(snapshots=[part(number, second)])
    assert await state(world, number) == (SnapshotState.FAILURE, 0, 1, 0, 0)
    assert await counts(world, first[0]) == (0, 0)
    await world.store.read(check_all)


async def test_a_share_that_is_told_with_the_end_comes_before_it(world: World):
    [key] = await running(world)
    account = await account_of(world, key)
    number = await triggered(world, key[0])
    copied = await world.result(account, "a.txt", b"so far")
    result = await world.result(account, "a.txt", b"at the end")
    await world.report(snapshots=[part(number, key, files=[copied])], ended=[succeeded(key, files=[result])])
    assert await state(world, number) == (SnapshotState.SUCCESS, 0, 0, 0, 0)
    assert await shown(world, account) == {"a.txt": result.blob}
    assert await counts(world, key[0]) == (0, 2)
    await world.store.read(check_all)


async def test_a_cancelled_task_ends_its_snapshots_when_its_containers_are_gone(world: World):
    [key] = await running(world)
    account = await account_of(world, key)
    number = await triggered(world, key[0])
    await world.cancel(account, key[0])
    assert await state(world, number) == (SnapshotState.TRIGGERED, 1, 0, 0, 0)
    await world.report(ended=[failed(key)])
    assert await state(world, number) == (SnapshotState.FAILURE, 0, 1, 0, 0)
    await world.store.read(check_all)


async def test_files_that_do_not_fit_fail_their_share_and_nothing_else(world: World):
    first, second = await running(world, 2, limits={"max_bucket_bytes": 10})
    account = await account_of(world, first)
    number = await triggered(world, first[0])
    large, small = await world.result(account, "large", b"x" * 11), await world.result(account, "small", b"y")
    await world.report(
        snapshots=[part(number, first, files=[large]), part(number, second, files=[small])],
        started=[wire.Started(*first, 30)],
    )
    assert await shown(world, account) == {"small": small.blob}
    assert await state(world, number) == (SnapshotState.FAILURE, 0, 1, 0, 0)
    [(instance, why)] = await world.store.read(snapshots.failures, number)
    assert instance == 0
    assert why.startswith("its 1 files could not be stored: ")
    assert await counts(world, first[0]) == (0, 1)
    await world.store.read(check_all)


async def test_a_bucket_that_was_deleted_is_made_again(world: World):
    [key] = await running(world)
    account = await account_of(world, key)
    number = await triggered(world, key[0], bucket="snaps")

    def drop(connection: Connection) -> None:
        connection.execute(delete(tables.buckets).where(tables.buckets.c.name == "snaps"))

    await world.store.write(drop)
    copied = await world.result(account, "a.txt")
    await world.report(snapshots=[part(number, key, files=[copied])])
    assert await shown(world, account, "snaps") == {"a.txt": copied.blob}


async def test_why_shares_failed_is_kept_of_the_first_only(world: World):
    held = await running(world, FAILURES_KEPT + 5)
    number = await triggered(world, held[0][0])
    await world.report(snapshots=[part(number, key, error=f"no disk for {key[1]}") for key in held])
    assert await state(world, number) == (SnapshotState.FAILURE, 0, len(held), 0, 0)
    assert await world.store.read(snapshots.failures, number) == [(n, f"no disk for {n}") for n in range(FAILURES_KEPT)]


async def test_names_of_one_second_differ(world: World):
    [key] = await running(world)
    names = [(await trigger(world, key[0]))[0].row.name for _ in range(3)]
    uuid = (await world.task(key[0])).uuid
    assert names[0] == f"snap_{uuid}_19700101001640"
    assert [name[: len(names[0])] for name in names] == [names[0]] * 3
    assert [len(name) - len(names[0]) for name in names] == [0, 5, 5]
    assert len(set(names)) == 3


async def test_too_many_at_once_are_refused(world: World):
    [key] = await running(world)
    for _ in range(OPEN_AT_ONCE):
        await trigger(world, key[0])
    with pytest.raises(Conflict, match="100 snapshots of this task are under way"):
        await trigger(world, key[0])
    await world.report(ended=[succeeded(key)])
    assert await counts(world, key[0]) == (0, 0)
    await world.store.read(check_all)


async def test_only_the_newest_are_remembered(world: World, monkeypatch: pytest.MonkeyPatch):
    assert REMEMBERED >= 100
    monkeypatch.setattr(snapshot, "REMEMBERED", 3)
    [key] = await running(world)
    first = await triggered(world, key[0])  # is open, so it stays
    made = []
    for _ in range(5):
        number = await triggered(world, key[0])
        await world.report(snapshots=[part(number, key, error="no")])
        made.append(number)
    assert [row["id"] for row in await world.store.read(every, tables.snapshots)] == [first, *made[-3:]]
    assert {row["snapshot_id"] for row in await world.store.read(every, tables.snapshot_parts)} == {first, *made[-3:]}


# Periodic ones


async def test_periodic_ones_come_at_intervals_from_the_submission(world: World):
    [key] = await running(world)
    world.now += 7 * SECOND
    await every_so_often(world, key[0], 5)
    assert await due(world) == []
    world.now += 3 * SECOND  # ten seconds after the submission
    [(_, told)] = await due(world)
    assert (told.task, told.attempt, told.numbers) == (key[0], 1, "0")
    assert await due(world) == []
    row = await world.task(key[0])
    assert (row.snapshot_interval, row.snapshot_next_at, row.open_snapshots) == (5, row.created_at + 15 * SECOND, 1)


async def test_a_slow_one_does_not_overlap_with_the_next(world: World):
    [key] = await running(world)
    await every_so_often(world, key[0], 5)
    await trigger(world, key[0])  # one that was asked for hinders none
    world.now += 5 * SECOND
    [(_, slow)] = await due(world)
    world.now += 5 * SECOND
    assert await due(world) == []
    await world.report(snapshots=[part(slow.snapshot, key)])
    assert await due(world) == []
    world.now += 5 * SECOND
    [(_, after)] = await due(world)
    assert after.snapshot > slow.snapshot


async def test_tasks_that_wait_cost_no_snapshots_and_ended_ones_no_more_looks(world: World):
    account = await world.account()
    task = await world.submit(account, result_bucket="out")
    await every_so_often(world, task, 5)
    world.now += 60 * SECOND
    assert await due(world) == []
    assert (await world.task(task)).snapshot_next_at == world.now + 5 * SECOND
    [key] = keys(await world.claim(await world.node()))
    await world.report(started=[wire.Started(*key, 30)], ended=[succeeded(key)])
    world.now += 5 * SECOND
    assert await due(world) == []
    assert (await world.task(task)).snapshot_next_at is None
    assert await world.store.read(every, tables.snapshots) == []


async def test_zero_stops_them(world: World):
    [key] = await running(world)
    await every_so_often(world, key[0], 5, whitelist="a")
    await every_so_often(world, key[0], 0)
    world.now += 60 * SECOND
    assert await due(world) == []
    row = await world.task(key[0])
    assert (row.snapshot_interval, row.snapshot_next_at) == (0, None)
    assert row.snapshot_filter == '{"whitelist":"a","blacklist":"","bucket":"","prefix":""}'


async def test_what_a_periodic_call_says_counts_from_then_on_what_another_says_counts_once(world: World):
    [key] = await running(world, snapshot_whitelist="submitted", snapshot_bucket="own", snapshot_prefix="p/")

    async def chosen(**wish: Any) -> Filter:
        seen, _ = await trigger(world, key[0], **wish)
        return seen.row.chosen()

    assert await chosen() == Filter("submitted", "", "own", "p/")
    assert await chosen(whitelist="once", prefix="") == Filter("once", "", "own", "")
    await every_so_often(world, key[0], 5, blacklist="often", bucket="other")
    assert await chosen() == Filter("submitted", "often", "other", "p/")
    await every_so_often(world, key[0], 5, whitelist="", bucket="")
    assert await chosen() == Filter("", "often", "out", "p/")


async def test_periodic_ones_of_a_task_that_has_ended_never_come(world: World):
    [key] = await running(world)
    await world.report(ended=[succeeded(key)])
    await every_so_often(world, key[0], 5)
    row = await world.task(key[0])
    assert (row.snapshot_interval, row.snapshot_next_at) == (5, None)


async def test_many_due_ones_are_taken_bit_by_bit(world: World, monkeypatch: pytest.MonkeyPatch):
    account = await world.account()
    for _ in range(3):
        await every_so_often(world, await world.submit(account, result_bucket="out"), 5)
    held = keys(await world.claim(await world.node(), cores=3))
    await world.report(started=[wire.Started(*key, 30) for key in held])
    world.now += 5 * SECOND
    monkeypatch.setattr(snapshot, "PARTS_AT_ONCE", 0)
    taken = []
    for _ in range(3):
        begun, more = await world.store.write(snapshot.trigger_due, world.now, world.new_uuid)
        taken += [(each.task_id, more) for each in begun]
    assert sorted(taken) == [(key[0], index < 2) for index, key in enumerate(held)]
    assert await due(world) == []


# What a comparison says again


async def compared(world: World, node: int, held: list[Key], **said: Any) -> sync.Difference:
    holds = [wire.Held(task, attempt, str(RangeSet.of([number]))) for task, number, attempt in held]
    message = world.said(holds=holds)
    message.versions.update(said.get("versions", {}))
    return await world.store.read(sync.compare, node, message)


async def test_a_comparison_tells_open_shares_again_to_who_holds_them(world: World):
    first, second = await running(world, 2)
    [(node, order)] = (await trigger(world, first[0], whitelist="w"))[1]
    assert (await compared(world, node, [first, second])).snapshots == [order]
    assert (await compared(world, node, [second])).snapshots == [
        wire.Snapshot(order.snapshot, first[0], 1, "1", "w", "")
    ]
    await world.report(snapshots=[part(order.snapshot, key) for key in (first, second)])
    assert (await compared(world, node, [first, second])).is_told is False


async def test_a_comparison_tells_nodes_that_are_behind_of_pushed_resources(world: World):
    [key] = await running(world)
    account = await account_of(world, key)
    node = await world.node()
    uuid = (await world.task(key[0])).uuid
    assert (await compared(world, node, [key])).updates == []
    pushed = [await world.store.write(push.push, account, uuid, world.now) for _ in range(2)]
    assert pushed == [push.Pushed(key[0], version, [node]) for version in (1, 2)]
    assert (await compared(world, node, [key])).updates == [wire.Update(key[0], 2)]
    assert (await compared(world, node, [key], versions={key[0]: 1})).updates == [wire.Update(key[0], 2)]
    assert (await compared(world, node, [key], versions={key[0]: 2})).is_told is False


async def test_resources_of_a_task_that_does_not_run_cannot_be_pushed(world: World):
    [key] = await running(world, 1)
    account = await account_of(world, key)
    waiting = await world.submit(account)
    await world.report(ended=[succeeded(key)])
    for task in (key[0], waiting):
        uuid = (await world.task(task)).uuid
        with pytest.raises(Invalid, match="the task is not running"):
            await world.store.write(push.push, account, uuid, world.now)


async def test_a_deleted_task_takes_its_snapshots_with_it(world: World):
    held = await running(world, 3)
    account = await account_of(world, held[0])
    for _ in range(3):
        number = await triggered(world, held[0][0])
        await world.report(snapshots=[part(number, key, error="no") for key in held])
    await world.cancel(account, held[0][0], delete=True)
    await world.report(ended=[failed(key) for key in held])
    while (task := await world.store.read(deleted.next_task)) is not None:
        await world.store.write(deleted.remove_some, task, 2)
    for table in (tables.snapshot_parts, tables.snapshots, tables.tasks):
        assert await world.store.read(every, table) == []


async def test_the_results_of_a_cancelled_task_are_shown_when_it_wants_them(world: World):
    wanted = await running(world, upload_on_cancel=True)
    unwanted = await running(world, upload_on_cancel=False)
    for [key], is_shown in ((wanted, True), (unwanted, False)):
        account = await account_of(world, key)
        await world.cancel(account, key[0])
        result = await world.result(account, "a.txt")
        await world.report(ended=[failed(key, files=[result])])
        assert await shown(world, account) == ({"a.txt": result.blob} if is_shown else {})
        assert await counts(world, key[0]) == (0, int(is_shown))
        assert (await world.task(key[0])).state == "Cancelled"
    await world.store.read(check_all)
