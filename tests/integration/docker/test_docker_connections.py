"""Connections to a healthy engine break: nothing of a run is lost by that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hearth.agent.runtime.base import Lost
from tests.integration.docker.runs import DEADLINE_SECONDS, Runs, opened
from tests.services.docker import DockerEngine
from tests.services.process import await_true

SCRIPT = "mkfifo /job/gate; echo begun; cat /job/gate; echo last; exit 5"


class Relay:
    """A socket before the engine's own that can cut connections by what was asked on them."""

    def __init__(self, path: Path, engine: str) -> None:
        self.url = f"unix://{path}"
        self._path = path
        self._engine = engine.removeprefix("unix://")
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, bytes] = {}
        self._news = asyncio.Event()

    async def listen(self) -> None:
        """Begin to take connections."""
        self._server = await asyncio.start_unix_server(self._relay, self._path)

    async def leave(self) -> None:
        """Take no more connections, and cut those there are."""
        assert self._server is not None
        self._server.close()
        self._path.unlink()
        self.cut(b"")

    def cut(self, asked: bytes) -> int:
        """Cut all connections on which `asked` was the last request; return how many there were."""
        chosen = [writer for writer, request in self._open.items() if asked in request]
        for writer in chosen:
            writer.transport.abort()
        return len(chosen)

    async def until_asked(self, asked: bytes) -> None:
        """Wait until there is a connection on which `asked` was the last request."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not any(asked in request for request in self._open.values()):
                await self._news.wait()
                self._news.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(self._engine)
        self._open[writer] = b""
        try:
            await asyncio.gather(
                self._pass(reader, engine_writer, notes=writer), self._pass(engine_reader, writer, notes=None)
            )
        except OSError:
            pass
        finally:
            del self._open[writer]
            for end in (writer, engine_writer):
                end.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, notes: asyncio.StreamWriter | None
    ) -> None:
        while data := await reader.read(65536):
            if notes is not None and b" HTTP/1.1\r\n" in data:
                self._open[notes] = data.split(b" HTTP/1.1\r\n")[-2]
                self._news.set()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


@pytest.fixture
async def relay(docker_engine: DockerEngine, tmp_path: Path) -> AsyncIterator[Relay]:
    relay = Relay(tmp_path / "relay.sock", docker_engine.url)
    await relay.listen()
    yield relay
    await relay.leave()


@asynccontextmanager
async def behind(relay: Relay, runs: Runs, site: str) -> AsyncIterator[Runs]:
    """A second agent, which speaks to the engine through the relay."""
    await runs.runtime.prepare(runs.image)
    async with opened(relay.url, site, runs.folder, runs.image) as behind:
        yield behind


@pytest.mark.parametrize("asked", [b"/attach", b"/wait", b""], ids=["output", "end", "all"])
async def test_a_run_whose_connections_break_is_told_whole(runs: Runs, relay: Relay, site: str, asked: bytes) -> None:
    async with behind(relay, runs, site) as agent:
        spec = agent.spec("task.0.1", "sh", "-c", SCRIPT)
        await agent.runtime.start([spec])
        await agent.shown("task.0.1", b"begun\n")
        await agent.started("task.0.1")
        assert relay.cut(asked) >= 1
        await relay.until_asked(b"/logs")
        await asyncio.to_thread((spec.directory / "gate").write_text, "between\n")
        exit = await agent.exit_of("task.0.1")
        assert (exit.exit_code, agent.stdout()) == (5, b"begun\nbetween\nlast\n")


async def test_a_run_that_is_followed_by_its_log_survives_a_break_of_that_too(
    runs: Runs, relay: Relay, site: str
) -> None:
    async with behind(relay, runs, site) as first:
        spec = first.spec("task.0.1", "sh", "-c", SCRIPT)
        await first.runtime.start([spec])
        await first.shown("task.0.1", b"begun\n")
    async with behind(relay, runs, site) as agent:
        await relay.until_asked(b"/logs")
        assert relay.cut(b"/logs") == 1
        await relay.until_asked(b"/logs")
        await asyncio.to_thread((spec.directory / "gate").write_text, "between\n")
        exit = await agent.exit_of("task.0.1")
        assert (exit.exit_code, agent.stdout()) == (5, b"begun\nbetween\nlast\n")


async def test_a_run_that_ended_while_nobody_could_see_it_is_lost_but_its_output_is_whole(
    runs: Runs, relay: Relay, site: str, docker_engine: DockerEngine
) -> None:
    async with behind(relay, runs, site) as agent:
        spec = agent.spec("task.0.1", "sh", "-c", SCRIPT)
        await agent.runtime.start([spec])
        await agent.shown("task.0.1", b"begun\n")
        await agent.started("task.0.1")
        await relay.leave()
        await asyncio.to_thread((spec.directory / "gate").write_text, "between\n")
        await asyncio.to_thread(await_true, lambda: has_ended(docker_engine, site), what="the container ended")
        await relay.listen()
        assert isinstance(await agent.end_of("task.0.1"), Lost)
        assert agent.stdout() == b"begun\nbetween\nlast\n"


def has_ended(engine: DockerEngine, site: str) -> bool:
    """Tell whether the site's only container has ended."""
    [container] = engine.containers(f"hearth.site={site}")
    with engine.client() as client:
        return client.get(f"/containers/{container}/json").json()["State"]["Status"] == "exited"
