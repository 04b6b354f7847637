"""Why tasks wait: told now, and written down as it changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hearth.control import waits as control
from hearth.control import why
from hearth.control.waits import Waits
from hearth.control.why import Answer
from hearth.domain.errors import Missing
from hearth.scheduler.why import Code
from hearth.store import tables
from hearth.store.queries import tasks
from hearth.store.queries import waits as rows
from tests.contract.store.test_claim import needing
from tests.contract.store.truth import every
from tests.contract.store.world import SECOND, World, given_back, keys, started, succeeded

HEARTBEAT = 3.0


def looking(world: World, **more: Any) -> Waits:
    return Waits(world.store, now=lambda: world.now, heartbeat_seconds=HEARTBEAT, **more)


async def told(world: World, account: int, task_id: int, instance: int | None = None) -> Answer:
    uuid = (await world.task(task_id)).uuid
    return await world.store.read(why.look, account, uuid, instance, world.now, HEARTBEAT)


def codes(answer: Answer) -> list[tuple[str, str, Mapping[str, float | str]]]:
    return [(held.reason.code.value, str(held.numbers), held.reason.numbers) for held in answer.reasons]


async def test_without_nodes_tasks_wait_for_one(world: World):
    account = await world.account()
    task_id = await world.submit(account, 3)
    answer = await told(world, account, task_id)
    assert codes(answer) == [("NO_NODES", "0-2", {})]
    assert answer.message == "NO_NODES: there is no node: start one with `hearth agent`"
    assert (answer.state, answer.past) == ("Submitted", [])


async def test_what_no_node_has_is_named_with_the_best_that_there_is(world: World):
    account = await world.account()
    task_id = await world.submit(account, hardware=needing(64))
    await world.node()
    answer = await told(world, account, task_id)
    assert codes(answer) == [("NO_NODE_FITS", "0", {"constraint": "CORES", "needed": 64, "best": 4})]
    assert answer.message == "NO_NODE_FITS: needs 64 cores, the largest node has 4"


async def test_a_node_that_is_silent_cannot_be_reached_until_its_lease_is_over(world: World):
    account = await world.account()
    task_id = await world.submit(account)
    await world.node()
    world.now += 20 * SECOND
    assert codes(await told(world, account, task_id)) == [("NODE_UNREACHABLE", "0", {"nodes": 1, "secondsSilent": 20})]
    world.now += 600 * SECOND
    assert codes(await told(world, account, task_id)) == [("NO_NODES", "0", {"secondsSilent": 620})]


async def test_what_a_node_gave_back_waits_for_the_reason_that_it_gave(world: World):
    account = await world.account()
    task_id = await world.submit(account, 3)
    node = await world.node()
    first, second = keys(await world.claim(node, cores=2))
    await world.report(ended=[given_back(first, "the disk is full")])
    world.now += SECOND
    await world.report(ended=[given_back(second, "no memory")])
    sentence = "a node gave it back before it began, at no cost, and it waits for a node again: no memory"
    answer = await told(world, account, task_id)
    assert codes(answer) == [
        ("NODES_BUSY", "2", {"nodes": 1, "place": 1, "tasksAhead": 0}),
        ("NODE_FAULT", "0-1", {"instances": 2}),
    ]
    assert (answer.reasons[1].reason.message, answer.reasons[1].since) == (sentence, world.now - SECOND)
    one = await told(world, account, task_id, 1)
    assert (codes(one), one.state) == ([("NODE_FAULT", "1", {"instances": 1})], "Waiting")
    assert one.message == f"NODE_FAULT: {sentence}"
    assert [code for code, _, _ in codes(await told(world, account, task_id, 2))] == ["NODES_BUSY"]
    again = keys(await world.claim(node, cores=2))  # what was is no reason any more
    assert [code for code, _, _ in codes(await told(world, account, task_id, again[0][1]))] == ["STAGING"]


async def test_quotas_are_told_with_what_is_in_use(world: World):
    account = await world.account(max_instances=2, max_cores=100)
    task_id = await world.submit(account, 3)
    node = await world.node()
    await world.claim(node)
    assert codes(await told(world, account, task_id)) == [
        ("QUOTA_INSTANCES", "2", {"limit": 2, "inUse": 2}),
        ("STAGING", "0-1", {"instances": 2, "nodes": 1}),
    ]
    other = await world.account(max_cores=3)
    large = await world.submit(other, hardware=needing(4))
    assert codes(await told(world, other, large)) == [("QUOTA_CORES", "0", {"limit": 3, "inUse": 0, "needed": 4})]
    third = await world.account(max_running_tasks=1)
    first, second = await world.submit(third), await world.submit(third)
    assert keys(await world.claim(node)) == [(first, 0, 1)]
    assert codes(await told(world, third, second)) == [("QUOTA_TASKS", "0", {"limit": 1, "inUse": 1})]


async def test_a_place_in_the_queue_counts_what_nodes_could_run_before_it(world: World):
    ada, bob = await world.account(), await world.account()
    await world.submit(ada, hardware=needing(64))
    await world.submit(ada, 5)
    await world.submit(bob)
    urgent = await world.submit(bob)
    task_id = await world.submit(ada)
    behind = await world.submit(ada)
    await world.store.write(tasks.set_columns, urgent, {"priority": 5})
    await world.node()
    [place] = codes(await told(world, ada, task_id))
    assert place == ("NODES_BUSY", "0", {"nodes": 1, "place": 4, "tasksAhead": 3})
    [place] = codes(await told(world, ada, behind))
    assert place[2]["place"] == 5
    [place] = codes(await told(world, bob, urgent))
    assert place[2]["place"] == 1


async def test_what_runs_or_has_ended_says_so(world: World):
    account = await world.account()
    task_id = await world.submit(account, 2)
    node = await world.node()
    first, second = keys(await world.claim(node))
    await world.report(started=[started(first), started(second)])
    answer = await told(world, account, task_id)
    assert (answer.reasons, answer.message) == ([], "nothing of it waits; of its instances 2 run")
    await world.report(ended=[succeeded(first)])
    assert (await told(world, account, task_id, 0)).message == "it has ended: it succeeded"
    assert (await told(world, account, task_id, 1)).message == "it runs"
    await world.report(ended=[succeeded(second)])
    answer = await told(world, account, task_id)
    assert (answer.state, answer.reasons, answer.message) == ("Success", [], "it has ended: Success")


async def test_one_instance_is_told_by_itself(world: World):
    account = await world.account()
    task_id = await world.submit(account, numbers="3-5")
    await world.claim(await world.node(), cores=1)
    assert [code for code, _, _ in codes(await told(world, account, task_id, 3))] == ["STAGING"]
    assert [code for code, _, _ in codes(await told(world, account, task_id, 5))] == ["NODES_BUSY"]
    await world.cancel(account, task_id)
    assert (await told(world, account, task_id, 5)).message == "it has ended: it was cancelled"
    with pytest.raises(Missing, match="No such instance: 7"):
        await told(world, account, task_id, 7)


async def test_anothers_task_is_not_there(world: World):
    task_id = await world.submit(await world.account())
    with pytest.raises(Missing, match="No such task"):
        await told(world, await world.account(), task_id)


async def test_a_reason_is_written_when_it_changes_and_ended_when_nobody_waits(world: World):
    account = await world.account()
    waits = looking(world)
    begin = world.now
    task_id = await world.submit(account)
    await waits.look()
    world.now += 5 * SECOND
    await waits.look()
    assert len(await world.store.read(every, tables.waits)) == 1
    node = await world.node()
    world.now += 2 * SECOND
    await waits.look()
    world.now += 3 * SECOND
    held = keys(await world.claim(node))
    world.now += 1 * SECOND
    await waits.look()
    found = [
        (row["code"], row["since"] - begin, row["until"] - begin) for row in await world.store.read(every, tables.waits)
    ]
    assert found == [("NO_NODES", 0, 7 * SECOND), ("NODES_BUSY", 7 * SECOND, 11 * SECOND)]
    world.now += 60 * SECOND
    await world.report(started=[started(held[0])])
    past = (await told(world, account, task_id)).past
    assert [(one.code, one.microseconds) for one in past] == [("NO_NODES", 7 * SECOND), ("NODES_BUSY", 3 * SECOND)]


async def test_past_waits_are_those_since_the_tasks_own_submit(world: World):
    account = await world.account()
    waits = looking(world)
    await world.submit(account)
    await waits.look()
    world.now += 100 * SECOND
    task_id = await world.submit(account)
    world.now += 4 * SECOND
    answer = await told(world, account, task_id)
    assert [(one.code, one.microseconds) for one in answer.past] == [("NO_NODES", 4 * SECOND)]
    assert answer.reasons[0].since == world.now - 4 * SECOND


async def test_a_server_that_starts_again_goes_on_with_what_was_written(world: World):
    await world.submit(await world.account())
    await looking(world).look()
    world.now += 9 * SECOND
    await looking(world).look()
    assert [row["until"] for row in await world.store.read(every, tables.waits)] == [None]
    await world.store.write(rows.change, {1: (Code.NODES_BUSY.value, {})}, world.now)
    await looking(world).look()
    assert [row["code"] for row in await world.store.read(every, tables.waits)] == [
        "NO_NODES",
        "NODES_BUSY",
        "NO_NODES",
    ]


async def test_what_will_not_pass_by_itself_is_shown_when_it_changes(world: World):
    shown: list[Mapping[str, int]] = []
    waits = looking(world, show=shown.append)
    account = await world.account()
    await world.node()
    await world.submit(account, hardware=needing(64))
    await waits.look()
    await waits.look()
    task = await world.submit(account, hardware=needing(65))
    await waits.look()
    assert [sorted(one) for one in shown] == [
        ["needs 64 cores, the largest node has 4"],
        ["needs 64 cores, the largest node has 4", "needs 65 cores, the largest node has 4"],
    ]
    await world.cancel(account, task)
    await waits.look()
    assert sorted(shown[-1]) == ["needs 64 cores, the largest node has 4"]


async def test_old_waits_are_forgotten(world: World):
    account = await world.account()
    waits = looking(world)
    task_id = await world.submit(account)
    await waits.look()
    await world.cancel(account, task_id)
    await waits.look()
    still = await world.submit(account)
    await waits.look()
    assert len(await world.store.read(every, tables.waits)) == 2
    world.now += control.KEPT + SECOND
    await waits.look()
    assert [row["until"] for row in await world.store.read(every, tables.waits)] == [None]
    assert (await told(world, account, still)).reasons[0].reason.code is Code.NO_NODES


async def test_old_waits_are_forgotten_behind_others_that_go_on(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(control, "SLICE", 2)
    account = await world.account()
    waits = looking(world)
    await world.node()
    for cores in (64, 65, 66):  # which no node has: they wait for ever
        await world.submit(account, hardware=needing(cores))
    await waits.look()
    for cores in (67, 68, 69):
        task_id = await world.submit(account, hardware=needing(cores))
        await waits.look()
        await world.cancel(account, task_id)
        await waits.look()
    assert len(await world.store.read(every, tables.waits)) == 6
    world.now += control.KEPT + SECOND
    await waits.look()
    found = [(row["since"] < world.now, row["until"]) for row in await world.store.read(every, tables.waits)]
    assert found == [(True, world.now)] * 3 + [(False, None)] * 3  # the node is silent now
