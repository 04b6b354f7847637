"""The node: the agent with the runtime that this machine has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time

import msgspec
import structlog

from hearth.agent import discover
from hearth.agent.disk import DiskRules
from hearth.agent.link import Link, Superseded
from hearth.agent.loop import Agent
from hearth.agent.runtime import docker, docker_engine, process, sandbox
from hearth.agent.runtime.base import Runtime
from hearth.app.process import now, quiet_collector, replace_file, signalled
from hearth.data_directory import DataDirectory, hold, open_directory
from hearth.domain.errors import Invalid
from hearth.settings import Settings


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


def _disk_rules(runtime: str, settings: Settings) -> DiskRules:
    """Return how the node uses its disk; runs of a container engine elsewhere do not see what is mounted here."""
    is_root = os.geteuid() == 0
    sees = docker_engine.shares_mounts(_docker_host(settings)) if runtime == "docker" else True
    return DiskRules(
        cache_bytes=settings.node_cache_mb << 20,
        free_bytes=settings.node_disk_floor_mb << 20,
        owner=(sandbox.RUN_UID, sandbox.RUN_UID) if runtime == "sandbox" and is_root else None,
        overlays=is_root and sees,
    )


async def run_agent(settings: Settings) -> None:
    """Run the node agent until SIGTERM or SIGINT (ends the runs) or SIGHUP (leaves them)."""
    log = structlog.get_logger(__name__)
    directory = open_directory(settings.data)
    hold(directory, "agent")
    name, passed_over = await choose_runtime(settings)
    for reason in passed_over:
        log.info("runtime passed over", reason=reason)
    runtime = _runtime(name, settings, directory)
    offer = discover.offer(
        runtime=runtime.name,
        isolated=runtime.isolated,
        takes_images=runtime.takes_images,
        folder=directory.node,
        told=discover.Told(
            cores=settings.node_cores,
            memory_mb=settings.node_memory_mb,
            specification_key=settings.node_specification_key,
            cpu_model=settings.node_cpu_model,
            gpus=settings.node_gpus,
            has_ssd={"yes": True, "no": False}.get(settings.node_ssd),
        ),
    )
    url = settings.server_url or await _server_of(directory)
    token = directory.node_token.read_text("ascii").strip()
    node = settings.node_name or socket.gethostname()
    async with Link(url, token, lambda: None if settings.server_url else _door_of(directory)) as link:
        agent = Agent(
            node=node,
            boot=_next_boot(directory),
            offer=offer,
            root=directory.node,
            link=link,
            runtime=runtime,
            disk=_disk_rules(name, settings),
        )
        log.info("agent started", node=node, runtime=name, server=url, resources=agent.details)
        told = {
            "pid": os.getpid(),
            "runtime": name,
            "cores": offer.cores,
            "passed_over": passed_over,
            "resources": agent.details,
        }
        replace_file(directory.offer, msgspec.json.encode(told), 0o600)
        ending = signalled(signal.SIGTERM, signal.SIGINT)
        leaving = signalled(signal.SIGHUP)
        quiet_collector()
        running = asyncio.create_task(agent.run())
        signals = [asyncio.create_task(ending.wait()), asyncio.create_task(leaving.wait())]
        await asyncio.wait([running, *signals], return_when=asyncio.FIRST_COMPLETED)
        if ending.is_set():
            await agent.stop(timeout_seconds=10.0)
        elif leaving.is_set():
            # With a server of its own directory it leaves together; another server gives the runs to other nodes.
            agent.leave(without_end=not settings.server_url)
        for waiting in signals:
            waiting.cancel()
        with contextlib.suppress(Superseded):
            await running


async def _server_of(directory: DataDirectory) -> str:
    """Return the URL of the server of this data directory, once it is up."""
    waited = 0
    while (url := _door_of(directory)) is None:
        waited += 1
        if waited == 100:
            structlog.get_logger(__name__).info("waiting for the server of this directory", data=str(directory.root))
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
