"""A site with a real database in a folder of its own, and its REST door called in this process."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from litestar import Litestar

from hearth.api.app import create_routes
from hearth.api.outer import Outer
from hearth.control import claim, report
from hearth.control.accounts import Account, Accounts
from hearth.control.blobs import BlobStore
from hearth.control.fleet import Fleet
from hearth.control.keys import load_or_create
from hearth.control.profiles import Profiles
from hearth.control.site import Site
from hearth.control.store_output import OutputLimits
from hearth.control.viewers import Viewers
from hearth.domain.quota import Limits
from hearth.objects.disk import BlobFiles
from hearth.scheduler.fit import NodeRoom
from hearth.settings import Settings
from hearth.store.door import Store, open_engine
from hearth.store.queries import machines, nodes
from hearth.store.tables import metadata
from hearth.wire import agent as wire
from hearth_client.messages.times import parse_date

BEGIN = parse_date("2026-05-01T12:00:00Z")
SECOND = 1_000_000
OFFER = wire.Offer(
    cores=64,
    memory_bytes=1 << 36,
    runtime="process",
    isolated=False,
    takes_images=False,
    cpu_model="Model T",
    frequency_ghz=2.0,
    specification_key="64c-64g-model-t",
)


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: int = BEGIN

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


def uuids() -> Callable[[], str]:
    counter = itertools.count(1)
    return lambda: f"00000000-0000-7000-8000-{next(counter):012x}"


_spare_routes: dict[int, list[Litestar]] = {}  # by the limit that they were made with


@cache
def _empty_database() -> bytes:
    """Return a SQLite file with all tables and no rows."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "hearth.db"
        engine = open_engine(f"sqlite:///{file}")
        metadata.create_all(engine)
        engine.dispose()
        return file.read_bytes()


@dataclass
class TestSite:
    """A site, its clock, and what a test does to it besides calling the API."""

    __test__ = False

    site: Site
    clock: Clock
    folder: Path
    rings: list[int] = field(default_factory=list)
    node_id: int = 0
    accounts: int = 0

    @cached_property
    def door(self) -> Any:
        return Outer(self._routes, self.site.accounts, Viewers(self.site.store, now=self.site.now))

    @cached_property
    def _routes(self) -> Litestar:
        """The routes: those of a site that was closed, if there are any, since making them takes its time."""
        spare = _spare_routes.get(self.site.settings.request_limit_mb)
        if not spare:
            return create_routes(self.site)
        routes = spare.pop()
        routes.state.site, routes.state.openapi = self.site, None
        return routes

    def close(self) -> None:
        """End the site; nothing of it may be used any more."""
        self.site.store.close()
        if "_routes" in self.__dict__:
            _spare_routes.setdefault(self.site.settings.request_limit_mb, []).append(self._routes)

    def client(self, token: str | None = None, **headers: str) -> httpx.AsyncClient:
        """Return a client that calls the door in this process."""
        given = {"Accept": "*/*", **({"Authorization": token} if token else {}), **headers}
        transport = httpx.ASGITransport(self.door, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=given)

    async def account(self, email: str = "", **limits: int) -> tuple[Account, str]:
        """Make an account; without an e-mail it is another one each time, `ada@example.org` first."""
        self.accounts += 1
        email = email or f"ada{self.accounts if self.accounts > 1 else ''}@example.org"
        return await self.site.accounts.create_account(email, Limits(**limits))

    async def dispatch(self, cores: float = 64.0) -> list[claim.Grant]:
        """Let the scheduler give what waits to one node."""
        if not self.node_id:
            offer = wire.msgspec.json.encode(OFFER).decode()
            machine = await self.site.store.write(machines.ensure, OFFER)
            row = await self.site.store.write(
                nodes.add, "node", 1, 1, self.clock.now, self.clock.now + 10**9, offer, machine
            )
            self.node_id = row.id
        room = NodeRoom(self.node_id, cores, 1 << 36, 0, False)
        return await self.site.store.write(claim.claim, [room], {self.node_id: 1}, self.clock.now)

    async def tell(self, **said: Any) -> None:
        """Report what the node says."""
        message = wire.Report(
            protocol=1, node="node", boot=1, incarnation="", room=wire.Room(), seen=0, counter=1, **said
        )

        def store(connection: Any) -> None:
            report.report(
                connection, message, now=self.clock.now, losses_allowed=5, limits=OutputLimits(10 << 20, 100 << 20)
            )

        await self.site.store.write(store)

    async def run(self, *, exit_code: int = 0, seconds: float = 2.0, output: bytes = b"") -> None:
        """Run all that waits to its end."""
        grants = await self.dispatch()
        attempts = [(grant.task.id, number, grant.attempt) for grant in grants for number in grant.numbers]
        await self.tell(started=[wire.Started(*key, self.clock.now) for key in attempts])
        begin = self.clock.now
        self.clock.pass_seconds(seconds)
        await self.tell(
            outputs=[wire.Output(*key, 0, 0, output) for key in attempts if output],
            ended=[
                wire.Ended(
                    *key,
                    at=self.clock.now,
                    exit_code=exit_code,
                    error_code="EXIT_CODE" if exit_code else "",
                    error_message=f"the command ended with {exit_code}" if exit_code else "",
                    started_at=begin,
                    exited_at=self.clock.now,
                    peak_memory=5 << 20,
                )
                for key in attempts
            ],
        )


def open_site(folder: Path, url: str = "", **settings: Any) -> TestSite:
    """Make a site in a folder; its database is there too, unless a URL says where."""
    clock = Clock()
    if url:
        engine = open_engine(url)
        metadata.create_all(engine)
    else:
        file = folder / "hearth.db"
        if not file.exists():
            file.write_bytes(_empty_database())
        engine = open_engine(f"sqlite:///{file}")
    store = Store(engine)
    new_uuid = uuids()
    given = Settings(data=folder, **settings)
    rings: list[int] = []
    site = Site(
        store=store,
        settings=given,
        now=clock,
        new_uuid=new_uuid,
        accounts=Accounts(store, load_or_create(folder / "keys" / "site.key"), now=clock, new_uuid=new_uuid),
        profiles=Profiles(folder / "profiles", default_image=given.default_image, now=clock),
        blobs=BlobStore(store, BlobFiles(folder / "objects"), clock),
        fleet=Fleet(lambda node_id: None),
        incarnation="test",
        started_at=clock.now,
        api_url="http://api.test",
        storage_url="http://storage.test:8551",
        site_id="00000000-0000-7000-8000-5173",
        work_waits=lambda: rings.append(clock.now),
    )
    return TestSite(site, clock, folder, rings)


def a_task(**changes: Any) -> dict[str, Any]:
    """Return the body of a submission that is accepted."""
    body: dict[str, Any] = {
        "name": "hello",
        "profile": "docker-batch",
        "instanceCount": 1,
        "constants": [{"key": "DOCKER_CMD", "value": "echo hi"}],
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not ...}
