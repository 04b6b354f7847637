"""Writes tasks into the database of argv[1] and says each on standard output once it is acknowledged, until killed."""

import asyncio
import sys

from hearth.store.door import Store, open_engine
from hearth.store.schema import upgrade
from tests.contract.store.world import World


async def main() -> None:
    """Submit, claim and report, several at a time, for ever."""
    engine = open_engine(sys.argv[1])
    upgrade(engine)
    world = World(Store(engine), prefix=sys.argv[2])
    account = await world.account()

    async def submit_for_ever() -> None:
        while True:
            task_id = await world.submit(account, 5)
            print(task_id, flush=True)

    await asyncio.gather(*(submit_for_ever() for _ in range(8)))


asyncio.run(main())
