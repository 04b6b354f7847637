"""Snapshots of running instances: what they have made, as it was at one moment, and no hindrance to their ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hearth.agent.link import NotOurs, Unreachable
from hearth.agent.snapshot_parts import ENDED_BEFORE
from hearth.wire import agent as wire
from tests.unit.agent.test_loop import Key, Machine, Server, a_lease, a_work, eventually, working

KEY = (1, 0, 1)


class Store(Server):
    """A server that keeps what was uploaded, and what was told of snapshots."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[wire.SnapshotPart] = []
        self.blobs: list[bytes] = []

    async def report(self, message: wire.Report) -> wire.Receipt:
        self.parts += message.snapshots
        return await super().report(message)

    async def put_result(self, key: Key, body: AsyncIterator[bytes], size: int) -> wire.ResultFile:
        data = b""
        async for block in body:
            data += block
            await self.put()
        self.blobs.append(data)
        return wire.ResultFile("", len(self.blobs) - 1, len(data), "etag")

    def over(self, snapshot: int = 5) -> wire.SnapshotPart | None:
        return next((part for part in self.parts if part.over and part.snapshot == snapshot), None)

    def files(self, snapshot: int = 5) -> dict[str, bytes]:
        part = self.over(snapshot)
        assert part is not None
        return {file.path: self.blobs[file.blob] for file in part.files}


@pytest.fixture
def server() -> Store:
    return Store()


@pytest.fixture
def machine() -> Machine:
    return Machine()


async def begun(server: Store, machine: Machine, **files: str) -> Path:
    server.says(works=[a_work(constants={"NAME": "b"})], leases=[a_lease()])
    await eventually(lambda: machine.started)
    job = machine.running["1.0.1"].directory
    for name, text in files.items():
        (job / name).write_text(text)
    return job


def an_order(snapshot: int = 5, whitelist: str = "", blacklist: str = "") -> wire.Snapshot:
    return wire.Snapshot(snapshot, 1, 1, "0", whitelist, blacklist)


async def test_what_a_run_has_made_is_uploaded_while_it_runs(tmp_path: Path, server: Store, machine: Machine):
    async with working(tmp_path, server, machine) as agent:
        await begun(server, machine, a="first", b="second")
        await eventually(lambda: agent.logic.attempts[KEY].started_at)
        server.says(snapshots=[an_order(), an_order(6, "^${NAME}$"), an_order(7, "", "b")])
        await eventually(lambda: all(server.over(number) for number in (5, 6, 7)))
        assert [server.files(number) for number in (5, 6, 7)] == [
            {"a": b"first", "b": b"second"},
            {"b": b"second"},
            {"a": b"first"},
        ]
        assert machine.running
    part = server.over()
    assert part is not None
    assert (part.size_bytes, part.transferred_bytes, part.error) == (11, 11, "")


async def test_an_order_that_comes_again_uploads_once(tmp_path: Path, server: Store, machine: Machine):
    async with working(tmp_path, server, machine) as agent:
        await begun(server, machine, a="x")
        await eventually(lambda: agent.logic.attempts[KEY].started_at)
        for _ in range(3):
            server.says(snapshots=[an_order()])
        await eventually(lambda: server.over() and server.next_orders.empty())
        server.says(snapshots=[an_order()])
        await eventually(lambda: server.next_orders.empty())
    assert server.blobs == [b"x"]


async def test_an_end_does_not_wait_for_a_snapshot(tmp_path: Path, server: Store, machine: Machine):
    waiting, may_go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        waiting.set()
        await may_go_on.wait()
        raise NotOurs("1.0.1")

    async with working(tmp_path, server, machine) as agent:
        await begun(server, machine, a="x")
        await eventually(lambda: agent.logic.attempts[KEY].started_at)
        server.put = slow
        server.says(snapshots=[an_order()])
        await waiting.wait()
        machine.ends("1.0.1")
        await eventually(lambda: KEY in server.ended)
        await eventually(lambda: not agent.logic.attempts)
        assert server.over() is None
        may_go_on.set()
        await eventually(server.over)
        await eventually(lambda: not agent._busy)
    part = server.over()
    assert part is not None
    assert part.error == "the instance ended before its snapshot was whole"


