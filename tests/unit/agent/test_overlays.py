"""Large resources are shown, not copied: what a run makes of them stays with it, and mounts do not outlive runs."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import pytest

from hearth.agent.disk import DiskRules
from hearth.agent.folders import remove
from hearth.agent.link import Link
from hearth.agent.loop import Agent
from hearth.agent.manifest import SHOWN, Manifest
from hearth.agent.mounts import Mounts
from hearth.agent.resources import Method, Resources
from hearth.agent.results import select
from hearth.agent.runtime.base import Runtime
from hearth.wire import agent as wire
from hearth.wire.agent import ResourceFile
from tests.unit.agent.test_loop import OFFER, Machine, a_lease, a_work, eventually
from tests.unit.agent.test_loop import Server as Loop

TASK = 1
RULES = DiskRules(overlays=True, free_bytes=0)


class Server:
    """A bucket with three files."""

    files: tuple[ResourceFile, ...] = tuple(
        ResourceFile(path, blob, 5, f"etag-{blob}") for blob, path in enumerate(["data", "deep/file", "deep/other"], 1)
    )

    async def resources(self, task: int) -> list[ResourceFile]:
        return list(self.files)

    async def blob(self, task: int, blob: int) -> AsyncIterator[bytes]:
        yield b"blob%d" % blob


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a node that can mount overlays, also for small resources."""
    why_not = Mounts().why_not(tmp_path)
    if why_not is not None:
        pytest.skip(why_not)
    monkeypatch.setattr("hearth.agent.resources.can_clone", lambda folder: False)
    monkeypatch.setattr("hearth.agent.resources.OVERLAY_FILES", 1)
    yield tmp_path
    Mounts().clean(tmp_path)


def resources(node: Path) -> Resources:
    made = Resources(node, cast(Link, Server()), RULES)
    made.cache.use("here")
    assert made.method is Method.OVERLAY
    return made


async def filled(made: Resources, node: Path, name: str) -> tuple[Path, Manifest]:
    run = node / "runs" / name
    (run / "job").mkdir(parents=True)
    (run / "job").chmod(0o777)
    return run, await made.place(TASK, run, name)


def there(run: Path) -> dict[str, str]:
    job = run / "job"
    return {str(path.relative_to(job)): path.read_text() for path in job.rglob("*") if path.is_file()}


async def test_what_one_run_writes_no_other_sees(node: Path):
    made = resources(node)
    one, _ = await filled(made, node, "1")
    with (one / "job/data").open("a") as file:
        file.write(" and more")
    (one / "job/deep/file").unlink()
    (one / "job/deep").rename(one / "job/moved")
    assert there(one) == {"data": "blob1 and more", "moved/other": "blob3"}
    two, _ = await filled(made, node, "2")
    assert there(two) == {"data": "blob1", "deep/file": "blob2", "deep/other": "blob3"}
    assert [(node / f"cache/here/{blob}").read_text() for blob in (1, 2, 3)] == ["blob1", "blob2", "blob3"]


async def test_results_are_what_was_created_or_edited(node: Path):
    run, manifest = await filled(resources(node), node, "1")
    assert {placed.changed_ns for placed in manifest.placed.values()} == {SHOWN}
    job = run / "job"
    assert select(job, manifest, "", "").files == {}
    (job / "data").write_text("blob!")
    (job / "new").write_text("x")
    os.utime(job / "deep/file")
    assert list(select(job, manifest, "", "").files) == ["data", "deep/file", "new"]  # the ETag of parts says nothing


async def test_folders_that_changed_places_are_no_longer_what_was_put_there(
    node: Path, monkeypatch: pytest.MonkeyPatch
):
    files = [ResourceFile("a/file", 1, 5, "etag-1"), ResourceFile("b/file", 2, 5, "etag-2")]
    monkeypatch.setattr(Server, "files", tuple(files))
    run, manifest = await filled(resources(node), node, "1")
    job = run / "job"
    (job / "a").rename(job / "tmp")
    (job / "b").rename(job / "a")
    (job / "tmp").rename(job / "b")
    assert there(run) == {"a/file": "blob2", "b/file": "blob1"}
    assert list(select(job, manifest, "", "").files) == ["a/file", "b/file"]


async def test_overlays_of_runs_that_are_no_more_are_removed_and_others_stay(node: Path):
    made = resources(node)
    (one, kept), (two, _) = await filled(made, node, "1"), await filled(made, node, "2")
    (one / "job/new").write_text("x")
    again = Resources(node, cast(Link, Server()), RULES)
    assert again.recover([(str(one), "1", kept)]) == 1
    again.cache.use("here")
    assert there(one) == {"data": "blob1", "deep/file": "blob2", "deep/other": "blob3", "new": "x"}
    assert there(two) == {}
    remove(str(two))
    assert not two.exists()


async def test_a_second_try_begins_anew(node: Path):
    made = resources(node)
    run, _ = await filled(made, node, "1")
    (run / "job/left").write_text("of a try that failed")
    await made.place(TASK, run, "1")
    assert there(run) == {"data": "blob1", "deep/file": "blob2", "deep/other": "blob3"}
    assert len(made.mounts.below(node)) == 1


async def test_small_resources_are_copied(node: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hearth.agent.resources.OVERLAY_FILES", 4)
    made = resources(node)
    run, manifest = await filled(made, node, "1")
    assert (manifest.tree, made.mounts.below(node)) == ("", [])
    assert there(run) == {"data": "blob1", "deep/file": "blob2", "deep/other": "blob3"}


def test_a_node_that_may_not_mount_says_why_it_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hearth.agent.resources.can_clone", lambda folder: False)
    made = Resources(tmp_path, cast(Link, Server()), DiskRules(overlays=False))
    assert made.method is Method.COPY
    assert made.details == "each run gets copies of its resources (runs do not see what the agent mounts)"


async def test_an_overlay_whose_run_cannot_be_written_down_is_taken_away(node: Path, monkeypatch: pytest.MonkeyPatch):
    def full(folder: str, manifest: Manifest) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hearth.agent.preparing.write_manifest", full)
    server, machine = Loop(), Machine()
    server.listing = Server().resources
    agent = Agent(
        node="n", boot=1, offer=OFFER, root=node, link=cast(Link, server), runtime=cast(Runtime, machine), disk=RULES
    )
    server.blob = Server().blob  # type: ignore[method-assign]
    running = asyncio.create_task(agent.run())
    server.says(works=[a_work(resources=[wire.Resource("bucket")])], leases=[a_lease()])
    await eventually(lambda: server.ended)
    await eventually(lambda: not agent.logic.attempts and not Mounts().below(node))
    agent.leave()
    await running
    assert server.ended[(1, 0, 1)].returned
