"""Reports: an attempt that is not the current one is refused and leaves nothing; what is told twice counts once."""

from __future__ import annotations

import msgspec

from hearth.control.store_output import OutputLimits
from hearth.domain.instance import InstanceState
from hearth.domain.spec import Retries
from hearth.store import tables
from hearth.store.queries import history, instances, output
from hearth.wire import agent as wire
from tests.contract.store.truth import check_all, every, seen
from tests.contract.store.world import (
    SECOND,
    Key,
    World,
    exited,
    failed,
    given_back,
    keys,
    lost,
    started,
    succeeded,
    wrote,
)


def refusal(key: Key) -> wire.Refusal:
    return wire.Refusal(*key)


async def running(world: World, count: int = 1, **asked: object) -> list[Key]:
    """Submit a task whose instances all run on one node; return their keys."""
    account = await world.account()
    await world.submit(account, count, **asked)
    held = keys(await world.claim(await world.node(), cores=64))
    await world.report(started=[started(key) for key in held])
    return held


async def snapshot(world: World) -> dict[str, list[dict[str, object]]]:
    """Every row that a report could change."""
    chosen = (tables.tasks, tables.instances, tables.attempts, tables.history, tables.chunks, tables.streams)
    found = {table.name: await world.store.read(every, table) for table in chosen}
    return {**found, "accounts": await world.store.read(every, tables.accounts)}


async def test_an_instance_lives_from_its_claim_to_its_end(world: World):
    account = await world.account()
    task_id = await world.submit(account)
    states = [(await world.task(task_id)).state]
    [key] = keys(await world.claim(await world.node()))
    states.append((await world.task(task_id)).state)
    for items in ({"started": [started(key)]}, {"exited": [exited(key)]}, {"ended": [succeeded(key)]}):
        world.now += SECOND
        outcome = await world.report(**items)
        assert outcome.receipt == wire.Receipt()
        states.append((await world.task(task_id)).state)
        await world.store.read(check_all)
    assert states == ["Submitted", "FullyDispatched", "FullyExecuting", "UploadingResults", "Success"]
    assert outcome.ended_tasks == [task_id]
    told = [(kind, detail) for _, kind, detail in await world.store.read(history.of_task, task_id)]
    assert told == [("state", state) for state in states]
    row = await world.instance(task_id, 0)
    assert (row.state, row.started_at, row.exited_at, row.ended_at, row.exit_code) == (
        InstanceState.SUCCEEDED,
        30,
        40,
        world.now,
        0,
    )
    task = await world.task(task_id)
    assert (task.first_started_at, task.ended_at, task.execution_microseconds) == (30, world.now, 10)


async def test_one_report_may_tell_a_whole_life(world: World):
    account = await world.account()
    task_id = await world.submit(account, 2)
    held = keys(await world.claim(await world.node()))
    outcome = await world.report(
        started=[started(key) for key in held],
        outputs=[wrote(key, b"done\n") for key in held],
        exited=[exited(key) for key in held],
        ended=[succeeded(key) for key in held],
    )
    assert outcome.receipt == wire.Receipt()
    task = await world.task(task_id)
    assert (task.state, task.succeeded, task.started) == ("Success", "0-1", "0-1")
    await world.store.read(check_all)


async def test_a_report_that_comes_twice_changes_nothing(world: World):
    held = await running(world, 3, retries=Retries(total=2))
    first, second, third = held
    told = {
        "started": [started(key) for key in held],
        "outputs": [wrote(first, b"one\n"), wrote(first, b"two\n", offset=4), wrote(third, b"x", stream=1)],
        "exited": [exited(first), exited(third, 3)],
        "ended": [succeeded(first), failed(second)],
    }
    await world.report(**told)
    before = await snapshot(world)
    again = await world.report(**told)
    # What ended is nobody's any more; of the rest nothing is refused, and nothing happened.
    assert again.receipt.refused == [refusal(first), refusal(second)]
    assert await snapshot(world) == before
    assert again.ended_tasks == []


