"""The door to a container engine: Docker's, or podman's, which answers the same requests.

Everything that aiodocker and aiohttp can raise leaves here as one of two errors:
    EngineGone      the engine did not answer, or answered nonsense: try again later
    EngineRefused   it answered no, with a status and a reason
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiodocker import Docker, DockerError
from aiodocker.stream import Stream

from hearth.agent.runtime.docker_output import Frame, frames, with_all_newlines

PATIENCE_SECONDS = 120  # for an answer to a short request; a loaded engine may take its time
_UNIX = "unix://"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class EngineGone(Exception):
    """The engine cannot be reached, or its answer broke off."""


class EngineRefused(Exception):
    """The engine said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the engine says of itself, as far as runs depend on it."""

    processors: int
    log_drivers: frozenset[str]
    runs_survive_restart: bool
    started_at: int  # of the process that listens; 0: cannot be known


@dataclass(frozen=True, slots=True)
class Container:
    """A container as the engine describes it."""

    id: str
    labels: Mapping[str, str]
    status: str  # created, running, paused, restarting, removing, exited, dead (podman: also stopped, ...)
    pid: int
    exit_code: int
    out_of_memory: bool
    started_at: int  # microseconds UTC, 0: never
    finished_at: int
    log_driver: str

    @property
    def never_started(self) -> bool:
        """Whether its command has not run yet."""
        return self.started_at == 0 and self.status in ("created", "configured", "initialized")

    @property
    def is_running(self) -> bool:
        """Whether its command runs."""
        return self.status in ("running", "paused", "restarting", "stopping")


class Engine:
    """One connection pool to one engine."""

    def __init__(self, docker_host: str) -> None:
        self.docker_host = docker_host
        self._docker = _connect(docker_host)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._docker.close()

    async def ping(self) -> None:
        """Return when the engine answers."""
        async with _translated(), asyncio.timeout(PATIENCE_SECONDS):
            await self._docker.version()

    async def facts(self) -> EngineFacts:
        """Ask the engine what it is."""
        async with _translated(), asyncio.timeout(PATIENCE_SECONDS):
            info = await self._docker.system.info()
            version = await self._docker.version()
        podman = any("podman" in str(part.get("Name", "")).lower() for part in version.get("Components") or [])
        return EngineFacts(
            processors=int(info.get("NCPU") or 0),
            log_drivers=frozenset((info.get("Plugins") or {}).get("Log") or []),
            # Podman has no daemon: a monitor of its own looks after each container.
            runs_survive_restart=podman or bool(info.get("LiveRestoreEnabled")),
            started_at=found.started_at if (found := listener(self.docker_host)) else 0,
        )

    async def containers(self, labels: Sequence[str]) -> list[str]:
        """Return the ids of all containers, ended ones too, that carry all the `labels`."""
        filters = json.dumps({"label": list(labels)})
        async with _translated(), asyncio.timeout(PATIENCE_SECONDS):
            found = await self._docker.containers.list(all=1, filters=filters)
            return [container.id for container in found]

    async def inspect(self, name: str) -> Container | None:
        """Describe a container; None when there is none of this name or id."""
        try:
            async with _translated(), asyncio.timeout(PATIENCE_SECONDS):
                return _container(await self._docker.containers.container(name).show())
        except EngineRefused as refused:
            if refused.status == 404:
                return None
            raise

    async def create(self, name: str, config: Mapping[str, Any]) -> str:
        """Create a container and return its id."""
        async with _translated(), asyncio.timeout(PATIENCE_SECONDS):
            return (await self._docker.containers.create(config, name=name)).id

    async def attach(self, container: str) -> Attached:
        """Connect to the two output streams of a container; nothing written from now on is missed."""
        stream = self._docker.containers.container(container).attach(stdout=True, stderr=True)
        async with _translated(), asyncio.timeout(PATIENCE_SECONDS):
            await stream.__aenter__()
        return Attached(stream)

    async def start(self, container: str) -> None:
        """Start a created container."""
        async with _translated(), asyncio.timeout(PATIENCE_SECONDS):
            await self._docker.containers.container(container).start()

    async def wait(self, container: str) -> None:
        """Return when the container does not run any more and the engine has written down how it ended."""
        async with _translated():
            answer = await self._docker.containers.container(container).wait()
            if not isinstance(answer, dict) or "StatusCode" not in answer:
                raise EngineGone("The engine's answer to 'wait' broke off.")

    async def has_signalled(self, container: Container, until: int) -> bool:
        """Tell whether the engine sent the container a signal, for whomever, up to the time `until`."""
        query = {
            "since": _seconds(container.started_at),
            "until": _seconds(until),
            "filters": json.dumps({"container": [container.id], "event": ["kill"]}),
        }
        async with _translated(), asyncio.timeout(PATIENCE_SECONDS):
            async with self._docker._query("events", params=query) as response:
                return bool((await response.read()).strip())

    async def kill(self, container: str) -> None:
        """Send SIGKILL to a container; nothing happens when it does not run or is not there."""
        try:
            async with _translated(), asyncio.timeout(PATIENCE_SECONDS):
                await self._docker.containers.container(container).kill(signal="SIGKILL")
        except EngineRefused as refused:
            if refused.status not in (404, 409):
                raise

    async def remove(self, container: str) -> None:
        """Remove a container with its anonymous volumes, killing it first; nothing happens if it is not there."""
        try:
            async with _translated(), asyncio.timeout(PATIENCE_SECONDS):
                await self._docker.containers.container(container).delete(force=True, v=True)
        except EngineRefused as refused:
            if refused.status not in (404, 409):  # 409: it is being removed already
                raise

    async def logs(self, container: Container, *, follow: bool) -> AsyncGenerator[Frame, None]:
        """Yield all that the container wrote, from its first byte on; with `follow`, until it ends."""
        async with _translated():
            query = {"stdout": 1, "stderr": 1, "follow": int(follow)}
            path = f"containers/{container.id}/logs"
            response = await self._docker._do_query(path, "GET", params=query, timeout=None)
            try:
                pieces = frames(response.content)
                async for frame in with_all_newlines(pieces) if container.log_driver == "local" else pieces:
                    yield frame
            finally:
                response.close()

    async def has_image(self, reference: str) -> bool:
        """Whether an image is present."""
        try:
            async with _translated(), asyncio.timeout(PATIENCE_SECONDS):
                await self._docker.images.inspect(reference)
        except EngineRefused as refused:
            if refused.status == 404:
                return False
            raise
        return True

    async def tag(self, reference: str, repository: str, tag: str) -> None:
        """Give a present image one more name."""
        async with _translated(), asyncio.timeout(PATIENCE_SECONDS):
            await self._docker.images.tag(reference, repository, tag=tag)

    async def pull(self, reference: str, credentials: Mapping[str, str] | None) -> None:
        """Fetch an image from its registry."""
        async with _translated():
            await self._docker.images.pull(reference, auth=credentials)


class Attached:
    """The output of a container as it comes; end by `close`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def frames(self) -> AsyncGenerator[Frame, None]:
        """Yield pieces of output until the container has ended."""
        async with _translated():
            while (message := await self._stream.read_out()) is not None:
                yield Frame(message.stream, message.data)

    async def close(self) -> None:
        """Let go of the connection."""
        try:
            await self._stream.close()
        except (aiohttp.ClientError, OSError, AssertionError):
            pass  # it broke before we could close it


