"""The machines on which the runtime contract is tried. A further runtime is one more function here."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hearth.agent.runtime.base import Image
from hearth.agent.runtime.docker import DockerRuntime
from hearth.agent.runtime.process import ProcessRuntime
from hearth.agent.runtime.sandbox import SandboxRuntime
from tests.contract.runtime.machine import Machine, Runs, Spawner, now, site_name

PROCESS = pytest.param("process")
SANDBOX = pytest.param("sandbox", marks=pytest.mark.sandbox)
DOCKER = pytest.param("docker", marks=pytest.mark.docker)


@contextmanager
def _process(request: pytest.FixtureRequest, folder: Path) -> Iterator[Machine]:
    with _spawner(folder) as spawner:
        yield Machine(lambda socket=spawner.socket: ProcessRuntime(socket), folder, spawner=spawner)


@contextmanager
def _sandbox(request: pytest.FixtureRequest, folder: Path) -> Iterator[Machine]:
    request.getfixturevalue("bubblewrap")
    with _spawner(folder) as spawner:
        yield Machine(lambda: SandboxRuntime(spawner.socket), folder, spawner=spawner)


@contextmanager
def _docker(request: pytest.FixtureRequest, folder: Path) -> Iterator[Machine]:
    engine, registry = request.getfixturevalue("docker_engine"), request.getfixturevalue("registry")
    site = site_name(folder)
    try:
        yield Machine(lambda: DockerRuntime(engine.url, site, now), folder, Image(registry.busybox))
    finally:
        engine.remove(*engine.containers(f"hearth.site={site}"))


@contextmanager
def _spawner(folder: Path) -> Iterator[Spawner]:
    spawner = Spawner(folder, site_name(folder))
    try:
        yield spawner
    finally:
        spawner.terminate()


_MACHINES = {"process": _process, "sandbox": _sandbox, "docker": _docker}


@pytest.fixture(params=[PROCESS, SANDBOX, DOCKER])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """Every runtime in turn."""
    with _MACHINES[request.param](request, tmp_path) as machine:
        yield machine


@pytest.fixture(params=[SANDBOX, DOCKER])
def isolating_machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """Every runtime that isolates runs."""
    with _MACHINES[request.param](request, tmp_path) as machine:
        yield machine


@pytest.fixture(params=[PROCESS, SANDBOX])
def spawning_machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """Every runtime whose processes belong to the spawner."""
    with _MACHINES[request.param](request, tmp_path) as machine:
        yield machine


@pytest.fixture(params=[PROCESS])
def process_machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """The process runtime alone."""
    with _MACHINES[request.param](request, tmp_path) as machine:
        yield machine


@pytest.fixture(params=[SANDBOX])
def sandbox_machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """The sandbox alone."""
    with _MACHINES[request.param](request, tmp_path) as machine:
        yield machine


@pytest.fixture
async def runs(machine: Machine) -> AsyncIterator[Runs]:
    """An agent on every runtime in turn."""
    async with machine.agent() as runs:
        yield runs


@pytest.fixture
async def isolated(isolating_machine: Machine) -> AsyncIterator[Runs]:
    """An agent on every runtime that isolates."""
    async with isolating_machine.agent() as runs:
        yield runs


@pytest.fixture
async def sandboxed(sandbox_machine: Machine) -> AsyncIterator[Runs]:
    """An agent with sandboxes."""
    async with sandbox_machine.agent() as runs:
        yield runs