async def test_a_stale_attempt_is_refused_and_leaves_nothing(world: World):
    [old] = await running(world)
    await world.lose(old)
    [new] = keys(await world.claim(await world.node()))
    await world.report(started=[started(new)])
    before = await snapshot(world)
    account = before["tasks"][0]["account_id"]
    assert isinstance(account, int)
    file = await world.result(account, "late.txt")
    outcome = await world.report(
        started=[started(old)],
        outputs=[wrote(old, b"late\n")],
        exited=[exited(old)],
        ended=[succeeded(old, files=[file], notes=["late"])],
    )
    assert outcome.receipt == wire.Receipt(refused=[refusal(old)])
    assert await snapshot(world) == before
    assert await world.store.read(every, tables.objects) == []
    await world.store.read(check_all)


async def test_output_of_a_stale_attempt_is_not_taken_for_that_of_the_new_one(world: World):
    [old] = await running(world)
    await world.report(outputs=[wrote(old, b"old\n")])
    await world.lose(old)
    await world.claim(await world.node())
    for offset in (0, 4):
        outcome = await world.report(outputs=[wrote(old, b"late\n", offset=offset)])
        assert outcome.receipt == wire.Receipt(refused=[refusal(old)])
    assert (await world.store.read(seen, old[0], 0, 0))[0] == b"old\n"
    assert (await world.instance(old[0], 0)).stdout_bytes == 0


async def test_an_attempt_that_was_never_given_is_refused(world: World):
    [key] = await running(world)
    await world.submit(await world.account())
    before = await snapshot(world)
    never = [(key[0], 0, 2), (key[0], 7, 1), (key[0] + 1, 0, 1), (999, 0, 1), (key[0], 0, 0)]
    outcome = await world.report(
        started=[started(k) for k in never],
        outputs=[wrote(k, b"x") for k in never],
        ended=[succeeded(k) for k in never],
    )
    assert sorted(outcome.receipt.refused, key=repr) == sorted(map(refusal, never), key=repr)
    assert await snapshot(world) == before


async def test_the_good_part_of_a_report_is_stored_although_another_is_refused(world: World):
    first, second = await running(world, 2)
    await world.lose(first)
    outcome = await world.report(ended=[succeeded(first), succeeded(second)])
    assert outcome.receipt.refused == [refusal(first)]
    assert (await world.instance(second[0], 1)).state == InstanceState.SUCCEEDED
    await world.store.read(check_all)


async def test_a_start_that_comes_after_the_end_changes_nothing(world: World):
    [key] = await running(world)
    await world.report(exited=[exited(key)])
    await world.report(started=[started(key, at=99)])
    row = await world.instance(key[0], 0)
    assert (row.state, row.started_at) == (InstanceState.UPLOADING, 30)


# Output -----------------------------------------------------------------------------------------------------


async def test_output_is_stored_once_whatever_is_sent_again(world: World):
    [key] = await running(world)
    await world.report(outputs=[wrote(key, b"hello "), wrote(key, b"world\n", offset=6)])
    await world.report(outputs=[wrote(key, b"hello world\nand", offset=0), wrote(key, b"d more\n", offset=14)])
    assert (await world.store.read(seen, key[0], 0, 0))[0] == b"hello world\nand more\n"
    row = await world.instance(key[0], 0)
    assert (row.stdout_bytes, row.stderr_bytes) == (21, 0)
    await world.store.read(check_all)


