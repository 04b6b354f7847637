"""Reading output, fixing a task: each fresh byte is given once, and no change of two is forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import cast

from hearth.control import read_output, update
from hearth.control.read_output import Wanted
from hearth.control.site import Site
from hearth.settings import Settings
from hearth.store import tables
from hearth.store.door import Store, open_engine
from tests.contract.store.truth import every
from tests.contract.store.world import World, keys, wrote


@dataclass
class Reader:
    """What `read` needs of a site."""

    store: Store
    settings: Settings = field(default_factory=Settings)


async def test_fresh_readers_share_the_stream_and_none_gets_what_another_got(world: World, url: str):
    account = await world.account()
    task_id = await world.submit(account)
    uuid = (await world.task(task_id)).uuid
    [key] = keys(await world.claim(await world.node()))
    other = Store(open_engine(url))
    got: list[bytes] = []
    pieces = [b"line %d\n" % number for number in range(20)]
    written = asyncio.Event()

    async def write() -> None:
        for number, piece in enumerate(pieces):
            await world.report(outputs=[wrote(key, piece, offset=sum(map(len, pieces[:number])))])
        written.set()

    async def read(store: Store) -> None:
        site = cast(Site, Reader(store))
        while True:
            over = written.is_set()
            data = (await read_output.read_fresh(site, account, Wanted(uuid, 0, 0))).bytes()
            got.append(data)
            if over and not data:
                return

    await asyncio.gather(write(), read(world.store), read(other))
    assert sorted(b"".join(got).splitlines()) == sorted(b"".join(pieces).splitlines())
    site = cast(Site, Reader(world.store))
    assert (await read_output.read(site, account, Wanted(uuid, 0, 0))).bytes() == b"".join(pieces)
    merged = await read_output.read_fresh(site, account, Wanted(uuid, 0))
    assert merged.bytes() == b"".join(b"0> " + piece for piece in pieces), "the merged stream has a cursor of its own"
    other.close()


async def test_two_changes_of_a_task_at_once_are_both_kept(world: World, url: str):
    account = await world.account()
    task_id = await world.submit(account, tags=("old",))
    uuid = (await world.task(task_id)).uuid
    other = Store(open_engine(url))
    for turn in range(10):
        constants, tags = {"TURN": str(turn)}, [f"turn-{turn}"]
        await asyncio.gather(
            world.store.write(update.update, account, uuid, constants, None, world.now),
            other.write(update.update, account, uuid, None, tags, world.now),
        )
        spec = (await world.task(task_id)).parsed_spec()
        assert spec == replace(spec, constants=constants, tags=tuple(tags))
        assert [row["tag"] for row in await world.store.read(every, tables.task_tags)] == tags
    other.close()
