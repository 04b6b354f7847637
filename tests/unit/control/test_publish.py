"""Results whose keys no bucket can have end their own instance, and nothing else of the report."""

from __future__ import annotations

from pathlib import Path

from hearth.store.door import Store, open_engine
from hearth.store.schema import upgrade
from tests.contract.store.world import World, keys, succeeded


async def test_a_key_that_is_too_long_with_its_prefix_refuses_the_results_of_its_instance_alone(tmp_path: Path):
    engine = open_engine(f"sqlite:///{tmp_path / 'hearth.db'}")
    upgrade(engine)
    store = Store(engine)
    try:
        world = World(store)
        account = await world.account()
        task = await world.submit(account, 2, result_bucket="out", results_prefix="é" * 500)
        first, second = keys(await world.claim(await world.node()))
        long = await world.result(account, "f" * 25)
        short = await world.result(account, "f" * 24)
        outcome = await world.report(ended=[succeeded(first, files=[long]), succeeded(second, files=[short])])
        assert outcome.receipt.refused == []
        refused, shown = [await world.instance(task, number) for number in (0, 1)]
        assert refused.error_code == "RESULTS_LOST"
        assert "has 1025 bytes, at most 1024 can be" in (refused.error_message or "")
        assert shown.error_code is None
    finally:
        store.close()