async def test_a_gap_in_the_output_is_named_and_nothing_after_it_is_taken(world: World):
    [key] = await running(world)
    await world.report(outputs=[wrote(key, b"12345"), wrote(key, b"ab", stream=1)])
    outcome = await world.report(
        outputs=[wrote(key, b"9", offset=8), wrote(key, b"67", offset=5)],
        ended=[succeeded(key)],
    )
    assert outcome.receipt == wire.Receipt(known=[wire.Known(*key, 5, 2)])
    assert (await world.store.read(seen, key[0], 0, 0))[0] == b"12345"
    # The end is not taken before its output is whole.
    assert (await world.instance(key[0], 0)).state == InstanceState.RUNNING
    again = await world.report(outputs=[wrote(key, b"6789", offset=5)], ended=[succeeded(key)])
    assert again.receipt == wire.Receipt()
    assert (await world.store.read(seen, key[0], 0, 0))[0] == b"123456789"
    await world.store.read(check_all)


async def test_the_streams_of_all_instances_make_one_with_names_before_the_lines(world: World):
    first, second = await running(world, 2)
    await world.report(outputs=[wrote(first, b"a\nb"), wrote(second, b"x\n"), wrote(first, b"c\n", offset=3)])
    data, position = await world.store.read(seen, first[0], 0, None)
    assert (data, position) == (b"0> a\n0> b\n1> x\n0> c\n", 20)
    await world.report(outputs=[wrote(first, b"err", stream=1)])
    assert await world.store.read(seen, first[0], 1, None) == (b"0> err", 6)
    assert await world.store.read(seen, first[0], 0, 1) == (b"x\n", 2)
    await world.store.read(check_all)


async def test_what_was_read_is_a_prefix_of_what_is_read_later(world: World):
    first, second = await running(world, 2)
    whole = b""
    position = 0
    for turn, key in enumerate([first, second, first, first, second]):
        offset = (await world.instance(key[0], key[1])).stdout_bytes
        await world.report(outputs=[wrote(key, b"%d\nopen" % turn, offset=offset)])
        fresh, position = await world.store.read(seen, key[0], 0, None, position)
        whole += fresh
        assert (await world.store.read(seen, key[0], 0, None))[0] == whole


async def test_output_of_a_new_attempt_follows_that_of_the_old(world: World):
    [old] = await running(world, retries=Retries(total=1))
    await world.report(outputs=[wrote(old, b"half a li")], ended=[failed(old)])
    [new] = keys(await world.claim(await world.node()))
    await world.report(started=[started(new)], outputs=[wrote(new, b"again\n")])
    assert (await world.store.read(seen, new[0], 0, None))[0] == b"0> half a li\n0> again\n"
    assert (await world.instance(new[0], 0)).stdout_bytes == 6
    await world.store.read(check_all)


async def test_above_the_cap_of_an_instance_its_oldest_chunks_go_and_offsets_stay(world: World):
    world.limits = OutputLimits(instance_bytes=10, task_bytes=1000)
    [key] = await running(world)
    await world.report(
        outputs=[wrote(key, b"12345678"), wrote(key, b"9abcd", offset=8), wrote(key, b"e" * 10, stream=1)]
    )
    assert await world.store.read(seen, key[0], 0, 0) == (b"9abcd", 13)
    assert await world.store.read(seen, key[0], 0, None) == (b"9abcd", 16)
    outcome = await world.report(outputs=[wrote(key, b"more", offset=13)])
    assert outcome.receipt == wire.Receipt()
    assert await world.store.read(seen, key[0], 0, 0, 9) == (b"abcdmore", 17)
    assert await world.store.read(seen, key[0], 1, 0) == (b"e" * 10, 10)
    [out, err] = await world.store.read(every, tables.streams)
    assert (out["chunks"], out["size_bytes"], out["stored_bytes"], out["dropped_bytes"]) == (2, 20, 9, 8)
    assert (err["chunks"], err["stored_bytes"], err["dropped_bytes"]) == (1, 10, 0)
    await world.store.read(check_all)


