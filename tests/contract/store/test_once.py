"""A request that comes twice makes what it makes once, on either database and from two servers."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Engine

from hearth.control.hardware import NO_RULES
from hearth.control.once import HOUR, SLICE, SWEPT, Done, Once, forget_old
from hearth.control.submit import _insert_once
from hearth.domain.errors import HearthError, KeyReused, QuotaExceeded
from hearth.store import tables
from hearth.store.door import Store
from hearth.store.queries import requests, tasks
from hearth.store.queries.requests import Remembered
from tests.contract.store.truth import check_all, every
from tests.contract.store.world import PROFILE, World, a_task


async def ask(world: World, account: int, count: int, request: Once, store: Store | None = None) -> Done:
    items = [(a_task(uuid=world.new_uuid()), PROFILE) for _ in range(count)]
    return await (store or world.store).write(_insert_once, account, items, world.now, request, world.now, NO_RULES)


async def test_copies_from_two_servers_at_once_are_answered_the_same(world: World, engine: Engine):
    account = await world.account()
    second = Store(engine)
    request = Once("key", "digest", is_list=True)
    try:
        asked = (ask(world, account, 5, request, store) for store in (world.store, second) * 4)
        found = await asyncio.gather(*asked)
    finally:
        second.close()
    assert len({tuple(map(str, done.outcomes)) for done in found}) == 1
    assert await world.store.read(tasks.count, account) == 5
    await world.store.read(check_all)


async def test_a_refused_request_leaves_nothing_a_refused_list_is_remembered(world: World):
    account = await world.account(max_tasks=1)
    await ask(world, account, 1, Once("first", "d"))
    for request, remembered in ((Once("single", "d"), False), (Once("list", "d", is_list=True), True)):
        done = await ask(world, account, 1, request)
        [refusal] = done.outcomes
        assert isinstance(refusal, QuotaExceeded)
        assert (await world.store.read(requests.find, account, request.key) is not None) == remembered
    [again] = (await ask(world, account, 1, Once("list", "d", is_list=True))).outcomes
    assert isinstance(again, HearthError)
    assert (again.status, again.message) == (403, refusal.message)
    with pytest.raises(KeyReused):
        await ask(world, account, 1, Once("first", "other"))


async def test_what_is_forgotten_is_what_no_longer_counts(world: World):
    account = await world.account()

    def fill(connection: object) -> None:
        for n in range(SLICE + 2):
            requests.put(connection, account, f"k{n}", Remembered("d", b"[]", world.now + n))  # type: ignore[arg-type]

    await world.store.write(fill)
    assert await world.store.write(forget_old, world.now + SWEPT + SLICE + 1)
    assert not await world.store.write(forget_old, world.now + SWEPT + SLICE + 1)
    assert [row["key"] for row in await world.store.read(every, tables.requests)] == [f"k{SLICE + 1}"]
    assert SWEPT - HOUR > 0
