"""A node: the real logic of an agent, on a machine of the simulation. It does what agent/loop.py does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any

import msgspec

from hearth.agent import attempt as decide
from hearth.agent.attempt import Filled, Key, Phase, RunEnd
from hearth.agent.logic import Logic
from hearth.domain.output import cut
from hearth.wire import agent as wire
from tests.property.cluster.clock import VirtualLoop
from tests.property.cluster.machine import Machine
from tests.property.cluster.network import Network, Unreachable
from tests.property.cluster.snapshots import Snapshots

PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)
PIECE = 24  # bytes of output in one piece: small, so that there are many


class SupersededByNobody(Exception):
    """The server took this agent for an older one, and there is no newer one."""


class Node:
    """One boot of an agent."""

    def __init__(self, machine: Machine, boot: int, network: Network, chance: Random) -> None:
        self.machine = machine
        offer = wire.Offer(machine.cores, 1 << 40, "process", isolated=False, takes_images=False)
        self.logic = Logic(machine.name, boot, offer)
        self._network = network
        self._chance = chance
        self._told: dict[Key, list[int]] = {}
        self._is_alive = True
        self._news = asyncio.Event()
        self._loop: VirtualLoop = asyncio.get_running_loop()  # type: ignore[assignment]
        self._jobs: dict[asyncio.Task[None], None] = {}  # in order, so that a seed tells one story
        self._snapshots = Snapshots(self.logic, self._upload, self._loop, chance, self._carry_out)
        self.came_too_late = False  # when the lease of the earlier boot was over already
        if machine.lease_until is not None:
            now = self._loop.time()
            self.came_too_late = machine.lease_until <= now
            self.logic.resume_lease(machine.lease_until, now)
        machine.told = asyncio.Queue()
        for key, run in machine.runs.items():
            self.logic.recover(key, run.started_at, run.end)
            self._told[key] = [0, 0]
        for work in (self._sync_forever(), self._report_forever(), self._listen_forever(), self._poll_forever()):
            self._spawn(work)

    def crash(self) -> None:
        """Die at once."""
        self._is_alive = False
        for job in list(self._jobs):
            job.cancel()

    def shut_down(self) -> None:
        """Begin to end everything, as a loss."""
        self._carry_out(self.logic.shut_down(self._loop.wall()))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        job = self._loop.create_task(work)
        self._jobs[job] = None
        job.add_done_callback(self._over)

    def _over(self, job: asyncio.Task[None]) -> None:
        self._jobs.pop(job, None)
        if not job.cancelled() and (error := job.exception()) is not None:
            self._loop.call_exception_handler({"message": f"agent of {self.machine.name}", "exception": error})

    # The server

    async def _sync_forever(self) -> None:
        failures = 0
        while True:
            sync = self.logic.next_sync(self._loop.time())
            try:
                status, body = await self._post("sync", sync, self.logic.heartbeat_seconds + 30.0)
                if status == 409:
                    raise SupersededByNobody(f"{self.machine.name}, boot {self.logic.boot}: {body.decode()}")
                _require_ok(status, body)
            except Unreachable:
                await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1
                self._carry_out(self.logic.tick(self._loop.time(), self._loop.wall()))
                continue
            failures = 0
            before = self.logic.lease_until
            effects = self.logic.orders(msgspec.msgpack.decode(body, type=wire.Orders))
            if self.logic.lease_until is not None and self.logic.lease_until != before:
                self.came_too_late = False
                self.machine.renew(self.logic.lease_until)
            self._carry_out(effects)

    async def _report_forever(self) -> None:
        failures = 0
        while True:
            due = self.logic.report_due(self._loop.time())
            if due is None:
                await self._news.wait()
                self._news.clear()
                continue
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            message = self.logic.next_report(self._loop.time())
            try:
                status, body = await self._post("report", message, 60.0)
                _require_ok(status, body)
            except Unreachable:
                self.logic.report_failed(message)
                await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1
                continue
            failures = 0
            self._carry_out(self.logic.receipt(message, msgspec.msgpack.decode(body, type=wire.Receipt)))

    def _post(self, path: str, message: object, timeout: float) -> Awaitable[tuple[int, bytes]]:
        return self._network.call(self.machine.name, "POST", path, msgspec.msgpack.encode(message), timeout)

    # Effects

    def _carry_out(self, effects: list[decide.Effect]) -> None:
        todo = list(effects)
        while todo:
            following: list[decide.Effect] = []
            for effect in todo:
                match effect:
                    case decide.Prepare(key):
                        self._spawn(self._prepare(key, self.logic.works[key[0]]))
                    case decide.Start(key):
                        self._soon(self._start, key)
                    case decide.Kill(key):
                        self._soon(self.machine.stop, key)
                    case decide.Resume(key, stdout_bytes, stderr_bytes):
                        self._told[key][:] = [stdout_bytes, stderr_bytes]
                    case decide.Collect(key, upload):
                        following.extend(self._collect(key, upload, self.logic.works[key[0]]))
                    case decide.Discard(key):
                        self._told.pop(key, None)
                        self._soon(self.machine.forget, key)
                    case decide.TakeSnapshot():
                        self._spawn(self._snapshots.take(effect))
                    case decide.Push(task):
                        self._spawn(self._push(task))
            todo = following
        self._news.set()

    def _soon(self, action: Callable[[Key], None], key: Key) -> None:
        """Let the machine do it a moment later, if this agent still lives then."""
        self._loop.call_later(0.01, lambda: action(key) if self._is_alive else None)

    def _start(self, key: Key) -> None:
        self.machine.start(key, self._loop.wall())

    async def _prepare(self, key: Key, work: wire.Work) -> None:
        chance = Random(f"{work.uuid}{key}")
        version = max(self.logic.versions.of(key[0]), work.resources_version)
        await asyncio.sleep(chance.choice([0.0, 0.0, 0.05, 1.0, 8.0]))
        if chance.random() < 0.03:
            end = RunEnd(self._loop.wall(), error_code="RESOURCE_MISSING", error_message="a resource is gone")
            self._carry_out(self.logic.failed(key, end, self._loop.time()))
        elif chance.random() < 0.03:
            now = self._loop.time()
            self._carry_out(self.logic.fault(key, "the disk is full", self._loop.wall(), now))
        else:
            self._told.setdefault(key, [0, 0])
            filled = Filled(1, has_resources=True, version=version)
            self._carry_out(self.logic.prepared(key, self._loop.time(), filled))

    async def _push(self, task: int) -> None:
        await asyncio.sleep(self._chance.choice([0.0, 0.1, 5.0]))
        version = self.logic.versions.of(task)
        for key in self.logic.needing(task):
            self.logic.pushed(key, version)
        self._news.set()

    def _collect(self, key: Key, upload: bool, work: wire.Work) -> list[decide.Effect]:
        if not upload and self._chance.random() < 0.5:
            self._tail(key, flush=True)
            return self.logic.collected(key, [], [], None, self._loop.time())
        self._spawn(self._collect_slowly(key, upload))
        return []

    async def _collect_slowly(self, key: Key, upload: bool) -> None:
        await asyncio.sleep(self._chance.uniform(0, 0.5))
        self._tail(key, flush=True)
        files: list[wire.ResultFile] = []
        if upload:
            for name in ("result", f"result-{key[1]}"):
                stored = await self._upload(key, f"{key}/{name}".encode())
                if stored is None:
                    return  # not ours any more: the next comparison says so too
                files.append(wire.ResultFile(name, stored.blob, stored.size, stored.etag))
        self._carry_out(self.logic.collected(key, files, [], None, self._loop.time()))

    async def _upload(self, key: Key, data: bytes) -> wire.ResultFile | None:
        path = f"results/{key[0]}/{key[1]}/{key[2]}"
        while True:
            try:
                status, body = await self._network.call(self.machine.name, "PUT", path, data, 30.0)
                if status == 409:
                    return None
                _require_ok(status, body)
                return msgspec.msgpack.decode(body, type=wire.ResultFile)
            except Unreachable:
                if key not in self.logic.attempts:
                    return None
                await asyncio.sleep(1.0)

    # What runs tell

    async def _listen_forever(self) -> None:
        told = self.machine.told
        while True:
            key, started_at, end = await told.get()
            await asyncio.sleep(self._chance.choice([0.0, 0.0, 0.01, 0.3]))
            effects = self.logic.started(key, started_at)
            if end is not None:
                effects += self.logic.exited(key, end, self._loop.time())
            self._carry_out(effects)

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(0.8)
            for key in list(self._told):
                attempt = self.logic.attempts.get(key)
                if attempt is not None and attempt.phase is Phase.RUNNING and attempt.confirmed:
                    self._tail(key, flush=self._chance.random() < 0.3)
            if self.logic.room.should_look(self._loop.time()):
                if self._chance.random() < 0.5:
                    self.logic.room.mended()
                else:
                    self.logic.room.still_faulty(self._loop.time())
            self._carry_out(self.logic.tick(self._loop.time(), self._loop.wall()))

    def _tail(self, key: Key, *, flush: bool) -> None:
        run = self.machine.runs.get(key)
        if run is None or key not in self._told:
            return
        for stream in (0, 1):
            while True:
                told = self._told[key][stream]
                data = bytes(run.spool[stream][told:])
                size = cut(data[: PIECE + 1], limit=PIECE, flush=flush) or (len(data) if flush and run.end else 0)
                if not size:
                    break
                self.logic.output(key, stream, told, data[:size])
                self._told[key][stream] += size


def _require_ok(status: int, body: bytes) -> None:
    if status != 200:
        raise AssertionError(f"the server answered {status}: {body.decode(errors='replace')}")