async def test_the_newest_chunk_stays_however_large_it_is(world: World):
    world.limits = OutputLimits(instance_bytes=4, task_bytes=4)
    [key] = await running(world)
    await world.report(outputs=[wrote(key, b"12"), wrote(key, b"3456789", offset=2)])
    assert await world.store.read(seen, key[0], 0, 0) == (b"3456789", 9)
    await world.store.read(check_all)


async def test_the_cap_of_a_task_holds_for_all_its_instances_together(world: World):
    world.limits = OutputLimits(instance_bytes=10, task_bytes=12)
    first, second = await running(world, 2)
    await world.report(outputs=[wrote(first, b"12345678"), wrote(second, b"abcdefgh")])
    assert await world.store.read(seen, first[0], 0, None) == (b"\n1> abcdefgh", 23)
    await world.report(outputs=[wrote(first, b"9", offset=8)])
    assert await world.store.read(seen, first[0], 0, 0) == (b"9", 9)
    assert await world.store.read(seen, first[0], 0, 1) == (b"abcdefgh", 8)
    await world.store.read(check_all)


async def test_what_a_node_dropped_itself_is_a_gap_like_any_other(world: World):
    [key] = await running(world)
    await world.report(outputs=[wrote(key, b"begin")])
    late = wire.Output(*key, 0, 105, b"end\n", skipped=100)
    for _ in range(2):  # told twice, it counts once
        outcome = await world.report(outputs=[late])
        assert outcome.receipt == wire.Receipt()
    assert await world.store.read(seen, key[0], 0, 0) == (b"beginend\n", 109)
    assert await world.store.read(seen, key[0], 0, 0, 50) == (b"end\n", 109)
    assert (await world.store.read(seen, key[0], 0, None))[0] == b"0> begin\n0> end\n"
    too_few = wire.Output(*key, 0, 200, b"x", skipped=90)
    assert (await world.report(outputs=[too_few])).receipt == wire.Receipt(known=[wire.Known(*key, 109, 0)])
    await world.store.read(check_all)


async def test_each_attempt_can_be_read_alone_also_when_its_beginning_is_gone(world: World):
    world.limits = OutputLimits(instance_bytes=10, task_bytes=1000)
    [old] = await running(world, retries=Retries(total=1))
    await world.report(outputs=[wrote(old, b"1234"), wrote(old, b"56", offset=4)], ended=[failed(old)])
    [new] = keys(await world.claim(await world.node()))
    await world.report(started=[started(new)], outputs=[wrote(new, b"abcdef")])
    assert await world.store.read(seen, new[0], 0, 0) == (b"56abcdef", 12)
    assert await world.store.read(seen, new[0], 0, 0, 0, 1) == (b"56", 6)
    assert await world.store.read(seen, new[0], 0, 0, 5, 1) == (b"6", 6)
    assert await world.store.read(seen, new[0], 0, 0, 2, 2) == (b"cdef", 6)
    await world.store.read(check_all)


async def test_a_cursor_is_where_it_was_moved_to(world: World):
    [key] = await running(world)
    row = await world.task(key[0])
    for position in (3, 5):
        await world.store.write(output.move_cursor, row.account_id, key[0], 0, output.MERGED, position)
        assert await world.store.write(output.cursor, key[0], 0, output.MERGED, for_update=True) == position
    assert await world.store.read(output.cursor, key[0], 0, 0) == 0
    assert await world.store.read(output.cursor, key[0], 1, output.MERGED) == 0


# Retries and losses -----------------------------------------------------------------------------------------


