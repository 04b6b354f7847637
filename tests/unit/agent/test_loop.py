"""The agent's program with a server and a runtime that do as they are told."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from hearth.agent import logic
from hearth.agent.attempt import Phase
from hearth.agent.disk import Crowded, DiskRules
from hearth.agent.lease import StoredLease, boot_seconds
from hearth.agent.link import Link, Unreachable
from hearth.agent.loop import Agent
from hearth.agent.manifest import Manifest
from hearth.agent.resources import Resources
from hearth.agent.runtime.base import Exited, Found, Image, Lost, Refused, RunEvent, RunSpec, Runtime, Started, Usage
from hearth.wire import agent as wire

OFFER = wire.Offer(2.0, 1 << 30, "sandbox", isolated=True, takes_images=False)
DEADLINE = 20.0
Key = tuple[int, int, int]


async def eventually(happened: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(DEADLINE):
        while not happened():
            await asyncio.sleep(0.005)


class Server:
    """Answers what a test has queued; takes every report."""

    def __init__(self) -> None:
        self.next_orders: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.ended: dict[Key, wire.Ended] = {}
        self.output: dict[Key, bytes] = {}
        self.listing: Callable[[int], Awaitable[list[wire.ResourceFile]]]
        self.stored: dict[str, bytes] = {}
        self.put: Callable[[], Awaitable[None]] = self._nothing

    async def _nothing(self) -> None:
        pass

    def says(self, **what: Any) -> None:
        self.next_orders.put_nowait(what)

    async def sync(self, message: wire.Sync, timeout_seconds: float) -> wire.Orders:
        what = await self.next_orders.get()
        return wire.Orders("here", message.counter, message.seen + 1, 600.0, 3.0, **what)

    async def report(self, message: wire.Report) -> wire.Receipt:
        for piece in message.outputs:
            key = (piece.task, piece.number, piece.attempt)
            self.output[key] = self.output.get(key, b"") + piece.data
        for end in message.ended:
            self.ended[(end.task, end.number, end.attempt)] = end
        return wire.Receipt()

    async def resources(self, task: int) -> list[wire.ResourceFile]:
        return await self.listing(task)

    async def blob(self, task: int, blob: int) -> AsyncIterator[bytes]:
        yield b"of %d" % task

    async def put_result(self, key: Key, body: AsyncIterator[bytes], size: int) -> wire.ResultFile:
        await self.put()
        data = b"".join([block async for block in body])
        return wire.ResultFile("", len(data), size, "etag")


class Machine:
    """A runtime: runs last until a test ends them or they are killed."""

    name = "sandbox"
    isolated = True
    takes_images = False

    def __init__(self) -> None:
        self.events: asyncio.Queue[RunEvent] = asyncio.Queue()
        self.running: dict[str, RunSpec] = {}
        self.found: list[Found] = []
        self.killed: list[str] = []
        self.forgotten: list[str] = []
        self.started: list[str] = []
        self.renewed: list[float | None] = []
        self.broken = False

    async def open(self) -> list[Found]:
        return self.found

    async def prepare(self, image: Image) -> Refused | None:
        return None

    async def start(self, specs: Sequence[RunSpec]) -> None:
        if self.broken:
            raise RuntimeError("no more processes")
        for spec in specs:
            self.running[spec.key] = spec
            self.started.append(spec.key)
            self.events.put_nowait(Started(spec.key, 1))

    def ends(self, key: str, exit_code: int = 0) -> None:
        del self.running[key]
        self.events.put_nowait(Exited(key, 2, exit_code, Usage(), 1))

    async def stop(self, key: str) -> None:
        if key in self.running:
            self.killed.append(key)
            self.ends(key, 137)

    async def usage(self, key: str) -> Usage:
        return Usage()

    def renew(self, until: float | None) -> None:
        self.renewed.append(until)

    async def forget(self, keys: Sequence[str]) -> None:
        self.forgotten += keys

    async def close(self) -> None:
        pass


def a_work(task: int = 1, **more: Any) -> wire.Work:
    constants = {"DOCKER_CMD": "true"} | more.pop("constants", {})
    return wire.Work(task, f"u{task}", 9, constants, {}, network=False, cores=1.0, memory_bytes=0, **more)


def a_lease(task: int = 1, numbers: str = "0", attempt: int = 1) -> wire.Leased:
    return wire.Leased(task, attempt, numbers)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def machine() -> Machine:
    return Machine()


@asynccontextmanager
async def working(
    root: Path, server: Server, machine: Machine, boot: int = 1, disk: DiskRules | None = None
) -> AsyncIterator[Agent]:
    """An agent at work."""
    link, runtime = cast(Link, server), cast(Runtime, machine)
    agent = Agent(node="n", boot=boot, offer=OFFER, root=root, link=link, runtime=runtime, disk=disk)
    running = asyncio.create_task(agent.run())
    try:
        yield agent
        if running.done():
            running.result()
    finally:
        agent.leave()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_run_goes_from_lease_to_end(tmp_path: Path, server: Server, machine: Machine):
    async with working(tmp_path, server, machine) as agent:
        server.says(works=[a_work()], leases=[a_lease()])
        await eventually(lambda: machine.started)
        machine.running["1.0.1"].stdout.write_bytes(b"hello\n")
        machine.ends("1.0.1")
        await eventually(lambda: not agent.logic.attempts)
    assert server.ended[(1, 0, 1)].error_code == ""
    assert server.output == {(1, 0, 1): b"hello\n"}
    assert machine.forgotten == ["1.0.1"]


async def test_a_folder_is_nobody_elses_while_resources_still_arrive(tmp_path: Path, server: Server, machine: Machine):
    may_arrive = asyncio.Event()

    async def listing(task: int) -> list[wire.ResourceFile]:
        await may_arrive.wait()
        return [wire.ResourceFile("secret", 1, 4, "etag")]

    server.listing = listing
    async with working(tmp_path, server, machine) as agent:
        server.says(works=[a_work(1, resources=[wire.Resource("b")])], leases=[a_lease(1)])
        await eventually(lambda: agent.logic.attempts)
        server.says(stops=[wire.Stop(1, 0, 1, cancelled=True)])
        await eventually(lambda: not agent.logic.attempts)
        server.says(works=[a_work(2)], leases=[a_lease(2)])
        await eventually(lambda: machine.started)
        may_arrive.set()
        await eventually(lambda: not agent._busy)
        assert list(machine.running["2.0.1"].directory.iterdir()) == []
        server.says(works=[a_work(3)], leases=[a_lease(3)])
        await eventually(lambda: "3.0.1" in machine.running)
        assert list(machine.running["3.0.1"].directory.iterdir()) == []


async def test_what_a_runtime_cannot_start_ends_as_a_loss(tmp_path: Path, server: Server, machine: Machine):
    machine.broken = True
    async with working(tmp_path, server, machine) as agent:
        server.says(works=[a_work()], leases=[a_lease(numbers="0-1")])
        await eventually(lambda: len(server.ended) == 2)
        await eventually(lambda: not agent.logic.attempts)
    assert {(end.lost, end.error_message) for end in server.ended.values()} == {
        (True, "the node could not start it: no more processes")
    }


@pytest.mark.parametrize("constants", [{"DOCKER_CMD": "'"}, {"DOCKER_CMD": ""}])
async def test_a_command_that_is_none_ends_its_attempt_and_nothing_else(
    tmp_path: Path, server: Server, machine: Machine, constants: dict[str, str]
):
    async with working(tmp_path, server, machine):
        server.says(works=[a_work(constants=constants), a_work(2)], leases=[a_lease(), a_lease(2)])
        await eventually(lambda: server.ended and machine.started)
    assert server.ended[(1, 0, 1)].error_code == "BAD_COMMAND"
    assert machine.started == ["2.0.1"]


async def test_what_breaks_while_resources_are_placed_is_told_as_a_loss(
    tmp_path: Path, server: Server, machine: Machine
):
    async def listing(task: int) -> list[wire.ResourceFile]:
        raise ValueError("an answer that makes no sense")

    server.listing = listing
    async with working(tmp_path, server, machine):
        server.says(works=[a_work(1, resources=[wire.Resource("b")])], leases=[a_lease(1)])
        await eventually(lambda: server.ended)
    end = server.ended[(1, 0, 1)]
    assert (end.lost, end.error_message) == (True, "the node could not prepare it: an answer that makes no sense")


async def test_resources_that_never_arrive_are_given_up(
    tmp_path: Path, server: Server, machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hearth.agent.shared.RETRY_SECONDS", (0.0,))
    tries = []

    async def listing(task: int) -> list[wire.ResourceFile]:
        tries.append(task)
        raise Unreachable("500 the blob is damaged")

    server.listing = listing
    async with working(tmp_path, server, machine):
        server.says(works=[a_work(1, resources=[wire.Resource("b")])], leases=[a_lease(1)])
        await eventually(lambda: server.ended)
    assert server.ended[(1, 0, 1)].lost
    assert len(tries) == 60


async def test_resources_without_room_on_the_disk_wait_and_then_count_as_a_loss_while_the_node_stays_open(
    tmp_path: Path, server: Server, machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hearth.agent.preparing.CROWDED_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("hearth.agent.disk.free_bytes", lambda folder: 1000)
    tries = []

    async def listing(task: int) -> list[wire.ResourceFile]:
        tries.append(task)
        return [wire.ResourceFile("large", 1, 901, "etag-2")]

    server.listing = listing
    async with working(tmp_path, server, machine, disk=DiskRules(free_bytes=100)) as agent:
        server.says(works=[a_work(1, resources=[wire.Resource("b")]), a_work(2)], leases=[a_lease(1), a_lease(2)])
        await eventually(lambda: server.ended)
        assert not agent.logic.room.is_faulty
        await eventually(lambda: machine.started)
    [end] = [end for key, end in server.ended.items() if key == (1, 0, 1)]
    assert (end.lost, end.returned, len(tries), machine.started) == (True, False, 3, ["2.0.1"])
    assert end.error_message.endswith("901 bytes are needed and 1000 are free, of which 100 are kept")


async def test_resources_that_wait_for_room_on_the_disk_start_when_there_is_some(
    tmp_path: Path, server: Server, machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hearth.agent.preparing.CROWDED_SECONDS", (0.0,))
    place = Resources.place
    tries = []

    async def nothing(task: int) -> list[wire.ResourceFile]:
        return []

    server.listing = nothing

    async def placed(self: Resources, *asked: Any) -> Manifest:
        tries.append(asked)
        if len(tries) == 1:
            raise Crowded(errno.ENOSPC, "not now")
        return await place(self, *asked)

    monkeypatch.setattr(Resources, "place", placed)
    async with working(tmp_path, server, machine):
        server.says(works=[a_work(1, resources=[wire.Resource("b")])], leases=[a_lease(1)])
        await eventually(lambda: machine.started)
    assert (len(tries), machine.started) == (2, ["1.0.1"])


async def test_a_run_whose_output_cannot_be_read_ends_as_a_loss_and_its_node_goes_on(
    tmp_path: Path, server: Server, machine: Machine
):
    async with working(tmp_path, server, machine):
        server.says(works=[a_work()], leases=[a_lease(numbers="0-1")])
        await eventually(lambda: len(machine.started) == 2)
        spool = machine.running["1.0.1"].stdout
        spool.unlink()
        spool.mkdir()
        (spool / "x").touch()
        machine.ends("1.0.1")
        machine.ends("1.1.1")
        await eventually(lambda: len(server.ended) == 2)
    assert server.ended[(1, 0, 1)].lost
    assert not server.ended[(1, 1, 1)].lost


async def test_results_are_told_by_path(tmp_path: Path, server: Server, machine: Machine):
    async with working(tmp_path, server, machine):
        server.says(works=[a_work(has_results=True)], leases=[a_lease()])
        await eventually(lambda: machine.started)
        for number in range(20):
            (machine.running["1.0.1"].directory / f"f{number:02}").write_bytes(b"x" * number)
        machine.ends("1.0.1")
        await eventually(lambda: server.ended)
    assert server.ended[(1, 0, 1)].files == [wire.ResultFile(f"f{n:02}", n, n, "etag") for n in range(20)]


@pytest.mark.parametrize(
    ("work", "code"),
    [
        (a_work(has_results=True, results_whitelist="("), "BAD_RESULTS_FILTER"),
        (a_work(has_results=True), "TOO_MANY_RESULTS"),
    ],
)
async def test_results_that_cannot_be_chosen_are_a_failure_that_says_why(
    tmp_path: Path, server: Server, machine: Machine, monkeypatch: pytest.MonkeyPatch, work: wire.Work, code: str
):
    monkeypatch.setattr("hearth.agent.results.FILES_LIMIT", 0)
    async with working(tmp_path, server, machine):
        server.says(works=[work], leases=[a_lease()])
        await eventually(lambda: machine.started)
        (machine.running["1.0.1"].directory / "file").touch()
        machine.ends("1.0.1")
        await eventually(lambda: server.ended)
    assert server.ended[(1, 0, 1)].error_code == code


async def test_a_cancel_ends_uploads_that_nobody_wants_any_more(
    tmp_path: Path, server: Server, machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hearth.agent.shared.RETRY_SECONDS", (0.01,))

    async def full() -> None:
        raise Unreachable("507 the disk of the server is full")

    server.put = full
    async with working(tmp_path, server, machine) as agent:
        server.says(works=[a_work(has_results=True)], leases=[a_lease()])
        await eventually(lambda: machine.started)
        (machine.running["1.0.1"].directory / "file").touch()
        machine.ends("1.0.1")
        await eventually(lambda: agent.logic.attempts[(1, 0, 1)].phase is Phase.COLLECTING)
        server.says(stops=[wire.Stop(1, 0, 1, cancelled=True)])
        await eventually(lambda: server.ended)
    assert server.ended[(1, 0, 1)].files == []


async def test_a_run_that_is_killed_as_it_starts_is_killed(tmp_path: Path, server: Server, machine: Machine):
    async with working(tmp_path, server, machine) as agent:
        server.says(works=[a_work()], leases=[a_lease(numbers="0-5")])
        await eventually(lambda: len(machine.started) == 2)
        await agent.stop(DEADLINE)
    assert machine.running == {}
    assert sorted(machine.started) == sorted(machine.killed) == ["1.0.1", "1.1.1"]
    assert {key: end.lost for key, end in server.ended.items()} == {(1, n, 1): True for n in range(6)}


async def test_a_kill_of_the_node_is_no_end_of_the_users_even_if_nobody_heard_of_it(
    tmp_path: Path, server: Server, machine: Machine
):
    async with working(tmp_path, server, machine) as agent:
        server.says(works=[a_work()], leases=[a_lease(numbers="0-1")])
        await eventually(lambda: len(machine.started) == 2)

        async def away(message: wire.Report) -> wire.Receipt:
            raise Unreachable("down")

        server.report = away  # type: ignore[method-assign]
        machine.ends("1.1.1", 1)
        await eventually(lambda: agent.logic.attempts[(1, 1, 1)].phase is Phase.ENDED)
        await agent.stop(0.1)
    machine.found = [
        Found("1.0.1", 1, Exited("1.0.1", 2, 137, Usage(), 1)),
        Found("1.1.1", 1, Exited("1.1.1", 2, 1, Usage(), 1)),
    ]
    machine.events = asyncio.Queue()
    later = Server()
    async with working(tmp_path, later, machine, boot=2) as agent:
        await eventually(lambda: agent.logic.attempts)
        assert list(agent.logic.attempts) == [(1, 1, 1)]
        later.says(works=[a_work()], known=[wire.Known(1, 1, 1, 0, 0)])
        await eventually(lambda: later.ended)
    assert later.ended[(1, 1, 1)].exit_code == 1


async def test_an_agent_that_leaves_says_how_long_its_runs_may_go_on(tmp_path: Path, server: Server, machine: Machine):
    async with working(tmp_path, server, machine) as agent:
        server.says(works=[a_work()], leases=[a_lease()])
        await eventually(lambda: machine.started)
        [until] = machine.renewed
        assert until is not None
        assert 0 < until - boot_seconds() <= 540
        assert StoredLease(tmp_path / "lease").load() == until
        agent.leave(without_end=True)
        assert machine.renewed == [until, None]
        assert StoredLease(tmp_path / "lease").load() is None


async def test_an_agent_that_returns_without_its_server_ends_what_it_found_with_the_lease(
    tmp_path: Path, server: Server, machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    async with working(tmp_path, server, machine):
        server.says(works=[a_work()], leases=[a_lease()])
        await eventually(lambda: machine.started)
    monkeypatch.setattr(logic, "ASK_FIRST_SECONDS", 0.0)
    StoredLease(tmp_path / "lease").store(boot_seconds() - 1)
    machine.found = [Found("1.0.1", 1, None)]
    async with working(tmp_path, Server(), machine, boot=2):
        await eventually(lambda: machine.killed)
    assert machine.killed == ["1.0.1"]


async def test_what_would_start_on_a_disk_that_is_too_full_is_given_back(
    tmp_path: Path, server: Server, machine: Machine
):
    async with working(tmp_path, server, machine) as agent:
        agent._disk = DiskRules(free_bytes=1 << 62)
        server.says(works=[a_work()], leases=[a_lease()])
        await eventually(lambda: server.ended)
        assert agent.logic.room.is_faulty
    assert machine.started == []
    [end] = server.ended.values()
    assert (end.lost, end.returned) == (True, True)
    assert "node_disk_floor_mb" in end.error_message


async def test_a_full_disk_costs_an_attempt_nothing_and_the_node_goes_on_when_there_is_room(
    tmp_path: Path, server: Server, machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hearth.agent.health.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("hearth.agent.room.FIRST_PAUSE_SECONDS", 0.05)
    full = OSError(errno.ENOSPC, "No space left on device")
    async with working(tmp_path, server, machine) as agent:

        def no_folder(key: Key) -> None:
            raise full

        with monkeypatch.context() as patch:
            patch.setattr(agent._folders, "make", no_folder)
            server.says(works=[a_work()], leases=[a_lease(numbers="0-1")])
            await eventually(lambda: len(server.ended) == 2)
        assert {(end.lost, end.returned, end.started_at) for end in server.ended.values()} == {(True, True, None)}
        await eventually(lambda: not agent.logic.room.is_faulty)
        server.says(works=[a_work()], leases=[a_lease(attempt=2)])
        await eventually(lambda: machine.started)
    assert machine.started == ["1.0.2"]


async def test_a_run_that_this_machine_could_not_begin_is_given_back(tmp_path: Path, server: Server, machine: Machine):
    async def cannot(specs: Sequence[RunSpec]) -> None:
        for spec in specs:
            machine.events.put_nowait(Lost(spec.key, 7, "no room", is_fault=True))

    machine.start = cannot  # type: ignore[method-assign]
    async with working(tmp_path, server, machine):
        server.says(works=[a_work()], leases=[a_lease()])
        await eventually(lambda: server.ended)
    end = server.ended[(1, 0, 1)]
    assert (end.lost, end.returned, end.error_message) == (True, True, "no room")
