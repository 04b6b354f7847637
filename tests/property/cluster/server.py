"""A server: the real door of the agents and the real loops, on a database that outlives it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine

from hearth.api.agent import AgentDoor
from hearth.control.fleet import Fleet
from hearth.control.loops import Bell, Loops
from hearth.control.profiles import Profiles
from hearth.control.site import Site
from hearth.domain.profile import Profile
from hearth.settings import Settings
from hearth.store.queries import blobs
from tests.property.cluster.clock import VirtualLoop

T = TypeVar("T")
TOKEN = "token-of-the-nodes"
LEASE = 60.0
LOSSES_ALLOWED = 4
SETTINGS = Settings(data=Path("nowhere"), lease_seconds=LEASE, heartbeat_seconds=3.0, losses_allowed=LOSSES_ALLOWED)
INCARNATION = "incarnation-1"


class Killed(asyncio.CancelledError):
    """The server died in the middle of it."""


class SimulatedStore:
    """The door to the database: each write is one transaction at one moment, before and after which time passes."""

    def __init__(self, engine: Engine, chance: Random, committed: Callable[[], None]) -> None:
        self._engine = engine
        self._chance = chance
        self._committed = committed
        self.is_open = True

    async def write(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Run a write."""
        await self._wait()
        with self._engine.begin() as connection:
            value = function(connection, *args, **kwargs)
        self._committed()
        await self._wait()
        return value

    async def read(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Run a read."""
        await self._wait()
        with self._engine.connect() as connection:
            value = function(connection, *args, **kwargs)
        await self._wait()
        return value

    async def _wait(self) -> None:
        await asyncio.sleep(self._chance.choice([0.0, 0.001, 0.001, 0.01, 0.01, 0.4]))
        if not self.is_open:
            raise Killed


@dataclass(frozen=True, slots=True)
class _Blob:
    id: int
    size_bytes: int
    etag: str


class _Blobs:
    """Blobs that live in the database."""

    def __init__(self, store: SimulatedStore, now: Callable[[], int]) -> None:
        self._store = store
        self._now = now

    async def put(self, account_id: int, body: Any) -> _Blob:
        data = b"".join([part async for part in body])
        blob = await self._store.write(blobs.add_small, account_id, data, self._now())
        return _Blob(blob, len(data), f"etag{blob}")


class _Profiles:
    def get(self, name: str) -> Profile | None:
        return Profile(name, cores=1.0)


class _Loops(Loops):
    async def _sweep_blobs(self) -> None:
        """There are no files."""


class Server:
    """One life of a server process."""

    def __init__(self, engine: Engine, chance: Random, committed: Callable[[], None]) -> None:
        loop = cast(VirtualLoop, asyncio.get_running_loop())
        self.store = SimulatedStore(engine, chance, committed)
        bell = Bell()
        self.site = Site(
            store=cast(Any, self.store),
            settings=SETTINGS,
            now=loop.wall,
            new_uuid=lambda: str(uuid.UUID(int=chance.getrandbits(128))),
            accounts=cast(Any, None),
            profiles=cast(Profiles, _Profiles()),
            blobs=cast(Any, _Blobs(self.store, loop.wall)),
            fleet=Fleet(lambda node_id: self.door.wake(node_id)),
            incarnation=INCARNATION,
            started_at=loop.wall(),
            api_url="http://api",
            storage_url="http://storage",
            work_waits=bell.ring,
        )
        self.door = AgentDoor(self.site, TOKEN)
        self.loops = _Loops(self.site, bell)
        self._jobs: dict[asyncio.Task[Any], None] = {}  # in order, so that a seed tells one story
        self._run(self.loops.run())

    def _run(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        job = asyncio.ensure_future(work)
        self._jobs[job] = None
        job.add_done_callback(self._over)
        return job

    def _over(self, job: asyncio.Task[Any]) -> None:
        self._jobs.pop(job, None)
        if not job.cancelled():
            job.exception()  # whoever asked has it

    def kill(self) -> None:
        """Die at once: nothing of it happens any more, and what it knew is gone."""
        self.store.is_open = False
        for job in list(self._jobs):
            job.cancel()

    async def command(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Run a command of a user; None when the server died over it."""
        try:
            return await self._run(work)
        except asyncio.CancelledError:
            if self.store.is_open:
                raise
            return None

    async def handle(self, method: str, path: str, body: bytes, gone: asyncio.Event) -> tuple[int, bytes] | None:
        """Answer one request of an agent; None when the server died over it."""
        return await self.command(self._handle(method, path, body, gone))

    async def _handle(self, method: str, path: str, body: bytes, gone: asyncio.Event) -> tuple[int, bytes]:
        scope = {
            "type": "http",
            "method": method,
            "path": f"/agent/v1/{path}",
            "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
        }
        messages: list[dict[str, Any]] = [{"type": "http.request", "body": body}]
        status, parts = 0, []

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            parts.append(message.get("body", b""))

        await self.door(scope, receive, send)
        return status, b"".join(parts)


def add_account(connection: Connection, number: int, limits: str) -> int:
    """Make an account without any of its secrets."""
    from sqlalchemy import insert

    from hearth.store.tables import accounts

    values = {"uuid": f"account-{number}", "email": f"user{number}@example.org", "created_at": 0, "limits": limits}
    key = connection.execute(insert(accounts).values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])
