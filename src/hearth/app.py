"""Puts the parts together: the only module that names implementations."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog
import uvicorn

from hearth.agent import discover
from hearth.agent.link import Link, Superseded
from hearth.agent.loop import Agent
from hearth.agent.runtime import docker, docker_engine, process, sandbox
from hearth.agent.runtime.base import Runtime
from hearth.api.agent import AgentDoor
from hearth.api.app import create_api
from hearth.api.metrics import Metrics
from hearth.control.accounts import Accounts
from hearth.control.blobs import BlobStore
from hearth.control.fleet import Fleet
from hearth.control.keys import load_or_create
from hearth.control.loops import Bell, Loops
from hearth.control.profiles import Profiles
from hearth.control.site import Site
from hearth.data_directory import DataDirectory, open_directory
from hearth.domain.errors import Invalid
from hearth.gateway.app import Gateway
from hearth.objects.disk import BlobFiles
from hearth.settings import Settings
from hearth.store.door import Store, open_engine
from hearth.store.schema import ensure_site, upgrade

FIRST_ACCOUNT = "me@localhost"


def now() -> int:
    """Return the time of the wall clock in microseconds."""
    return time.time_ns() // 1000


def new_uuid() -> str:
    """Return a uuid of version 7: it sorts by time, so that new rows lie beside each other."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(3 << 62) | 2 << 62
    return str(uuid.UUID(int=value))


def open_store(settings: Settings) -> Store:
    """Open the database of these settings, brought to the newest revision."""
    engine = open_engine(settings.sqlalchemy_url)
    upgrade(engine)
    return Store(engine)


def open_accounts(store: Store, directory: DataDirectory) -> Accounts:
    """Return the accounts of a site."""
    return Accounts(store, load_or_create(directory.site_key), now=now, new_uuid=new_uuid)


def quiet_collector() -> None:
    """Let the garbage collector look less often: nearly all that is made here dies by its reference count."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def log_to_stderr() -> None:
    """Log as lines of key=value on standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")


# The server ----------------------------------------------------------------------------------------------


