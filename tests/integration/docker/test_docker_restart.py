"""The engine dies and returns under a living agent."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from hearth.agent.runtime.base import Exited, Image, Lost
from tests.integration.docker.runs import Runs, opened
from tests.services.docker import DockerEngine, _answers, _end_shims, _unmount
from tests.services.process import ServerProcess, await_true, new_folder, program
from tests.services.registry import Registry

QUIET = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")


class Restartable:
    """An engine that a test may end and start again on the same folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.engine = DockerEngine(f"unix://{folder / 'docker.sock'}")
        self.folder = folder
        self._options = options
        self._server: ServerProcess | None = None

    def start(self) -> None:
        """Start the engine and wait until it answers."""
        places = ("--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec")
        own = ("--pidfile", f"{self.folder}/docker.pid", "--host", self.engine.url, "--group", "root")
        command = [program("dockerd", package="docker.io"), *QUIET, *places, *own, *self._options]
        self._server = ServerProcess(command, self.folder)
        self._server.await_ready(lambda: _answers(self.engine), seconds=60)

    def stop(self) -> None:
        """End the engine as a service manager does, which ends its containers."""
        if self._server is not None:
            self._server.stop()

    def kill(self) -> None:
        """End the engine by SIGKILL; its containers know nothing of it."""
        pid = int((self.folder / "docker.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        if self._server is not None:
            self._server._process.wait()
        await_true(lambda: not _answers(self.engine), what="the engine is dead")
        # The notes of who runs mean nothing any more, but a process that nobody buried still has its number.
        (self.folder / "docker.pid").unlink(missing_ok=True)
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)


@pytest.fixture(params=[()], ids=["plain"])
def restartable(request: pytest.FixtureRequest, registry: Registry) -> Iterator[Restartable]:
    """An engine of the test's own, with busybox in it; parameters are options of it."""
    folder = new_folder("restart")
    engine = Restartable(folder, *request.param)
    try:
        engine.start()
        engine.engine.pull(registry.busybox)
        yield engine
        if _answers(engine.engine):
            engine.engine.remove(*engine.engine.containers())
    finally:
        engine.stop()
        _end_shims(folder)
        _unmount(folder)
        rmtree(folder, ignore_errors=True)


pytestmark = pytest.mark.docker


QUICK_TO_END = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


async def running(runs: Runs, key: str, ending: str = QUICK_TO_END) -> None:
    """Start a run that says that it began and goes on."""
    await runs.runtime.start([runs.spec(key, "sh", "-c", f"mkfifo /job/gate; echo begun; {ending}")])
    await runs.shown(key, b"begun\n")
    await runs.started(key)


async def test_an_engine_that_shuts_down_under_the_eyes_of_the_agent_loses_its_runs(
    restartable: Restartable, registry: Registry, tmp_path: Path
) -> None:
    async with opened(restartable.engine.url, "site", tmp_path, Image(registry.busybox)) as runs:
        await running(runs, "task.0.1")
        await running(runs, "task.1.1", "trap 'exit 3' TERM; while :; do sleep 0.1; done")
        await asyncio.to_thread(restartable.stop)
        await asyncio.to_thread(restartable.start)
        assert isinstance(await runs.end_of("task.0.1"), Lost)
        assert isinstance(await runs.end_of("task.1.1"), Lost)


async def test_a_run_that_somebody_else_stopped_is_lost(
    restartable: Restartable, registry: Registry, tmp_path: Path
) -> None:
    async with opened(restartable.engine.url, "site", tmp_path, Image(registry.busybox)) as runs:
        await running(runs, "task.0.1")
        with restartable.engine.client() as client:
            client.post("/containers/hearth-site-task.0.1/stop").raise_for_status()
        assert isinstance(await runs.end_of("task.0.1"), Lost)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_runs_that_the_engine_took_with_it_are_lost_and_new_ones_start(
    restartable: Restartable, registry: Registry, tmp_path: Path, end: str
) -> None:
    async with opened(restartable.engine.url, "site", tmp_path, Image(registry.busybox)) as runs:
        await running(runs, "task.0.1")
        assert (await runs.run("true", key="ended.0.1")).exit_code == 0
        getattr(restartable, end)()
        restartable.start()
        lost = await runs.end_of("task.0.1")
        assert isinstance(lost, Lost)
        assert "from outside" in lost.message
        assert (await runs.run("echo", "after", key="task.0.2")).exit_code == 0
        assert runs.stdout("task.0.2") == b"after\n"
        await runs.runtime.forget(["task.0.1", "task.0.2", "ended.0.1"])
        assert restartable.engine.containers() == []


async def test_runs_started_while_the_engine_is_away_begin_when_it_returns(
    restartable: Restartable, registry: Registry, tmp_path: Path
) -> None:
    async with opened(restartable.engine.url, "site", tmp_path, Image(registry.busybox)) as runs:
        restartable.stop()
        await runs.runtime.start([runs.spec("task.0.1", "echo", "late")])
        restartable.start()
        exit = await runs.exit_of("task.0.1")
        assert (exit.exit_code, runs.stdout()) == (0, b"late\n")


async def test_a_run_stopped_while_the_engine_is_away_ends_when_it_returns(
    restartable: Restartable, registry: Registry, tmp_path: Path
) -> None:
    async with opened(restartable.engine.url, "site", tmp_path, Image(registry.busybox)) as runs:
        await running(runs, "task.0.1")
        restartable.kill()
        await runs.runtime.stop("task.0.1")
        restartable.start()
        assert isinstance(await runs.end_of("task.0.1"), Exited)


@pytest.mark.parametrize("restartable", [("--live-restore",)], indirect=True, ids=["live-restore"])
async def test_runs_live_on_when_the_engine_leaves_them(
    restartable: Restartable, registry: Registry, tmp_path: Path
) -> None:
    async with opened(restartable.engine.url, "site", tmp_path, Image(registry.busybox)) as runs:
        await running(runs, "task.0.1", "cat /job/gate; echo last; exit 5")
        restartable.kill()
        restartable.start()
        (tmp_path / "task.0.1" / "job" / "gate").write_text("between\n")
        exit = await runs.exit_of("task.0.1")
        assert (exit.exit_code, runs.stdout()) == (5, b"begun\nbetween\nlast\n")


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_returned_agent_counts_runs_that_went_with_the_engine_as_lost(
    restartable: Restartable, registry: Registry, tmp_path: Path, end: str
) -> None:
    async with opened(restartable.engine.url, "site", tmp_path, Image(registry.busybox)) as runs:
        await running(runs, "task.0.1", "sleep 1000")
        assert (await runs.run("sh", "-c", "exit 255", key="ended.0.1")).exit_code == 255
    getattr(restartable, end)()
    restartable.start()
    async with opened(restartable.engine.url, "site", tmp_path, Image(registry.busybox)) as again:
        found = {found.key: found.exited for found in again.found}
        ended = found.pop("ended.0.1")
        assert ended is not None
        assert ended.exit_code == 255
        assert found == {"task.0.1": None}
        assert isinstance(await again.end_of("task.0.1"), Lost)
