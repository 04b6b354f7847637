"""The services that other tests stand on are real and start from nothing."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.services.docker import DockerEngine
from tests.services.postgres import PostgresServer
from tests.services.registry import Registry


def run(engine: DockerEngine, image: str, *command: str) -> str:
    """Run a command in a container of `image` and return what it printed, without docker's framing."""
    with engine.client() as client:
        body = {"Image": image, "Tty": True, "HostConfig": {"NetworkMode": "none"}}
        if command:
            body["Cmd"] = list(command)
        container = client.post("/containers/create", json=body).raise_for_status().json()["Id"]
        try:
            client.post(f"/containers/{container}/start").raise_for_status()
            client.post(f"/containers/{container}/wait").raise_for_status()
            log = client.get(f"/containers/{container}/logs", params={"stdout": "1"}).raise_for_status()
            return log.text.replace("\r\n", "\n")
        finally:
            engine.remove(container)


def test_an_image_is_pulled_from_the_registry_and_runs(docker_engine: DockerEngine, registry: Registry) -> None:
    docker_engine.pull(registry.busybox)
    assert run(docker_engine, registry.busybox, "echo", "hello") == "hello\n"


def test_an_image_without_a_registry_in_its_name_comes_from_the_tests_own_registry(
    docker_engine: DockerEngine, registry: Registry
) -> None:
    docker_engine.pull("library/busybox:latest")
    assert run(docker_engine, "busybox:latest", "sh", "-c", "echo $((6 * 7))") == "42\n"


@pytest.mark.parametrize(
    ("command", "printed"),
    [((), "entry got 2 words\ndefault\n"), (("echo", "a b", "c"), "entry got 3 words\na b c\n")],
)
def test_the_entry_image_shows_what_its_entrypoint_was_given(
    docker_engine: DockerEngine, registry: Registry, command: tuple[str, ...], printed: str
) -> None:
    docker_engine.pull(registry.entry)
    assert run(docker_engine, registry.entry, *command) == printed


def test_a_pull_of_an_image_that_is_not_there_fails(docker_engine: DockerEngine, registry: Registry) -> None:
    with pytest.raises(Exception, match="absent"):
        docker_engine.pull(registry.absent)


def test_two_databases_of_one_postgres_server_are_strangers(postgres_server: PostgresServer, postgres_url: str) -> None:
    mine = create_engine(postgres_url)
    with mine.begin() as connection:
        connection.execute(text("CREATE TABLE here (number bigint)"))
        assert connection.scalar(text("SELECT count(*) FROM here")) == 0
    mine.dispose()
    with postgres_server.database() as url:
        other = create_engine(url)
        with other.connect() as connection:
            assert connection.scalar(text("SELECT to_regclass('here')")) is None
        other.dispose()


def test_bubblewrap_hides_the_processes_of_the_machine(bubblewrap: str) -> None:
    shown = subprocess.run(
        [bubblewrap, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "sh", "-c", "echo /proc/[0-9]*"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert len(shown) <= 3


@pytest.mark.parametrize("version", ["2.4.1", "2.23.0"])
def test_an_official_client_comes_with_its_own_environment(
    official_client: Callable[[str], Path], version: str
) -> None:
    python = official_client(version)
    said = (
        'import importlib.util as u, qarnot as q; print(q.__version__.lstrip("v"), u.find_spec("hearth"), q.__file__)'
    )
    shown = subprocess.run([python, "-c", said], check=True, capture_output=True, text=True, cwd="/").stdout.split()
    assert shown[:2] == [version, "None"]
    assert Path(shown[2]).is_relative_to(python.parents[1])
