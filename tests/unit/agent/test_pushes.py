"""Resources that are pushed into runs: whole files, news only, never outside, and no results."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hearth.agent.link import Gone, Unreachable
from hearth.agent.loop import Agent
from hearth.agent.manifest import read_manifest
from hearth.agent.results import PUSHING, select
from hearth.agent.runtime.base import Found
from hearth.wire import agent as wire
from tests.unit.agent.test_loop import Machine, Server, a_lease, a_work, eventually, working

RESOURCES = [wire.Resource("bucket")]
KEY = (1, 0, 1)


class Bucket(Server):
    """A server with one bucket."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, str] = {}
        self.blobs: list[str] = []
        self.listing = self._list
        self.fetched: list[str] = []

    def holds(self, **objects: str) -> None:
        self.objects |= {name.replace("__", "/"): text for name, text in objects.items()}

    async def _list(self, task: int) -> list[wire.ResourceFile]:
        files = []
        for path, text in self.objects.items():
            if text not in self.blobs:
                self.blobs.append(text)
            files.append(wire.ResourceFile(path, self.blobs.index(text) + 1, len(text), f"etag-of-{text}"))
        return files

    async def blob(self, task: int, blob: int) -> AsyncIterator[bytes]:
        self.fetched.append(self.blobs[blob - 1])
        yield self.blobs[blob - 1].encode()


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def machine() -> Machine:
    return Machine()


def there(machine: Machine, key: str = "1.0.1") -> dict[str, str]:
    job = machine.running[key].directory
    return {str(path.relative_to(job)): path.read_text() for path in sorted(job.rglob("*")) if path.is_file()}


async def begun(bucket: Bucket, machine: Machine, numbers: str = "0", count: int = 1) -> None:
    bucket.says(works=[a_work(resources=RESOURCES)], leases=[a_lease(numbers=numbers)])
    await eventually(lambda: len(machine.started) == count)


async def pushed(agent: Agent, bucket: Bucket, version: int) -> None:
    bucket.says(updates=[wire.Update(1, version)])
    await eventually(lambda: agent.logic.versions.of(1) == version and not agent.logic.needing(1))
    assert agent.logic.next_sync(1.0).versions == {1: version}


async def test_news_arrive_in_all_runs_of_the_task_and_deletions_do_not(
    tmp_path: Path, bucket: Bucket, machine: Machine
):
    bucket.holds(same="same", changed="old", deleted="x", edited="theirs")
    async with working(tmp_path, bucket, machine) as agent:
        await begun(bucket, machine, "0-1", 2)
        (machine.running["1.0.1"].directory / "same").write_text("mine")
        (machine.running["1.0.1"].directory / "edited").write_text("mine")
        (machine.running["1.0.1"].directory / "made").write_text("mine")
        del bucket.objects["deleted"]
        bucket.holds(changed="newer", edited="push wins", deep__er__new="new")
        await pushed(agent, bucket, 1)
        news = {"changed": "newer", "deep/er/new": "new", "deleted": "x", "edited": "push wins"}
        assert there(machine) == news | {"same": "mine", "made": "mine"}
        assert there(machine, "1.1.1") == news | {"same": "same"}


async def test_what_was_pushed_is_no_result_unless_it_is_edited_later(tmp_path: Path, bucket: Bucket, machine: Machine):
    bucket.holds(one="old")
    async with working(tmp_path, bucket, machine) as agent:
        await begun(bucket, machine)
        bucket.holds(one="new", two="new too", three="more")
        await pushed(agent, bucket, 1)
        job = machine.running["1.0.1"].directory
        manifest = read_manifest(str(job.parent))
        assert select(job, manifest, "", "").files == {}
        (job / "two").write_text("edited")
        assert list(select(job, manifest, "", "").files) == ["two"]


async def test_a_push_that_is_told_again_changes_nothing(tmp_path: Path, bucket: Bucket, machine: Machine):
    bucket.holds(one="old")
    async with working(tmp_path, bucket, machine) as agent:
        await begun(bucket, machine)
        bucket.holds(one="new")
        await pushed(agent, bucket, 1)
        (machine.running["1.0.1"].directory / "one").write_text("edited")
        bucket.says(updates=[wire.Update(1, 1)])
        bucket.says(updates=[wire.Update(1, 1)])
        await eventually(lambda: bucket.next_orders.empty())
        await pushed(agent, bucket, 2)
        assert there(machine) == {"one": "edited"}
        assert bucket.fetched == ["old", "new"]


