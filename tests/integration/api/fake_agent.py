"""A node that speaks the agent protocol to the agents' door of a site, one message at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from hearth.api.agent import AgentDoor
from hearth.control.fleet import Fleet
from hearth.domain.ranges import RangeSet
from hearth.wire import agent as wire
from tests.integration.api.sites import OFFER, TestSite

Key = tuple[int, int, int]  # task, number, attempt
_TOKEN = "token-of-the-nodes"


@dataclass
class FakeAgent:
    """Holds what it was leased, runs nothing, and tells what a test wants told."""

    site: TestSite
    held: list[Key] = field(default_factory=list)
    versions: dict[int, int] = field(default_factory=dict)
    counter: int = 1
    seen: int = 0

    def __post_init__(self) -> None:
        self.meet_new_server()

    def meet_new_server(self) -> None:
        """Speak to a server that knows nothing but what is on disk, as after a kill."""
        door = AgentDoor(self.site.site, _TOKEN)
        self.site.site.fleet = Fleet(door.wake)
        transport = httpx.ASGITransport(door, raise_app_exceptions=True)  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        self._client = httpx.AsyncClient(transport=transport, base_url="http://agents.test/agent/v1/", headers=headers)

    async def sync(self) -> wire.Orders:
        """Ask for orders, after so long a silence that the server compares; hold what is leased."""
        self.site.clock.pass_seconds(self.site.site.settings.heartbeat_seconds)
        return await self.ask()

    async def ask(self) -> wire.Orders:
        """Ask for orders; hold what is leased."""
        self.counter += 1
        holds = [wire.Held(task, attempt, str(RangeSet.of([number]))) for task, number, attempt in self.held]
        message = wire.Sync(
            protocol=wire.PROTOCOL,
            node="node",
            boot=1,
            counter=self.counter,
            seen=self.seen,
            incarnation="test",
            offer=OFFER,
            room=wire.Room(cores=64.0, memory_bytes=1 << 36),
            holds=holds,
            versions=self.versions,
        )
        orders = await self._post("sync", message, wire.Orders)
        self.seen = orders.sequence
        for leased in orders.leases:
            self.held += [(leased.task, number, leased.attempt) for number in RangeSet.parse(leased.numbers)]
        return orders

    async def park(self) -> asyncio.Task[wire.Orders]:
        """Ask for orders when there are none; return the question once the server waits with its answer."""
        question = asyncio.ensure_future(self.ask())
        while not any(session.parked for session in self.site.site.fleet.sessions.values()):
            assert not question.done(), question.result()
            await asyncio.sleep(0)
        return question

    async def tell(self, **said: Any) -> wire.Receipt:
        """Report."""
        self.counter += 1
        message = wire.Report(
            protocol=wire.PROTOCOL,
            node="node",
            boot=1,
            incarnation="test",
            room=wire.Room(),
            seen=self.seen,
            counter=self.counter,
            **said,
        )
        return await self._post("report", message, wire.Receipt)

    async def upload(self, key: Key, path: str, data: bytes) -> wire.ResultFile:
        """Store a file that an attempt made; no bucket shows it yet."""
        answer = await self._client.put("results/" + "/".join(map(str, key)), content=data)
        assert answer.status_code == 200, answer.text
        stored = msgspec.msgpack.decode(answer.content, type=wire.ResultFile)
        return msgspec.structs.replace(stored, path=path)

    async def start(self, cores: float = 64.0) -> list[Key]:
        """Let the scheduler give this node what waits, and say that it all runs."""
        before = len(self.held)
        await self.site.dispatch(cores)
        await self.sync()
        begun = self.held[before:]
        await self.tell(started=[wire.Started(*key, self.site.clock.now) for key in begun])
        return begun

    async def _post(self, path: str, message: Any, kind: type[Any]) -> Any:
        answer = await self._client.post(path, content=msgspec.msgpack.encode(message))
        assert answer.status_code == 200, answer.text
        return msgspec.msgpack.decode(answer.content, type=kind)
