"""Images are pulled when they are absent; what cannot be had is said with its name and its registry."""

import asyncio
from pathlib import Path

import pytest

from hearth.agent.runtime.base import Image, Refused
from hearth.agent.runtime.docker import available
from tests.integration.docker.runs import Runs, opened
from tests.services.docker import DockerEngine
from tests.services.process import free_port
from tests.services.registry import Registry


def drop_image(engine: DockerEngine, reference: str) -> None:
    """Make an image absent."""
    with engine.client() as client:
        assert client.delete(f"/images/{reference}", params={"force": "1"}).status_code in (200, 404)


def has_image(engine: DockerEngine, reference: str) -> bool:
    with engine.client() as client:
        return client.get(f"/images/{reference}/json").is_success


async def test_an_absent_image_is_pulled_by_its_tag(
    runs: Runs, docker_engine: DockerEngine, registry: Registry
) -> None:
    await asyncio.to_thread(drop_image, docker_engine, registry.entry)
    assert await runs.runtime.prepare(Image(registry.entry)) is None
    assert has_image(docker_engine, registry.entry)


async def test_many_may_wait_for_one_image(runs: Runs, docker_engine: DockerEngine, registry: Registry) -> None:
    await asyncio.to_thread(drop_image, docker_engine, registry.entry)
    answers = await asyncio.gather(*(runs.runtime.prepare(Image(registry.entry)) for _ in range(10)))
    assert answers == [None] * 10


async def test_one_who_gives_up_waiting_does_not_spoil_it_for_others(
    runs: Runs, docker_engine: DockerEngine, registry: Registry
) -> None:
    await asyncio.to_thread(drop_image, docker_engine, registry.entry)
    impatient = asyncio.create_task(runs.runtime.prepare(Image(registry.entry)))
    patient = asyncio.create_task(runs.runtime.prepare(Image(registry.entry)))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient is None


async def test_a_run_pulls_an_image_that_was_removed_since(
    runs: Runs, docker_engine: DockerEngine, registry: Registry
) -> None:
    await asyncio.to_thread(drop_image, docker_engine, registry.entry)
    exit = await runs.run(image=Image(registry.entry))
    assert exit.exit_code == 0


async def test_a_tag_that_does_not_exist_is_refused(runs: Runs, registry: Registry) -> None:
    reference = registry.busybox.rpartition(":")[0] + ":none"
    refused = await runs.runtime.prepare(Image(reference))
    assert refused is not None
    assert (refused.key, refused.exit_code, refused.code) == ("", 125, "IMAGE_NOT_FOUND")
    assert reference in refused.message
    assert registry.host in refused.message


async def test_a_run_of_an_image_that_does_not_exist_is_refused(runs: Runs, registry: Registry) -> None:
    refused = await runs.refused("true", image=Image(registry.absent))
    assert (refused.key, refused.exit_code, refused.code) == ("task.0.1", 125, "IMAGE_NOT_FOUND")


async def test_a_registry_that_does_not_answer_is_named(runs: Runs) -> None:
    host = f"127.0.0.1:{free_port()}"
    refused = await runs.runtime.prepare(Image(f"{host}/some/image:1", "ada", "pass-of-ada"))
    assert refused is not None
    assert refused.code == "REGISTRY_UNREACHABLE"
    assert f"Registry {host} of image" in refused.message
    assert "pass-of-ada" not in refused.message


@pytest.mark.parametrize("reference", ["Upper/Case:1", "a b", "x:tag:tag"])
async def test_what_is_no_name_of_an_image_is_refused(runs: Runs, reference: str) -> None:
    refused = await runs.runtime.prepare(Image(reference))
    assert isinstance(refused, Refused)
    assert refused.code == "IMAGE_REFERENCE_INVALID"


async def test_an_engine_that_answers_is_available(docker_engine: DockerEngine) -> None:
    assert await available(docker_engine.url) is None


async def test_an_engine_that_is_not_there_is_not_available(tmp_path: Path) -> None:
    reason = await available(f"unix://{tmp_path}/none.sock")
    assert reason == f"There is no container engine at unix://{tmp_path}/none.sock: the socket does not exist."


async def test_a_socket_without_a_listener_is_not_available(tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    server = await asyncio.start_unix_server(lambda *_: None, path)
    server.close()
    await server.wait_closed()
    reason = await available(f"unix://{path}")
    assert reason == f"The socket unix://{path} is there, but no container engine listens on it."


async def test_a_listener_that_never_answers_is_not_available(tmp_path: Path) -> None:
    path = tmp_path / "mute.sock"
    async with await asyncio.start_unix_server(lambda *_: None, path):
        reason = await available(f"unix://{path}")
    assert reason == f"The container engine at unix://{path} did not answer within 2 seconds."


async def test_an_address_of_an_unknown_kind_is_not_available() -> None:
    reason = await available("ssh://host")
    assert reason is not None
    assert "unix://" in reason


async def test_two_sites_on_one_engine_do_not_see_each_other(
    runs: Runs, docker_engine: DockerEngine, site: str, tmp_path: Path
) -> None:
    await runs.runtime.start([runs.spec("task.0.1", "sleep", "1000")])
    await runs.started("task.0.1")
    other = f"{site}-other"
    async with opened(docker_engine.url, other, tmp_path / "other", runs.image) as others:
        assert others.found == []
        assert (await others.run("echo", "other", key="task.0.1")).exit_code == 0
        await others.runtime.forget(["task.0.1"])
    assert await runs.runtime.usage("task.0.1") != await runs.runtime.usage("nobody.0.1")
    assert len(docker_engine.containers(f"hearth.site={site}")) == 1
