"""Retries are shared by the instances of a task and never exceeded, whoever fails at the same moment."""

from __future__ import annotations

import asyncio
import random

import pytest
from sqlalchemy import Engine

from hearth.control import report as reporting
from hearth.domain.instance import InstanceState
from hearth.domain.ranges import RangeSet
from hearth.domain.spec import Retries
from hearth.store import tables
from hearth.store.door import Store
from tests.contract.store.truth import check_all, every
from tests.contract.store.world import LOSSES_ALLOWED, World, failed, keys, lost


async def tell(world: World, store: Store, ended: list[object]) -> None:
    """Report ends by one of two servers."""
    await store.write(
        reporting.report,
        world.message(ended=ended),
        now=world.now,
        losses_allowed=LOSSES_ALLOWED,
        limits=world.limits,
    )


async def test_failures_at_the_same_moment_share_the_budget(world: World, engine: Engine):
    account, node = await world.account(), await world.node()
    task_id = await world.submit(account, 8, retries=Retries(total=3))
    second = Store(engine)
    try:
        held = keys(await world.claim(node, 100))
        await asyncio.gather(
            *(tell(world, store, [failed(key)]) for key, store in zip(held, [world.store, second] * 4, strict=True))
        )
    finally:
        second.close()
    task = await world.task(task_id)
    assert (task.retries, task.waiting_count, task.failed_count) == (3, 3, 5)
    await world.store.read(check_all)


@pytest.mark.parametrize("seed", range(6))
async def test_what_is_tried_again_is_what_both_limits_allow(world: World, engine: Engine, seed: int):
    chance = random.Random(seed)
    total, each, count = chance.choice([None, 0, 2, 7]), chance.choice([None, 0, 1, 3]), chance.randint(1, 8)
    account, node = await world.account(), await world.node()
    task_id = await world.submit(account, count, retries=Retries(total, each))
    second = Store(engine)
    losses = 0
    try:
        while held := keys(await world.claim(node, 100)):
            chance.shuffle(held)
            ends: list[list[object]] = [[], [], []]
            for key in held:
                is_lost = chance.random() < 0.3
                losses += is_lost
                chance.choice(ends).append(lost(key) if is_lost else failed(key))
            servers = (world.store, second, world.store)
            await asyncio.gather(*(tell(world, store, told) for store, told in zip(servers, ends, strict=True) if told))
            await world.store.read(check_all)
    finally:
        second.close()
    task = await world.task(task_id)
    rows = [row for row in await world.store.read(every, tables.instances) if row["task_id"] == task_id]
    assert task.state == "Failure" and len(RangeSet.parse(task.failed)) == count
    given_up = [row for row in rows if row["error_code"] == "NODE_LOST_TOO_OFTEN"]
    assert all(row["losses"] == LOSSES_ALLOWED + 1 for row in given_up)
    assert all(row["error_message"].endswith("this was node loss number 3 of this instance") for row in given_up)
    # Every failure was either tried again or the end of its instance; losses cost nothing of it.
    assert sum(row["losses"] for row in rows) == losses
    assert task.retries == sum(row["failures"] for row in rows) - (count - len(given_up))
    assert task.retries <= (total or 10**9)
    for row in rows:
        assert row["state"] == InstanceState.FAILED
        assert row["failures"] <= (each or 10**9) + 1
        if row not in given_up and task.retries < (total or 10**9):
            assert row["failures"] == (each or 0) + 1  # whoever ended before had used all of their own
    if not total and not each:
        assert task.retries == 0
