"""Whatever is asked and told, in whatever order and how often: counters, ranges and states are what the rows say."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from hearth.control import sync
from hearth.control.delete import sweep_deleted
from hearth.domain.errors import HearthError
from hearth.domain.instance import InstanceState
from hearth.domain.ranges import RangeSet
from hearth.domain.spec import Retries
from hearth.domain.task import TaskState
from hearth.store import tables
from tests.contract.store.truth import check_all, every
from tests.contract.store.world import (
    LEASE,
    LOSSES_ALLOWED,
    SECOND,
    Key,
    World,
    exited,
    failed,
    keys,
    lost,
    started,
    succeeded,
    wrote,
)

MINIMUM_CORES = "MinimumCoreHardwareConstraint"
STEPS = 120
MAX_INSTANCES, MAX_CORES, MAX_BYTES = 12, 9, 60


@dataclass
class Chance:
    """Two accounts and two nodes that do as chance says; nodes also repeat themselves and speak of what was lost."""

    world: World
    random: random.Random
    accounts: list[int] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    given: list[Key] = field(default_factory=list)
    told: list[dict[str, list[Any]]] = field(default_factory=list)
    ended: dict[tuple[int, int], tuple[object, ...]] = field(default_factory=dict)

    async def begin(self) -> None:
        limits = {"max_instances": MAX_INSTANCES, "max_cores": MAX_CORES, "max_bucket_bytes": MAX_BYTES}
        self.accounts = [await self.world.account(**limits) for _ in range(2)]
        self.nodes = [await self.world.node(name) for name in ("one", "two")]

    async def step(self) -> None:
        """Do one thing."""
        self.world.now += self.random.randrange(1, 5 * SECOND)
        choices = {
            self.submit: 4,
            self.claim: 8,
            self.tell: 20,
            self.repeat: 3,
            self.lose: 2,
            self.cancel: 2,
            self.sweep: 2,
            self.expire: 1,
        }
        [act] = self.random.choices(list(choices), weights=list(choices.values()))
        await act()

    async def submit(self) -> None:
        first = self.random.randrange(5)
        await self.world.submit(
            self.random.choice(self.accounts),
            numbers=f"{first}-{first + self.random.randrange(12)}",
            retries=Retries(self.random.choice([None, 3]), self.random.choice([None, 1])),
            result_bucket=self.random.choice(["", "out"]),
            hardware=(
                {"discriminator": "MinimumCoreHardwareConstraint", "coreCount": self.random.choice([1, 1, 2.5])},
            ),
            upload_on_cancel=self.random.choice([True, False]),
        )

    async def claim(self) -> None:
        node = self.random.choice(self.nodes)
        self.given += keys(await self.world.claim(node, cores=self.random.randrange(8), ahead=self.random.randrange(3)))

    async def tell(self) -> None:
        if not self.given:
            return
        items: dict[str, list[Any]] = {"started": [], "outputs": [], "exited": [], "ended": []}
        for key in self.random.sample(self.given, min(len(self.given), self.random.randrange(1, 5))):
            if self.random.random() < 0.6:
                items["started"].append(started(key, self.world.now))
            if self.random.random() < 0.5:
                data = self.random.choice([b"a line\n", b"no end", b"\n", b"two\nlines\n"])
                items["outputs"].append(
                    wrote(key, data, offset=self.random.choice([0, 0, 6, 7]), stream=self.random.randrange(2))
                )
            if self.random.random() < 0.4:
                items["exited"].append(exited(key, self.random.randrange(2), self.world.now))
            if self.random.random() < 0.4:
                items["ended"].append(await self._end(key))
        self.told.append(items)
        await self.world.report(**items)

    async def _end(self, key: Key) -> Any:
        how = self.random.choice([succeeded, succeeded, failed, lost])
        if how is lost:
            return lost(key)
        account = self.random.choice(self.accounts)  # sometimes somebody else's blob
        paths = self.random.sample(["a", "b", "c"], self.random.randrange(3))
        return how(key, files=[await self.world.result(account, p, b"x" * self.random.randrange(30)) for p in paths])

    async def repeat(self) -> None:
        if self.told:
            await self.world.report(**self.random.choice(self.told))

    async def lose(self) -> None:
        if self.given:
            await self.world.lose(self.random.choice(self.given))

    async def cancel(self) -> None:
        tasks = await self.world.store.read(every, tables.tasks)
        if tasks:
            task = self.random.choice(tasks)
            try:
                await self.world.cancel(task["account_id"], task["id"], delete=self.random.random() < 0.5)
            except HearthError:
                assert task["deleted_at"] is not None

    async def sweep(self) -> None:
        await self.world.store.write(sweep_deleted)

    async def expire(self) -> None:
        self.world.now += LEASE
        for name in ("one", "two"):
            if self.random.random() < 0.5:
                said = self.world.said(name, counter=self.world.now)
                await self.world.store.write(sync.greet, said, self.world.now, self.world.now + LEASE)
        await self.world.store.write(sync.expire, self.world.now, not_before=0, losses_allowed=LOSSES_ALLOWED)

    async def check(self) -> None:
        """Hold what must hold now, and what was final before."""
        await self.world.store.read(check_all)
        for account in await self.world.store.read(every, tables.accounts):
            assert account["live_instances"] <= MAX_INSTANCES
            assert account["live_cores"] <= MAX_CORES + 1e-6
            assert account["bucket_bytes"] <= MAX_BYTES
        rows = {(r["task_id"], r["number"]): r for r in await self.world.store.read(every, tables.instances)}
        for key, was in self.ended.items():
            if key in rows:  # its task may have been swept
                assert _end_of(rows[key]) == was, "an end is final"
        self.ended.update({k: _end_of(r) for k, r in rows.items() if InstanceState(r["state"]).is_final})

    async def finish(self) -> None:
        """Let everything that waits run to its end."""
        for _ in range(200):
            live = [r for r in await self.world.store.read(every, tables.instances) if r["node_id"] is not None]
            ends = [succeeded((r["task_id"], r["number"], r["attempt"])) for r in live]
            await self.world.report(ended=ends)
            if not await self.world.claim(self.nodes[0], cores=64) and not live:
                return
        raise AssertionError("something never ends")


def _end_of(row: dict[str, Any]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("state", "attempt", "ended_at", "exit_code", "error_code", "results"))


@pytest.mark.parametrize("seed", range(4))
async def test_rows_agree_with_each_other_after_every_step(world: World, seed: int):
    chance = Chance(world, random.Random(seed))
    await chance.begin()
    for _ in range(STEPS):
        await chance.step()
        await chance.check()
    await chance.finish()
    await chance.check()
    for task in await world.store.read(every, tables.tasks):
        assert TaskState(task["state"]).is_final, task
        assert task["waiting"] == "", task
        ended = [RangeSet.parse(task[name]) for name in ("succeeded", "failed", "cancelled")]
        assert ended[0] | ended[1] | ended[2] == RangeSet.parse(task["numbers"])