async def test_failures_are_tried_again_as_often_as_the_task_allows(world: World):
    held = await running(world, 3, retries=Retries(total=2, per_instance=1))
    task_id = held[0][0]
    # All three fail in one report: two retries are left for three.
    outcome = await world.report(ended=[failed(key) for key in held])
    assert outcome.requeued
    task = await world.task(task_id)
    assert (task.retries, task.failed, task.waiting, task.requeued_count) == (2, "2", "0-1", 2)
    await world.store.read(check_all)
    again = keys(await world.claim(await world.node()))
    assert again == [(task_id, 0, 2), (task_id, 1, 2)]
    await world.report(ended=[failed(again[0]), succeeded(again[1])])
    task = await world.task(task_id)
    assert (task.state, task.failed, task.succeeded, task.retries) == ("Failure", "0,2", "1", 2)
    attempts = await world.store.read(every, tables.attempts)
    assert [(a["number"], a["attempt"], a["error_code"], a["exit_code"]) for a in attempts] == [
        (0, 1, "EXIT_CODE", 3),
        (1, 1, "EXIT_CODE", 3),
    ]
    await world.store.read(check_all)


async def test_a_loss_does_not_eat_a_retry_and_has_a_cap_of_its_own(world: World):
    [key] = await running(world)  # no retries at all
    for attempt in (1, 2):
        outcome = await world.report(ended=[lost((key[0], 0, attempt))])
        assert outcome.requeued
        row = await world.instance(key[0], 0)
        assert (row.state, row.losses, row.failures) == (InstanceState.WAITING, attempt, 0)
        await world.store.read(check_all)
        await world.claim(await world.node())
    await world.report(ended=[lost((key[0], 0, 3))])
    row = await world.instance(key[0], 0)
    assert (row.state, row.error_code) == (InstanceState.FAILED, "NODE_LOST_TOO_OFTEN")
    assert (await world.task(key[0])).state == "Failure"
    await world.store.read(check_all)


async def test_of_what_is_given_back_free_of_charge_only_the_newest_is_kept_and_told_once(world: World):
    account = await world.account()
    task_id = await world.submit(account)
    node = await world.node()
    for attempt, why in enumerate(("8 bytes free", "9 bytes free", "no memory", "no memory"), 1):
        [key] = keys(await world.claim(node))
        assert key == (task_id, 0, attempt)
        await world.report(ended=[given_back(key, why)])
        await world.store.read(check_all)
    [row] = await world.store.read(every, tables.attempts)
    assert (row["attempt"], row["error_code"], row["error_message"]) == (4, "NODE_FAULT", "no memory")
    story = await world.store.read(history.of_task, task_id)
    losses = [msgspec.json.decode(detail) for _, kind, detail in story if kind == "loss"]
    assert [(loss["attempt"], loss["message"]) for loss in losses] == [(1, "8 bytes free"), (3, "no memory")]
    # Losses that count stay, whatever is given back around them.
    [key] = keys(await world.claim(node))
    await world.report(ended=[lost(key)])
    [key] = keys(await world.claim(node))
    await world.report(ended=[given_back(key, "no memory")])
    attempts = await world.store.read(every, tables.attempts)
    assert [(a["attempt"], a["error_code"]) for a in attempts] == [(5, "NODE_LOST"), (6, "NODE_FAULT")]
    assert (await world.instance(task_id, 0)).losses == 1
    await world.store.read(check_all)


async def test_an_end_is_final(world: World):
    [key] = await running(world, retries=Retries(total=9))
    await world.report(ended=[succeeded(key)])
    before = await snapshot(world)
    outcome = await world.report(ended=[failed(key)], started=[started(key)])
    assert outcome.receipt.refused == [refusal(key)]
    await world.lose(key)
    assert await snapshot(world) == before


async def test_instances_are_counted_by_state_and_paged_by_number(world: World):
    held = await running(world, 4)
    await world.report(ended=[succeeded(held[2]), succeeded(held[0]), failed(held[1])])
    task_id = held[0][0]
    assert [row.number for row in await world.store.read(instances.page, task_id, 0, 2)] == [1, 2]
    assert [stored.instance.number for stored in await world.store.read(instances.live_of, task_id)] == [3]
    assert await world.store.read(instances.recount, task_id) == {
        InstanceState.RUNNING: 1,
        InstanceState.SUCCEEDED: 2,
        InstanceState.FAILED: 1,
    }
