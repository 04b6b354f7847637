"""The server: API, storage and loops in one process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from hearth.api.agent import AgentDoor
from hearth.api.app import create_api
from hearth.api.metrics import Metrics
from hearth.app.process import now, quiet_collector, replace_file, signalled
from hearth.app.store import new_uuid, open_accounts, open_store
from hearth.control.accounts import Accounts
from hearth.control.blobs import BlobStore
from hearth.control.fleet import Fleet
from hearth.control.loops import Bell, Loops
from hearth.control.profiles import Profiles
from hearth.control.site import Site
from hearth.data_directory import DataDirectory, hold, open_directory
from hearth.domain.errors import Invalid
from hearth.gateway.app import Gateway
from hearth.objects.disk import BlobFiles
from hearth.settings import Settings
from hearth.store.schema import ensure_site

FIRST_ACCOUNT = "me@localhost"


async def serve(settings: Settings) -> None:
    """Run API, storage and loops until SIGTERM or SIGINT."""
    directory = open_directory(settings.data)
    hold(directory, "server")
    os.umask(0o077)
    store = open_store(settings)
    facts = await store.write(ensure_site, new_uuid)
    accounts = open_accounts(store, directory)
    api_socket = _listen(settings.host, settings.api_port, "api_port")
    storage_socket = _listen(settings.host, settings.storage_port, "storage_port")
    api_url = settings.public_api_url or _url(api_socket)
    storage_url = settings.public_storage_url or _url(storage_socket)
    doors: dict[str, Any] = {}
    bell = Bell()
    directory.stuck.unlink(missing_ok=True)
    site = Site(
        store=store,
        settings=settings,
        now=now,
        new_uuid=new_uuid,
        accounts=accounts,
        profiles=Profiles(directory.profiles, default_image=settings.default_image, now=now),
        blobs=BlobStore(store, BlobFiles(directory.objects), now),
        fleet=Fleet(lambda node_id: doors["agents"].wake(node_id)),
        incarnation=facts.incarnation,
        started_at=now(),
        api_url=api_url,
        storage_url=storage_url,
        work_waits=bell.ring,
        show_stuck=lambda stuck: replace_file(directory.stuck, msgspec.json.encode(stuck), 0o600),
        site_id=facts.site_id,
    )
    doors["agents"] = AgentDoor(site, directory.node_token.read_text("ascii").strip())
    loops = Loops(site, bell)
    api = _front(create_api(site), doors["agents"], Metrics(site, loops))
    gateway = Gateway(store, site.blobs, accounts, now, base_domain=settings.storage_base_domain)
    await _write_configuration(accounts, directory, api_url)
    servers = [_server(api, api_socket), _server(gateway, storage_socket)]
    tasks = [asyncio.create_task(server.serve(sockets=[s])) for server, s in servers]
    tasks.append(asyncio.create_task(loops.run()))
    stopping = signalled(signal.SIGTERM, signal.SIGINT)
    quiet_collector()
    while not all(server.started for server, _ in servers) and not any(task.done() for task in tasks):
        await asyncio.sleep(0.005)
    _write_doors(directory, api_url, storage_url)
    await asyncio.wait([*tasks, asyncio.ensure_future(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
    directory.doors.unlink(missing_ok=True)
    directory.stuck.unlink(missing_ok=True)
    failures = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    site.hub.close()  # or open streams would hold the servers up
    for server, _ in servers:
        server.should_exit = True
    tasks[-1].cancel()
    await asyncio.wait(tasks, timeout=5)
    store.close()
    for failure in failures:
        if failure is not None:
            raise failure


Application = Callable[..., Any]


def _front(api: Application, agents: Application, metrics: Application) -> Application:
    """Send agents and metrics to their doors, and everybody else to the API."""

    async def front(scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if path.startswith("/agent/v1/"):
            await agents(scope, receive, send)
        elif path == "/metrics":
            await metrics(scope, receive, send)
        else:
            await api(scope, receive, send)

    return front


def _listen(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named: asyncio sets TCP_NODELAY only where it is.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Invalid(setting, f"{host}:{port} cannot be used ({error.strerror}); choose another, or 0") from None
    listener.listen(1024)
    listener.setblocking(False)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us: there are two in one process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


def _server(application: Application, listener: socket.socket) -> tuple[_Server, socket.socket]:
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        loop="none",
        proxy_headers=False,
        lifespan="auto",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
        server_header=False,
        date_header=True,
        ws="none",
        h11_max_incomplete_event_size=64 << 10,
    )
    return _Server(config), listener


def _write_doors(directory: DataDirectory, api_url: str, storage_url: str) -> None:
    doors = {"pid": os.getpid(), "api": api_url, "storage": storage_url}
    replace_file(directory.doors, msgspec.json.encode(doors), 0o600)


async def _write_configuration(accounts: Accounts, directory: DataDirectory, api_url: str) -> None:
    """Write a qarnot.conf that works: the first account's token, and where the API is now."""
    token = _token_in(directory.configuration)
    if token is None or await accounts.by_token(token) is None:
        if await accounts.by_email(FIRST_ACCOUNT) is None:
            _, token = await accounts.create_account(FIRST_ACCOUNT)
        else:
            token = await accounts.create_token(FIRST_ACCOUNT, "qarnot.conf")
    text = f"[cluster]\nurl={api_url}\n[client]\ntoken={token}\n"
    replace_file(directory.configuration, text.encode(), 0o600)


def _token_in(configuration: Path) -> str | None:
    with contextlib.suppress(FileNotFoundError):
        for line in configuration.read_text("utf-8").splitlines():
            if line.startswith("token="):
                return line.removeprefix("token=").strip()
    return None