async def available(docker_host: str) -> str | None:
    """Say in a sentence why the engine cannot be used, within two seconds; None when it can."""
    try:
        engine = Engine(docker_host)
    except ValueError as error:
        return f"DOCKER_HOST is '{docker_host}': {error}"
    try:
        async with asyncio.timeout(2):
            await engine.ping()
    except TimeoutError:
        return f"The container engine at {docker_host} did not answer within 2 seconds."
    except EngineGone as gone:
        return _why_unreachable(docker_host) or f"No container engine answers at {docker_host}: {gone}"
    except EngineRefused as refused:
        return f"The container engine at {docker_host} refused to tell its version: {refused.message}"
    finally:
        await engine.close()
    return None


@dataclass(frozen=True, slots=True)
class Listener:
    """The process that listens on the engine's socket; under socket activation the system's first one."""

    pid: int
    ticks: int  # from boot to its start; with the pid it names one process and no other

    @property
    def started_at(self) -> int:
        """When it started, by the clock of now."""
        booted_at = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return booted_at // 1000 + self.ticks * 1_000_000 // os.sysconf("SC_CLK_TCK")


def listener(docker_host: str) -> Listener | None:
    """Return who listens on the engine's socket; None if that cannot be known."""
    if not docker_host.startswith(_UNIX):
        return None
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            probe.connect(docker_host.removeprefix(_UNIX))
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid = struct.unpack("3i", credentials)[0]
        return Listener(pid, int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]))
    except (OSError, ValueError, IndexError):
        return None