async def test_an_instance_that_has_ended_has_no_snapshot(tmp_path: Path, server: Store, machine: Machine):
    async with working(tmp_path, server, machine):
        await begun(server, machine, a="x")
        machine.ends("1.0.1")
        await eventually(lambda: KEY in server.ended)
        server.says(snapshots=[an_order()])
        await eventually(server.over)
    part = server.over()
    assert part is not None
    assert part.error in (ENDED_BEFORE, "the instance no longer runs on this node")


async def test_a_filter_that_is_none_is_the_error_of_the_part(tmp_path: Path, server: Store, machine: Machine):
    async with working(tmp_path, server, machine) as agent:
        await begun(server, machine, a="x")
        await eventually(lambda: agent.logic.attempts[KEY].started_at)
        server.says(snapshots=[an_order(whitelist="(")])
        await eventually(server.over)
        part = server.over()
        assert part is not None
        assert "is not a regular expression" in part.error
        assert machine.running


async def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, server: Store, machine: Machine):
    async with working(tmp_path, server, machine) as agent:
        job = await begun(server, machine)
        await eventually(lambda: agent.logic.attempts[KEY].started_at)
        (job / "large").write_bytes(b"a" * (3 << 20))
        reads = []

        async def rewritten() -> None:
            reads.append(1)
            if len(reads) == 1:
                (job / "large").write_bytes(b"b" * (3 << 20))

        server.put = rewritten
        server.says(snapshots=[an_order()])
        await eventually(server.over)
    assert server.files() == {"large": b"b" * (3 << 20)}


async def test_a_log_that_always_grows_is_taken_as_far_as_it_was(tmp_path: Path, server: Store, machine: Machine):
    async with working(tmp_path, server, machine) as agent:
        job = await begun(server, machine)
        await eventually(lambda: agent.logic.attempts[KEY].started_at)
        (job / "log").write_bytes(b"a" * (2 << 20))

        async def written() -> None:
            with (job / "log").open("ab") as log:
                log.write(b"more")

        server.put = written
        server.says(snapshots=[an_order()])
        await eventually(server.over)
    assert set(server.files()) == {"log"}
    assert server.files()["log"].startswith(b"a" * (2 << 20))


async def test_an_upload_is_tried_again_while_the_server_cannot_take_it(
    tmp_path: Path, server: Store, machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hearth.agent.shared.RETRY_SECONDS", (0.0,))
    monkeypatch.setattr("hearth.agent.snapshots.UPLOAD_TRIES", 3)
    failures = [Unreachable("507 the disk is full")] * 2

    async def full() -> None:
        if failures:
            raise failures.pop()

    async with working(tmp_path, server, machine) as agent:
        await begun(server, machine, a="x")
        await eventually(lambda: agent.logic.attempts[KEY].started_at)
        server.put = full
        server.says(snapshots=[an_order()])
        await eventually(server.over)
        failures += [Unreachable("507 the disk is full")] * 3
        server.says(snapshots=[an_order(6)])
        await eventually(lambda: server.over(6))
    assert server.files() == {"a": b"x"}
    part = server.over(6)
    assert part is not None
    assert part.error == "its files could not be uploaded: 507 the disk is full"


async def test_links_out_of_the_folder_are_not_read(tmp_path: Path, server: Store, machine: Machine):
    (tmp_path / "secret").write_text("secret")
    async with working(tmp_path / "node", server, machine) as agent:
        job = await begun(server, machine, mine="x")
        await eventually(lambda: agent.logic.attempts[KEY].started_at)
        (job / "stolen").symlink_to(tmp_path / "secret")
        (job / "folder").symlink_to(tmp_path)
        server.says(snapshots=[an_order()])
        await eventually(server.over)
    assert server.files() == {"mine": b"x"}
