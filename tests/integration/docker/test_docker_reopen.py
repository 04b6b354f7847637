"""An agent that died and returned finds its runs and all that they wrote."""

import asyncio
import os
from pathlib import Path

from hearth.agent.runtime.base import Exited, Found, Image
from tests.integration.docker.runs import Runs, opened
from tests.services.docker import DockerEngine
from tests.services.registry import Registry


async def test_a_run_that_outlived_its_agent_is_found_and_followed(
    runs: Runs, docker_engine: DockerEngine, site: str, tmp_path: Path
) -> None:
    spec = runs.spec(
        "task.0.1", "sh", "-c", "mkfifo /job/gate; echo one; echo two >&2; cat /job/gate; echo last; exit 4"
    )
    await runs.runtime.start([spec])
    await runs.shown("task.0.1", b"one\n")
    started = await runs.started("task.0.1")
    await runs.runtime.close()
    async with opened(docker_engine.url, site, tmp_path, runs.image) as again:
        assert again.found == [Found("task.0.1", started.at, exited=None)]
        await again.shown("task.0.1", b"one\n")
        (spec.directory / "gate").write_text("between\n")
        exit = await again.exit_of("task.0.1")
        assert again.told == {"task.0.1": [exit]}
    assert (exit.exit_code, exit.started_at) == (4, started.at)
    assert (runs.stdout(), runs.stderr()) == (b"one\nbetween\nlast\n", b"two\n")


async def test_a_run_that_ended_while_the_agent_was_away_is_found_with_its_end_and_output(
    runs: Runs, docker_engine: DockerEngine, site: str, tmp_path: Path
) -> None:
    spec = runs.spec("task.0.1", "sh", "-c", "mkfifo /job/gate; echo one; cat /job/gate; echo error >&2; exit 6")
    await runs.runtime.start([spec])
    await runs.shown("task.0.1", b"one\n")
    started = await runs.started("task.0.1")
    await runs.runtime.close()
    (spec.directory / "gate").write_text("unseen\n")
    [container] = docker_engine.containers(f"hearth.site={site}")
    await asyncio.to_thread(wait_for_end, docker_engine, container)
    async with opened(docker_engine.url, site, tmp_path, runs.image) as again:
        [found] = again.found
        assert isinstance(found.exited, Exited)
        assert (found.key, found.started_at, found.exited.exit_code) == ("task.0.1", started.at, 6)
        assert found.exited.at >= started.at
        assert (runs.stdout(), runs.stderr()) == (b"one\nunseen\n", b"error\n")
        await again.runtime.start([spec])
        await again.runtime.forget(["task.0.1"])
    assert docker_engine.containers(f"hearth.site={site}") == []


async def test_output_is_the_same_bytes_when_it_is_read_again(
    runs: Runs, docker_engine: DockerEngine, site: str, tmp_path: Path
) -> None:
    # Bytes of all kinds, lines longer than any buffer of the engine, characters across its cuts, no last newline.
    content = os.urandom(200_000) + "é€😀".encode() * 30_000 + b"\nshort\n\n\nno newline"
    spec = runs.spec("task.0.1", "cat", "content")
    (spec.directory / "content").write_bytes(content)
    await runs.runtime.start([spec])
    await runs.exit_of("task.0.1")
    assert runs.stdout() == content
    await runs.runtime.close()
    spec.stdout.unlink()
    async with opened(docker_engine.url, site, tmp_path, runs.image):
        assert runs.stdout() == content


async def test_many_running_and_ended_runs_are_all_found(
    runs: Runs, docker_engine: DockerEngine, site: str, tmp_path: Path
) -> None:
    ended = {f"ended.{number}.1" for number in range(6)}
    running = {f"running.{number}.1" for number in range(6)}
    await runs.runtime.start([runs.spec(key, "echo", key) for key in ended])
    await runs.runtime.start([runs.spec(key, "sh", "-c", f"echo {key}; sleep 1000") for key in running])
    for key in ended:
        await runs.exit_of(key)
    for key in running:
        await runs.started(key)
    await runs.runtime.close()
    async with opened(docker_engine.url, site, tmp_path, runs.image) as again:
        assert {found.key for found in again.found if found.exited is None} == running
        assert {found.key for found in again.found if found.exited is not None} == ended
        for key in running:
            await again.runtime.stop(key)
        for key in running:
            assert (await again.exit_of(key)).exit_code == 137
        assert {key: runs.stdout(key) for key in running | ended} == {
            key: f"{key}\n".encode() for key in running | ended
        }


async def test_the_last_lines_of_a_found_run_are_not_lost(
    runs: Runs, docker_engine: DockerEngine, site: str, tmp_path: Path
) -> None:
    keys = [f"task.{number}.1" for number in range(12)]
    script = "mkfifo /job/gate; echo ready; cat /job/gate; seq 2000"
    specs = [runs.spec(key, "sh", "-c", script) for key in keys]
    await runs.runtime.start(specs)
    for key in keys:
        await runs.shown(key, b"ready\n")
    await runs.runtime.close()
    async with opened(docker_engine.url, site, tmp_path, runs.image) as again:
        for spec in specs:
            (spec.directory / "gate").write_text("")
        for key in keys:
            await again.exit_of(key)
    expected = b"ready\n" + b"".join(b"%d\n" % number for number in range(1, 2001))
    assert [runs.stdout(key) == expected for key in keys] == [True] * len(keys)


async def test_a_container_that_was_never_started_is_removed_and_can_be_started_anew(
    runs: Runs, docker_engine: DockerEngine, registry: Registry, site: str, tmp_path: Path
) -> None:
    await runs.runtime.prepare(Image(registry.busybox))
    body = {"Image": registry.busybox, "Labels": {"hearth.site": site, "hearth.run": "task.0.1"}}
    with docker_engine.client() as client:
        name = f"hearth-{site}-task.0.1"
        client.post("/containers/create", params={"name": name}, json=body).raise_for_status()
    async with opened(docker_engine.url, site, tmp_path, runs.image) as again:
        assert again.found == []
        assert docker_engine.containers(f"hearth.site={site}") == []
        assert (await again.run("echo", "anew")).exit_code == 0


async def test_a_container_whose_creation_was_not_answered_is_taken_over(
    runs: Runs, docker_engine: DockerEngine, registry: Registry, site: str
) -> None:
    """The request arrived, the answer did not: the same run is asked for again under the same name."""
    await runs.run("echo", "of the first", key="task.0.1")
    await runs.runtime.forget(["task.0.1"])
    spec = runs.spec("task.0.1", "echo", "not run twice")
    labels = {
        "hearth.site": site,
        "hearth.run": "task.0.1",
        "hearth.stdout": str(spec.stdout),
        "hearth.stderr": str(spec.stderr),
    }
    body = {"Image": registry.busybox, "Cmd": ["echo", "created before"], "Labels": labels}
    with docker_engine.client() as client:
        name = f"hearth-{site}-task.0.1"
        client.post("/containers/create", params={"name": name}, json=body).raise_for_status()
    spec.stdout.unlink()
    runs.told.clear()
    await runs.runtime.start([spec])
    assert (await runs.exit_of("task.0.1")).exit_code == 0
    assert runs.stdout() == b"created before\n"


def wait_for_end(engine: DockerEngine, container: str) -> None:
    """Return when a container has ended."""
    with engine.client() as client:
        client.post(f"/containers/{container}/wait").raise_for_status()
