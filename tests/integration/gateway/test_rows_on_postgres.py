"""The storage commands on PostgreSQL: as dictionaries too, and together without waiting for each other for ever."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hearth.control import uploads as upload_commands
from hearth.control.blobs import BlobStore
from hearth.control.buckets import create_bucket
from hearth.control.objects import copy_object, put_object
from hearth.domain.errors import Missing
from hearth.gateway import listing
from hearth.objects.disk import BlobFiles
from hearth.store.door import Store, open_engine
from hearth.store.tables import metadata
from tests.property.storage_model import Model, add_account, once, require_counts

START = 1_700_000_000_000_000


@pytest.fixture
def opened(postgres_url: str, tmp_path: Path) -> Iterator[tuple[Store, Store, BlobFiles]]:
    """Two servers' stores on one database, and the disk that they share."""
    metadata.create_all(open_engine(postgres_url))
    stores = Store(open_engine(postgres_url)), Store(open_engine(postgres_url))
    disk = BlobFiles(tmp_path / "blobs")
    yield (*stores, disk)
    for store in stores:
        store.close()
    disk.close()


def a_story(seed: int) -> list[tuple[Any, ...]]:
    chance = random.Random(seed)
    names, keys = ["one", "Two_2", "three"], ["a", "a/b", "a/b/c", "a0", "ä", "日本/x", "\U0001f600", "\uffee"]
    sizes = [0, 1, 30_000, 40_000]
    makers = [
        lambda: ("create", chance.choice(names)),
        lambda: ("drop", chance.choice(names)),
        lambda: ("put", chance.choice(names), chance.choice(keys), chance.choice(sizes)),
        lambda: ("publish", chance.choice(names), chance.sample(keys, 3), chance.choice(sizes)),
        lambda: ("delete", chance.choice(names), chance.sample(keys, 2)),
        lambda: ("copy", chance.choice(names), chance.choice(keys), chance.choice(names), chance.choice(keys)),
        lambda: ("begin", chance.choice(names), chance.choice(keys)),
        lambda: ("part", chance.randint(1, 3), chance.choice(sizes)),
        lambda: ("complete",),
        lambda: ("abort",),
        lambda: ("list", chance.choice(names), chance.choice(["", "a", "a/"]), chance.randint(1, 4)),
        lambda: ("sweep", chance.choice([0, 7_200_000_000])),
    ]
    return [chance.choice(makers)() for _ in range(40)]


@pytest.mark.parametrize("seed", range(6))
async def test_storage_behaves_like_dictionaries(
    opened: tuple[Store, Store, BlobFiles], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_commands, "MIN_PART_BYTES", 0)
    monkeypatch.setattr(listing, "_FEW", 2)
    store, _, disk = opened
    clock = [START]
    await Model(store, BlobStore(store, disk, lambda: clock[0]), clock).run(a_story(seed))


async def test_two_servers_that_write_the_same_keys_count_exactly(
    opened: tuple[Store, Store, BlobFiles],
) -> None:
    first, second, disk = opened
    account_id = await first.write(add_account)
    await create_bucket(first, account_id, "a", START)
    await create_bucket(first, account_id, "b", START)

    async def work(store: Store, seed: int) -> None:
        chance = random.Random(seed)
        blobs = BlobStore(store, disk, lambda: START)
        for _ in range(25):
            bucket, key = chance.choice("ab"), chance.choice("xy")
            draft = await blobs.stage(account_id, once(bytes([seed]) * chance.choice([10, 33_000])))
            await put_object(store, bucket, key, draft, {}, START, checksum="")
            try:
                await copy_object(store, account_id, (bucket, key), (chance.choice("ab"), chance.choice("xy")), START)
            except Missing:
                pytest.fail("a key that was put is there")

    await asyncio.gather(*(work(store, seed) for seed, store in enumerate((first, second, first, second))))
    await first.read(require_counts)
