"""A storage gateway on loopback, with accounts, for clients that speak real HTTP."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import uvicorn
from botocore.config import Config
from sqlalchemy import insert

from hearth.control.accounts import AccountSecret
from hearth.control.blobs import BlobStore
from hearth.gateway.app import Gateway
from hearth.objects.disk import BlobFiles
from hearth.store.door import Store, open_engine
from hearth.store.tables import accounts, metadata

ALICE, BOB = "alice@example.org", "bob@example.org"
ALICE_TOKEN, BOB_TOKEN = "hearth_alice-token", "hearth_bob-token"


class KnownSecrets:
    """Secrets in a dictionary."""

    def __init__(self) -> None:
        self.by_key: dict[str, list[AccountSecret]] = {}

    async def of(self, access_key: str) -> Sequence[AccountSecret]:
        return self.by_key.get(access_key, [])


@dataclass
class Clock:
    """The real time, moved by hand."""

    ahead: int = 0

    def __call__(self) -> int:
        return time.time_ns() // 1000 + self.ahead


@dataclass
class Storage:
    """Everything behind the gateway."""

    store: Store
    disk: BlobFiles
    blobs: BlobStore
    secrets: KnownSecrets
    clock: Clock
    folder: Path
    gateway: Gateway

    def close(self) -> None:
        self.store.close()
        self.disk.close()

    def files(self) -> list[Path]:
        """Return every file of the blobs' folder."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


def add_account(connection: Any, number: int, email: str, limits: str = "{}") -> None:
    connection.execute(
        insert(accounts).values(id=number, uuid=f"uuid-{number}", email=email, created_at=0, limits=limits)
    )


def a_storage(folder: Path, *, limits: str = "{}", url: str | None = None, base_domain: str = "") -> Storage:
    engine = open_engine(url or f"sqlite:///{folder}/hearth.db")
    metadata.create_all(engine)
    with engine.begin() as connection:
        add_account(connection, 1, ALICE, limits)
        add_account(connection, 2, BOB)
    store, clock, secrets = Store(engine), Clock(), KnownSecrets()
    secrets.by_key = {
        ALICE: [AccountSecret(1, "hearth_older-token", ALICE), AccountSecret(1, ALICE_TOKEN, ALICE)],
        BOB: [AccountSecret(2, BOB_TOKEN, BOB)],
    }
    disk = BlobFiles(folder / "blobs")
    blobs = BlobStore(store, disk, clock)
    gateway = Gateway(store, blobs, secrets, clock, base_domain=base_domain)
    return Storage(store, disk, blobs, secrets, clock, folder / "blobs", gateway)


@dataclass
class Served:
    """An ASGI application that answers on loopback, on a thread with an event loop of its own."""

    app: Any
    certificate: Any = None  # of trustme
    address: str = ""
    port: int = 0
    _server: uvicorn.Server = field(init=False)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> "Served":
        # With its protocol named, asyncio turns Nagle's delay off, as it does for sockets of its own.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.address = f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"
        config = uvicorn.Config(
            self.app, log_level="warning", lifespan="on", access_log=False, timeout_graceful_shutdown=2
        )
        config.load()
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.certificate.configure_cert(context)
            config.ssl = context
        self._server = uvicorn.Server(config)
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listener, started), daemon=True)
        self._thread.start()
        assert started.wait(20), "the gateway did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive(), "the gateway did not stop"

    def run(self, function: Callable[[], Any]) -> Any:
        """Await what `function` returns, in an event loop of its own."""
        return asyncio.run(function())

    def _run(self, listener: socket.socket, started: threading.Event) -> None:
        async def serve() -> None:
            startup = self._server.startup

            async def startup_and_tell(sockets: list[socket.socket] | None = None) -> None:
                await startup(sockets=sockets)
                started.set()

            self._server.startup = startup_and_tell  # type: ignore[method-assign]
            await self._server.serve(sockets=[listener])

        asyncio.run(serve())


def client(
    served: Served,
    *,
    access_key: str = ALICE,
    token: str = ALICE_TOKEN,
    verify: str | bool | None = None,
    region: str = "us-east-1",
    **config: Any,
) -> Any:
    """Return boto3's client for the gateway; it never repeats what failed, unless told to."""
    settings = Config(**{"retries": {"total_max_attempts": 1}, "signature_version": "s3v4", **config})
    return boto3.session.Session().client(
        "s3",
        endpoint_url=served.address,
        aws_access_key_id=access_key,
        aws_secret_access_key=token,
        region_name=region,
        verify=verify,
        config=settings,
    )
