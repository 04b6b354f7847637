"""Stopping a run at any moment leaves nothing of it running."""

import asyncio
from pathlib import Path

from hearth.agent.runtime.base import Exited
from tests.integration.docker.runs import DEADLINE_SECONDS, Runs
from tests.services.docker import DockerEngine


def running(engine: DockerEngine, site: str) -> list[str]:
    """The containers of a site that run now."""
    with engine.client() as client:
        filters = f'{{"label": ["hearth.site={site}"]}}'
        return [each["Id"] for each in client.get("/containers/json", params={"filters": filters}).json()]


def processes_with(word: str) -> list[int]:
    """The processes of this machine that have `word` among their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if word.encode() in words:
                found.append(int(entry.name))
    return found


async def test_a_stopped_run_is_gone_with_all_its_children(runs: Runs, docker_engine: DockerEngine, site: str) -> None:
    script = "trap '' TERM; for i in 1 2 3; do setsid sleep 98765 & done; echo begun; wait"
    await runs.runtime.start([runs.spec("task.0.1", "sh", "-c", script)])
    await runs.shown("task.0.1", b"begun")
    assert len(processes_with("98765")) == 3
    await runs.runtime.stop("task.0.1")
    exit = await runs.exit_of("task.0.1")
    assert exit.exit_code == 137
    assert running(docker_engine, site) == []
    assert processes_with("98765") == []
    assert runs.stdout() == b"begun\n"


async def test_a_run_can_be_stopped_before_its_container_exists(
    runs: Runs, docker_engine: DockerEngine, site: str
) -> None:
    await runs.runtime.start([runs.spec("task.0.1", "sleep", "1000")])
    await runs.runtime.stop("task.0.1")
    exit = await runs.exit_of("task.0.1")
    assert exit.exit_code == 137
    assert running(docker_engine, site) == []


async def test_many_runs_stopped_while_they_are_being_started_all_end(
    runs: Runs, docker_engine: DockerEngine, site: str
) -> None:
    keys = [f"task.{number}.1" for number in range(24)]
    await runs.runtime.start([runs.spec(key, "sleep", "1000") for key in keys])
    await runs.started(keys[0])
    for key in keys:
        await runs.runtime.stop(key)
    for key in keys:
        assert (await runs.exit_of(key)).exit_code == 137
    assert running(docker_engine, site) == []


async def test_a_run_that_is_stopped_and_forgotten_in_one_breath_leaves_no_container(
    runs: Runs, docker_engine: DockerEngine, site: str
) -> None:
    await runs.runtime.start([runs.spec("task.0.1", "sleep", "1000")])
    await runs.started("task.0.1")
    await runs.runtime.stop("task.0.1")
    await runs.runtime.forget(["task.0.1"])
    await runs.exit_of("task.0.1")
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await asyncio.to_thread(docker_engine.containers, f"hearth.site={site}"):
            await asyncio.sleep(0.01)  # its removal gives no signal


async def test_stopping_what_ended_or_never_was_tells_nothing(runs: Runs) -> None:
    exit = await runs.run("true")
    await runs.runtime.stop("task.0.1")
    await runs.runtime.stop("nobody.0.1")
    await runs.run("true", key="task.1.1")
    assert [event for event in runs.told["task.0.1"] if isinstance(event, Exited)] == [exit]
    assert "nobody.0.1" not in runs.told
