"""An image that needs a login is for those who have one, wherever it was pulled before."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import httpx
import pytest

from hearth.agent.runtime.base import Image
from tests.integration.docker.runs import Runs, opened
from tests.services.docker import DockerEngine
from tests.services.image import busybox_image, push
from tests.services.process import ServerProcess, free_port, new_folder, program

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import crypt

LOGIN, PASSWORD = "ada", "pass-of-ada"


@dataclass(frozen=True, slots=True)
class PrivateRegistry:
    host: str

    @property
    def image(self) -> str:
        return f"{self.host}/ada/secret:1"


@pytest.fixture(scope="module")
def private() -> Iterator[PrivateRegistry]:
    """A registry that serves only one login."""
    folder, host = new_folder("private"), f"127.0.0.1:{free_port()}"
    (folder / "htpasswd").write_text(f"{LOGIN}:{crypt.crypt(PASSWORD, '$2b$04$abcdefghijklmnopqrstuu')}\n")
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder / 'storage'}}}}}\n"
        f"http: {{addr: '{host}'}}\nauth: {{htpasswd: {{realm: tests, path: {folder / 'htpasswd'}}}}}\n"
    )
    command = [program("docker-registry", package="docker-registry"), "serve", str(folder / "config.yml")]
    client = httpx.Client(base_url=f"http://{host}", auth=(LOGIN, PASSWORD), trust_env=False, timeout=30)
    try:
        with ServerProcess(command, folder) as server, client:
            server.await_ready(lambda: answers(client))
            push(client, busybox_image(Path(program("busybox", package="busybox-static"))), "ada/secret", "1")
            yield PrivateRegistry(host)
    finally:
        rmtree(folder, ignore_errors=True)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/v2/").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def absent(docker_engine: DockerEngine, private: PrivateRegistry) -> None:
    """Make sure that the image is not on the node."""
    with docker_engine.client() as client:
        filters = {"filters": '{"reference": ["hearth.local/private/*", "127.0.0.1:*/ada/secret"]}'}
        for image in client.get("/images/json", params=filters).json():
            client.delete(f"/images/{image['Id']}", params={"force": "1"})


@pytest.mark.usefixtures("absent")
async def test_a_login_opens_a_private_registry(runs: Runs, private: PrivateRegistry) -> None:
    assert await runs.runtime.prepare(Image(private.image, LOGIN, PASSWORD)) is None
    assert (await runs.run("echo", "mine", image=Image(private.image, LOGIN, PASSWORD))).exit_code == 0


@pytest.mark.usefixtures("absent")
@pytest.mark.parametrize(("login", "password"), [("", ""), ("ada", "wrong-word"), ("bob", "word-of-bob")])
async def test_without_the_right_login_an_image_is_refused(
    runs: Runs, private: PrivateRegistry, login: str, password: str
) -> None:
    refused = await runs.runtime.prepare(Image(private.image, login, password))
    assert refused is not None
    assert refused.code == "IMAGE_PULL_REFUSED"
    assert private.image in refused.message
    assert private.host in refused.message
    assert not password or password not in refused.message


@pytest.mark.usefixtures("absent")
async def test_an_image_that_another_login_brought_here_is_refused_without_one_also_after_a_restart(
    runs: Runs, docker_engine: DockerEngine, private: PrivateRegistry, site: str, tmp_path: Path
) -> None:
    mine, of_nobody = Image(private.image, LOGIN, PASSWORD), Image(private.image)
    assert await runs.runtime.prepare(mine) is None
    refused = await runs.runtime.prepare(of_nobody)
    assert refused is not None
    assert refused.code == "IMAGE_PULL_REFUSED"
    assert await runs.runtime.prepare(mine) is None
    async with opened(docker_engine.url, site, tmp_path, runs.image) as again:
        assert await again.runtime.prepare(of_nobody) is not None
        assert await again.runtime.prepare(mine) is None
