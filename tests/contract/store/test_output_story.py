"""A random story of writes, retries, rotation and bundling: every view shows what a model of it says, at any moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from hearth.control.compact import REST_MICROSECONDS, compact_output
from hearth.control.read_output import Wanted, read_fresh
from hearth.control.store_output import OutputLimits
from hearth.domain.output import lead_of, leaves_open, merged
from hearth.domain.spec import Retries
from hearth.store import tables
from hearth.store.queries import output_compact
from hearth.store.queries.output import slack
from hearth.wire import agent as wire
from tests.contract.store.test_fresh_output import Reader
from tests.contract.store.truth import check_all, every, seen
from tests.contract.store.world import Key, World, failed, keys, started, succeeded

PIECES = (b"a", b"line\n", b"two\nlines\n", b"\n", "é€\n".encode(), b"open ", b"x" * 40 + b"\n")
NO_LIMITS = OutputLimits(1 << 30, 1 << 30)


@dataclass
class Model:
    """What instances wrote: every byte of both views, None where rotation took it."""

    merged: list[int | None] = field(default_factory=list)
    mine: dict[int, list[int | None]] = field(default_factory=dict)
    begins: dict[tuple[int, int], int] = field(default_factory=dict)  # of attempts in their instance's view
    chunks: list[tuple[int, int, int, bytes]] = field(default_factory=list)  # kept: place, instance, place there, data
    tail: tuple[int, int] | None = None

    def write(self, number: int, attempt: int, data: bytes) -> None:
        lead = lead_of(self.tail, number, attempt)
        own = self.mine.setdefault(number, [])
        self.begins.setdefault((number, attempt), len(own))
        self.chunks.append((len(self.merged), number, len(own), merged(data, number, lead)))
        self.merged.extend(merged(data, number, lead))
        own.extend(data)
        self.tail = (number, attempt) if leaves_open(data) else None

    def skip(self, number: int, attempt: int, count: int) -> None:
        """Bytes that the node dropped itself."""
        own = self.mine.setdefault(number, [])
        self.begins.setdefault((number, attempt), len(own))
        self.merged.extend([None] * count)
        own.extend([None] * count)
        if self.tail is not None:
            self.tail = (-1, 0)

    def keep(self, positions: set[int]) -> None:
        """Forget the chunks that are not among these any more."""
        gone = [chunk for chunk in self.chunks if chunk[0] not in positions]
        self.chunks = [chunk for chunk in self.chunks if chunk[0] in positions]
        for place, number, own, shown in gone:
            self.merged[place : place + len(shown)] = [None] * len(shown)
            after = [c[2] for c in self.chunks if c[1] == number]
            self.mine[number][: after[0] if after else len(self.mine[number])] = [None] * (
                after[0] if after else len(self.mine[number])
            )
            assert own <= (after[0] if after else len(self.mine[number]))

    def view(self, number: int | None, since: int, attempt: int | None = None) -> tuple[bytes, int]:
        whole = self.merged if number is None else self.mine.get(number, [])
        if attempt is not None and number is not None:
            begin = self.begins.get((number, attempt), len(whole))
            later = [b for (n, a), b in self.begins.items() if n == number and a > attempt]
            whole = whole[begin : min(later, default=len(whole))]
        return bytes(byte for byte in whole[since:] if byte is not None), len(whole)


async def check(world: World, task_id: int, model: Model, chance: Random) -> None:
    """Compare every view from some offsets on."""
    await world.store.read(check_all)
    for number in (None, 0, 1, 2):
        length = len(model.merged if number is None else model.mine.get(number, []))
        for since in (0, chance.randint(0, length), length, length + 5):
            shown = await world.store.read(seen, task_id, 0, number, since)
            assert shown == model.view(number, since), (number, since)
        if number is not None:
            for attempt in {a for n, a in model.begins if n == number}:
                shown = await world.store.read(seen, task_id, 0, number, 1, attempt)
                assert shown == model.view(number, 1, attempt), (number, attempt)


def check_caps(rows: list[dict[str, Any]], limits: OutputLimits) -> None:
    """No more is kept than the caps allow, but for the newest chunk."""
    for number in {row["number"] for row in rows}:
        sizes = [len(row["data"]) for row in rows if row["number"] == number]
        assert sum(sizes) <= limits.instance_bytes + slack(limits.instance_bytes) or len(sizes) == 1
    assert sum(len(row["data"]) for row in rows) <= limits.task_bytes + slack(limits.task_bytes) or len(rows) == 1


@pytest.mark.parametrize(
    "limits", [NO_LIMITS, OutputLimits(60, 1 << 30), OutputLimits(1 << 30, 150), OutputLimits(80, 170)]
)
async def test_every_view_shows_what_was_written_and_not_dropped(
    world: World, limits: OutputLimits, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(output_compact, "BUNDLE_BYTES", 50)
    monkeypatch.setattr(output_compact, "STEP_ROWS", 7)
    chance = Random(7)
    world.limits = limits
    account = await world.account()
    task_id = await world.submit(account, 3, retries=Retries(total=4))
    uuid = (await world.task(task_id)).uuid
    node = await world.node()
    live: dict[int, Key] = {}
    sent: dict[Key, int] = {}
    model, fresh = Model(), b""
    reader = Reader(world.store)

    async def lease() -> None:
        for key in keys(await world.claim(node, cores=8)):
            live[key[1]] = key
            await world.report(started=[started(key)])

    await lease()
    for turn in range(45):
        outputs, ended = [], []
        for _ in range(chance.randint(1, 3)):
            key = live[chance.choice(sorted(live))]
            data = b"".join(chance.choices(PIECES, k=chance.randint(1, 3)))
            skipped = chance.choice((0, 0, 0, 0, 30, 90))
            if skipped:
                model.skip(key[1], key[2], skipped)
            begin = sent.get(key, 0) + skipped
            outputs.append(wire.Output(*key, 0, begin, data, skipped))
            sent[key] = begin + len(data)
            model.write(key[1], key[2], data)
        if turn in (15, 30):
            key = live.pop(chance.choice(sorted(live)))
            ended.append(failed(key))
        await world.report(outputs=outputs, ended=ended)
        rows = await world.store.read(every, tables.chunks)
        model.keep({row["position"] for row in rows})
        check_caps(rows, limits)
        if ended:
            await lease()
        if limits is NO_LIMITS and turn % 7 == 0:
            fresh += (await read_fresh(reader, account, Wanted(uuid, 0))).bytes()  # type: ignore[arg-type]
        if turn % 15 == 14:
            await check(world, task_id, model, chance)
    await world.report(ended=[succeeded(key) for key in live.values()])
    await check(world, task_id, model, chance)

    before = await world.store.read(every, tables.chunks)
    assert not await compact_output(world.store, world.now), "not before its readers had time"
    assert await world.store.read(every, tables.chunks) == before
    steps = 0
    while await world.store.write(output_compact.step, task_id, 0):
        steps += 1
        await check(world, task_id, model, chance)
    after = await world.store.read(every, tables.chunks)
    assert len(after) <= len(before)
    assert limits is not NO_LIMITS or (steps > 3 and len(after) < len(before))
    if limits is NO_LIMITS:
        fresh += (await read_fresh(reader, account, Wanted(uuid, 0))).bytes()  # type: ignore[arg-type]
        assert fresh == model.view(None, 0)[0]
    assert not await world.store.write(output_compact.step, task_id, 0)
    assert await world.store.read(every, tables.chunks) == after, "what is bundled is left alone"


async def test_only_what_gains_by_it_is_bundled(world: World):
    account = await world.account()
    node = await world.node()
    task_ids = [await world.submit(account, name=name) for name in ("short", "long", "running")]
    held = keys(await world.claim(node, cores=8))
    for key, count in zip(held, (31, 40, 40), strict=True):
        pieces = [wire.Output(*key, 0, 5 * turn, b"line\n") for turn in range(count)]
        await world.report(started=[started(key)], outputs=pieces)
    await world.report(ended=[succeeded(key) for key in held[:2]])
    world.now += REST_MICROSECONDS + 1
    assert not await compact_output(world.store, world.now)
    streams = {row["task_id"]: row["chunks"] for row in await world.store.read(every, tables.streams)}
    assert streams == dict(zip(task_ids, (31, 1, 40), strict=True))
    assert await world.store.read(seen, task_ids[1], 0, 0) == (b"line\n" * 40, 200)
    await world.store.read(check_all)