async def test_a_file_is_replaced_whole(tmp_path: Path, bucket: Bucket, machine: Machine):
    bucket.holds(one="old")
    async with working(tmp_path, bucket, machine) as agent:
        await begun(bucket, machine)
        with (machine.running["1.0.1"].directory / "one").open() as reader:
            bucket.holds(one="something longer")
            await pushed(agent, bucket, 1)
            assert reader.read() == "old"
        assert os.listdir(machine.running["1.0.1"].directory) == ["one"]


async def test_links_that_a_run_made_lead_no_push_out_of_its_folder(tmp_path: Path, bucket: Bucket, machine: Machine):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "target").write_text("untouched")
    bucket.holds(one="old", folder__two="old")
    async with working(tmp_path / "node", bucket, machine) as agent:
        await begun(bucket, machine)
        job = machine.running["1.0.1"].directory
        (job / "one").unlink()
        (job / "one").symlink_to(outside / "target")
        (job / "folder").rename(job / "moved")
        (job / "folder").symlink_to(outside)
        bucket.holds(one="new", folder__two="new", folder__deep__three="new")
        await pushed(agent, bucket, 1)
        assert {path.name: path.read_text() for path in outside.iterdir()} == {"target": "untouched"}
        assert not (job / "one").is_symlink()
        assert there(machine) == {"moved/two": "old", "one": "new"}
        machine.ends("1.0.1")
        await eventually(lambda: bucket.ended)


async def test_the_server_may_be_away_for_a_while(
    tmp_path: Path, bucket: Bucket, machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hearth.agent.pushes.FIRST_PAUSE_SECONDS", 0.0)
    bucket.holds(one="old")
    async with working(tmp_path, bucket, machine) as agent:
        await begun(bucket, machine)
        bucket.holds(one="new")
        failures: list[Exception] = [Unreachable("503"), Unreachable("503")]

        async def listing(task: int) -> list[wire.ResourceFile]:
            if failures:
                raise failures.pop()
            return await bucket._list(task)

        bucket.listing = listing
        await pushed(agent, bucket, 1)
        assert there(machine) == {"one": "new"}


async def test_a_bucket_that_is_gone_leaves_the_runs_as_they_are_and_says_so(
    tmp_path: Path, bucket: Bucket, machine: Machine
):
    bucket.holds(one="old")
    async with working(tmp_path, bucket, machine) as agent:
        await begun(bucket, machine)

        async def listing(task: int) -> list[wire.ResourceFile]:
            raise Gone("No such bucket: bucket")

        bucket.listing = listing
        await pushed(agent, bucket, 1)
        assert there(machine) == {"one": "old"}
        machine.ends("1.0.1")
        await eventually(lambda: bucket.ended)
    assert "pushed resources were left out: No such bucket: bucket" in bucket.ended[KEY].notes


async def test_an_agent_that_died_in_a_push_is_followed_by_one_that_pushes_it(
    tmp_path: Path, bucket: Bucket, machine: Machine
):
    bucket.holds(one="old")
    async with working(tmp_path, bucket, machine):
        await begun(bucket, machine)
        spec = machine.running["1.0.1"]
    (spec.directory / f"{PUSHING}7").write_text("half")
    machine.found = [Found("1.0.1", 1, None)]
    machine.events = asyncio.Queue()
    bucket.holds(one="new")
    async with working(tmp_path, bucket, machine, boot=2) as agent:
        work = a_work(resources=RESOURCES, resources_version=4)
        bucket.says(works=[work], known=[wire.Known(*KEY, 0, 0)], updates=[wire.Update(1, 4)])
        await eventually(lambda: agent.logic.versions.of(1) == 4 and not agent.logic.needing(1))
        assert there(machine) == {"one": "new"}
        assert agent.logic.next_sync(1.0).versions == {1: 4}


async def test_an_attempt_that_is_filled_while_a_push_comes_gets_the_news(
    tmp_path: Path, bucket: Bucket, machine: Machine
):
    bucket.holds(one="old")
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def late(task: int) -> list[wire.ResourceFile]:
        old = await bucket._list(task)
        bucket.listing = bucket._list
        asked.set()
        await may_answer.wait()
        return old

    bucket.listing = late
    async with working(tmp_path, bucket, machine) as agent:
        bucket.says(works=[a_work(resources=RESOURCES)], leases=[a_lease()])
        await asked.wait()
        bucket.holds(one="new")
        bucket.says(updates=[wire.Update(1, 1)])
        await eventually(lambda: agent.logic.versions.of(1) == 1)
        may_answer.set()
        await eventually(lambda: machine.started and not agent.logic.needing(1))
        await eventually(lambda: there(machine) == {"one": "new"})