async def serve(settings: Settings) -> None:
    """Run API, storage and loops until SIGTERM or SIGINT."""
    directory = open_directory(settings.data)
    store = open_store(settings)
    facts = await store.write(ensure_site, new_uuid)
    accounts = open_accounts(store, directory)
    api_socket = _listen(settings.host, settings.api_port, "api_port")
    storage_socket = _listen(settings.host, settings.storage_port, "storage_port")
    api_url = settings.public_api_url or _url(api_socket)
    storage_url = settings.public_storage_url or _url(storage_socket)
    doors: dict[str, Any] = {}
    bell = Bell()
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
    )
    doors["agents"] = AgentDoor(site, directory.node_token.read_text("ascii").strip())
    loops = Loops(site, bell)
    api = _front(create_api(site), doors["agents"], Metrics(site, loops))
    gateway = Gateway(store, site.blobs, accounts, now, base_domain=settings.storage_base_domain)
    await _write_configuration(accounts, directory, api_url)
    servers = [_server(api, api_socket), _server(gateway, storage_socket)]
    tasks = [asyncio.create_task(server.serve(sockets=[s])) for server, s in servers]
    tasks.append(asyncio.create_task(loops.run()))
    stopping = _signalled(signal.SIGTERM, signal.SIGINT)
    quiet_collector()
    while not all(server.started for server, _ in servers) and not any(task.done() for task in tasks):
        await asyncio.sleep(0.005)
    _write_doors(directory, api_url, storage_url)
    await asyncio.wait([*tasks, asyncio.ensure_future(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
    directory.doors.unlink(missing_ok=True)
    failures = [task.exception() for task in tasks if task.done() and not task.cancelled()]
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


def _signalled(*numbers: signal.Signals) -> asyncio.Event:
    event = asyncio.Event()
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event


def _write_doors(directory: DataDirectory, api_url: str, storage_url: str) -> None:
    doors = {"pid": os.getpid(), "api": api_url, "storage": storage_url}
    _replace(directory.doors, msgspec.json.encode(doors), 0o600)


async def _write_configuration(accounts: Accounts, directory: DataDirectory, api_url: str) -> None:
    """Write a qarnot.conf that works: the first account's token, and where the API is now."""
    token = _token_in(directory.configuration)
    if token is None or await accounts.by_token(token) is None:
        if await accounts.by_email(FIRST_ACCOUNT) is None:
            _, token = await accounts.create_account(FIRST_ACCOUNT)
        else:
            token = await accounts.create_token(FIRST_ACCOUNT, "qarnot.conf")
    text = f"[cluster]\nurl={api_url}\n[client]\ntoken={token}\n"
    _replace(directory.configuration, text.encode(), 0o600)


def _token_in(configuration: Path) -> str | None:
    with contextlib.suppress(FileNotFoundError):
        for line in configuration.read_text("utf-8").splitlines():
            if line.startswith("token="):
                return line.removeprefix("token=").strip()
    return None


def _replace(path: Path, content: bytes, mode: int) -> None:
    part = path.with_name(path.name + ".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    part.replace(path)


# The agent -----------------------------------------------------------------------------------------------


async def choose_runtime(settings: Settings) -> tuple[str, list[str]]:
    """Return the runtime to use, and for `auto` why the better ones cannot be used; Invalid when none can."""
    host = _docker_host(settings)
    reasons: dict[str, str | None] = {}
    wanted = settings.runtime
    if wanted not in ("auto", "docker", "sandbox", "process"):
        raise Invalid("runtime", f"'{wanted}' is none of auto, docker, sandbox and process")
    for name in ("docker", "sandbox", "process"):
        if wanted not in ("auto", name):
            continue
        if name == "docker":
            reasons[name] = await docker_engine.available(host)
        elif name == "sandbox":
            reasons[name] = await asyncio.to_thread(sandbox.available)
        else:
            reasons[name] = process.available()
        if reasons[name] is None:
            return name, [f"{other}: {reason}" for other, reason in reasons.items() if reason]
    raise Invalid("runtime", f"'{wanted}' cannot be used here: {reasons[wanted]}")


def _docker_host(settings: Settings) -> str:
    return settings.docker_host or os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def _runtime(name: str, settings: Settings, directory: DataDirectory) -> Runtime:
    if name == "docker":
        return docker.DockerRuntime(_docker_host(settings), directory.site_id, now)
    if name == "sandbox":
        return sandbox.SandboxRuntime(directory.spawner_socket, hidden=[directory.root])
    return process.ProcessRuntime(directory.spawner_socket)


async def run_agent(settings: Settings) -> None:
    """Run the node agent until SIGTERM or SIGINT (ends the runs) or SIGHUP (leaves them)."""
    log = structlog.get_logger(__name__)
    directory = open_directory(settings.data)
    name, passed_over = await choose_runtime(settings)
    for reason in passed_over:
        log.info("runtime passed over", reason=reason)
    runtime = _runtime(name, settings, directory)
    offer = discover.offer(
        runtime=runtime.name,
        isolated=runtime.isolated,
        takes_images=runtime.takes_images,
        cores=settings.node_cores,
        memory_mb=settings.node_memory_mb,
    )
    url = settings.server_url or await _server_of(directory)
    token = directory.node_token.read_text("ascii").strip()
    node = settings.node_name or socket.gethostname()
    async with Link(url, token, lambda: None if settings.server_url else _door_of(directory)) as link:
        agent = Agent(
            node=node, boot=_next_boot(directory), offer=offer, root=directory.node, link=link, runtime=runtime
        )
        log.info("agent started", node=node, runtime=name, server=url)
        told = {"pid": os.getpid(), "runtime": name, "cores": offer.cores, "passed_over": passed_over}
        _replace(directory.offer, msgspec.json.encode(told), 0o600)
        ending = _signalled(signal.SIGTERM, signal.SIGINT)
        leaving = _signalled(signal.SIGHUP)
        quiet_collector()
        running = asyncio.create_task(agent.run())
        signals = [asyncio.create_task(ending.wait()), asyncio.create_task(leaving.wait())]
        await asyncio.wait([running, *signals], return_when=asyncio.FIRST_COMPLETED)
        if ending.is_set():
            await agent.stop(timeout_seconds=10.0)
        elif leaving.is_set():
            agent.leave()
        for waiting in signals:
            waiting.cancel()
        with contextlib.suppress(Superseded):
            await running


async def _server_of(directory: DataDirectory) -> str:
    """Return the URL of the server of this data directory, once it is up."""
    while (url := _door_of(directory)) is None:
        await asyncio.sleep(0.02)
    return url


def _door_of(directory: DataDirectory) -> str | None:
    try:
        return str(msgspec.json.decode(directory.doors.read_bytes())["api"])
    except FileNotFoundError:
        return None


def _next_boot(directory: DataDirectory) -> int:
    """Count the boots of this node's agent, durably: the number orders what they say."""
    path = directory.node / "boot"
    before = int(path.read_text("ascii")) if path.exists() else 0
    # Not from 1 on: a server that knows the node must not take one whose disk was replaced for an old boot.
    boot = max(before + 1, int(time.time()))
    part = path.with_name("boot.part")
    with part.open("w", encoding="ascii") as file:
        file.write(str(boot))
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    return boot