def shares_mounts(docker_host: str) -> bool:
    """Answer whether what this process mounts is surely seen by the engine: it is root in the same namespace."""
    found = listener(docker_host)
    if found is None:
        return False
    try:
        is_root = Path(f"/proc/{found.pid}").stat().st_uid == 0
        return is_root and os.readlink(f"/proc/{found.pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
    except OSError:
        return False


def microseconds(text: str) -> int:
    """Read an engine's time; 0 for the year one, by which engines mean never."""
    if not text:
        return 0
    at = (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
    return max(0, at)


def _seconds(at: int) -> str:
    return f"{at // 1_000_000}.{at % 1_000_000:06}000"


def _container(shown: Mapping[str, Any]) -> Container:
    state = shown["State"]
    return Container(
        id=shown["Id"],
        labels=(shown.get("Config") or {}).get("Labels") or {},
        status=state["Status"],
        pid=state.get("Pid") or 0,
        exit_code=state.get("ExitCode") or 0,
        out_of_memory=bool(state.get("OOMKilled")),
        started_at=microseconds(state.get("StartedAt") or ""),
        finished_at=microseconds(state.get("FinishedAt") or ""),
        log_driver=((shown.get("HostConfig") or {}).get("LogConfig") or {}).get("Type") or "",
    )


def _connect(docker_host: str) -> Docker:
    # Each run holds two connections for as long as it lasts, so there can be no limit.
    if docker_host.startswith(_UNIX):
        connector = aiohttp.UnixConnector(docker_host.removeprefix(_UNIX), limit=0)
        return _Owned("unix://localhost", connector)
    if docker_host.startswith(("tcp://", "http://", "https://")):
        return _Owned(docker_host, aiohttp.TCPConnector(limit=0))
    raise ValueError("it must begin with unix://, tcp://, http:// or https://.")


class _Owned(Docker):
    """A client that closes the connector which it was given."""

    def __init__(self, url: str, connector: aiohttp.BaseConnector) -> None:
        super().__init__(url=url, connector=connector)
        self._given = connector

    async def close(self) -> None:
        await super().close()
        await self._given.close()


def _why_unreachable(docker_host: str) -> str | None:
    if not docker_host.startswith(_UNIX):
        return None
    path = Path(docker_host.removeprefix(_UNIX))
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            probe.connect(str(path))
    except FileNotFoundError:
        return f"There is no container engine at {docker_host}: the socket does not exist."
    except PermissionError:
        return f"This user may not use the container engine at {docker_host}: the socket is not writable for it."
    except ConnectionRefusedError:
        return f"The socket {docker_host} is there, but no container engine listens on it."
    except OSError as error:
        return f"The socket {docker_host} cannot be used: {error.strerror}."
    return None


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except DockerError as error:
        if error.status >= 900:  # aiodocker's own number for "cannot connect"
            raise EngineGone(error.message) from error
        raise EngineRefused(error.status, error.message) from error
    except TimeoutError as error:
        raise EngineGone("The engine did not answer in time.") from error
    except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
        raise EngineGone(str(error) or type(error).__name__) from error
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        # What aiodocker makes of an answer that was cut in the middle.
        raise EngineGone(f"The engine's answer cannot be read: {type(error).__name__} {error}") from error
