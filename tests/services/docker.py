"""A docker engine of the tests' own: another data folder, another socket, no bridge, no firewall rules."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import httpx
import pytest

from tests.services.process import ServerProcess, await_true, new_folder, program, unavailable
from tests.services.registry import Registry


@dataclass(frozen=True, slots=True)
class DockerEngine:
    """Where the engine answers: `url` is what DOCKER_HOST would hold."""

    url: str

    def client(self) -> httpx.Client:
        """Return an HTTP client of the engine's API, blocking, for arranging and checking."""
        if self.url.startswith("unix://"):
            transport = httpx.HTTPTransport(uds=self.url.removeprefix("unix://"))
            return httpx.Client(transport=transport, base_url="http://docker", timeout=60)
        address = self.url.replace("tcp://", "http://", 1)
        return httpx.Client(base_url=address, timeout=60, trust_env=False)

    def pull(self, image: str) -> None:
        """Fetch `image` from its registry."""
        name, _, tag = image.rpartition(":")
        with self.client() as client:
            answer = client.post("/images/create", params={"fromImage": name, "tag": tag}).raise_for_status()
        # Docker says 200 before it pulls; what failed is in the last line.
        if '"error"' in answer.text:
            raise RuntimeError(f"pull of {image}: {answer.text.splitlines()[-1]}")

    def containers(self, label: str | None = None) -> list[str]:
        """Return the ids of all containers, ended ones too, that carry `label` (`name` or `name=value`)."""
        filters = f'{{"label": ["{label}"]}}' if label else "{}"
        with self.client() as client:
            answer = client.get("/containers/json", params={"all": "1", "filters": filters}).raise_for_status()
        return [container["Id"] for container in answer.json()]

    def remove(self, *containers: str) -> None:
        """Kill and remove containers; those that are gone already are fine."""
        with self.client() as client:
            for container in containers:
                answer = client.delete(f"/containers/{container}", params={"force": "1", "v": "1"})
                if answer.status_code not in (204, 404, 409):
                    answer.raise_for_status()


@contextmanager
def running_docker(registry: Registry) -> Iterator[DockerEngine]:
    """Start an engine that also finds unqualified images (`library/busybox`) in `registry`; stop it at the end."""
    executable = program("dockerd", package="docker.io")
    if os.geteuid() != 0:
        unavailable("a docker engine needs root", "name one that runs: HEARTH_TEST_DOCKER_HOST=unix:///…")
    folder = new_folder("docker")
    engine = DockerEngine(f"unix://{folder / 'docker.sock'}")
    command = [
        executable,
        *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
        *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
        *("--pidfile", str(folder / "docker.pid"), "--host", engine.url, "--group", "root"),
        *("--registry-mirror", f"http://{registry.host}", "--shutdown-timeout", "1", "--log-level", "warn"),
    ]
    try:
        with ServerProcess(command, folder) as server:
            try:
                server.await_ready(lambda: _answers(engine), seconds=60)
                yield engine
            finally:
                if _answers(engine):
                    engine.remove(*engine.containers())
    finally:
        _end_shims(folder)
        _unmount(folder)
        rmtree(folder, ignore_errors=True)


def _answers(engine: DockerEngine) -> bool:
    try:
        with engine.client() as client:
            return client.get("/_ping").is_success
    except httpx.TransportError:
        return False


def _end_shims(folder: Path) -> None:
    """End container shims and runtimes that outlived an engine which died; the folder's name is theirs alone."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if str(folder).encode() in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue


def _unmount(folder: Path) -> None:
    def below() -> list[str]:
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        return [mount for mount in mounts if mount.startswith(f"{folder}/")]

    def gone() -> bool:
        for mount in reversed(below()):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
        return not below()

    await_true(gone, what=f"mounts below {folder} are gone", seconds=10)


@pytest.fixture(scope="session")
def docker_engine(request: pytest.FixtureRequest) -> Iterator[DockerEngine]:
    """A docker engine that can pull from `registry`; HEARTH_TEST_DOCKER_HOST names another one to use."""
    given = os.environ.get("HEARTH_TEST_DOCKER_HOST")
    if given:
        yield DockerEngine(given)
        return
    with running_docker(request.getfixturevalue("registry")) as engine:
        yield engine
