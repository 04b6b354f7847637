"""Platforms for whole-product tests: one per runtime that the tests of a session share."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.history import History
from tests.services.account import Account
from tests.services.docker import DockerEngine
from tests.services.platform import RUNTIMES, Platform, running_platform


@pytest.fixture(scope="session")
def shared_platform() -> Iterator[Platform]:
    """A platform with the process runtime; tests may not stop it or change its settings."""
    with running_platform() as platform, TemporaryDirectory() as folder:
        history = History(Path(folder))
        history.watch(platform)
        yield platform
        # Tests may leave tasks that go on.
        assert history.broken(platform.data, leaving_out=["2 every instance ends or says why"]) == []


@pytest.fixture
def user(shared_platform: Platform) -> Account:
    """The first account of the shared platform."""
    return shared_platform.account()


@pytest.fixture(scope="session")
def sandbox_platform(bubblewrap: str) -> Iterator[Platform]:
    """A platform with the sandbox runtime, shared like the other."""
    with running_platform("sandbox") as platform:
        yield platform


@pytest.fixture(scope="session")
def docker_platform(docker_engine: DockerEngine) -> Iterator[Platform]:
    """A platform with the docker runtime, shared like the other."""
    with running_platform("docker", engine=docker_engine) as platform:
        yield platform


@pytest.fixture(params=RUNTIMES)
def each_platform(request: pytest.FixtureRequest) -> Platform:
    """A platform of each runtime."""
    name = "shared_platform" if request.param == "process" else f"{request.param}_platform"
    platform: Platform = request.getfixturevalue(name)
    return platform


@pytest.fixture
def anyone(each_platform: Platform) -> Account:
    """The first account of a platform of each runtime."""
    return each_platform.account()


@pytest.fixture
def own_platform() -> Iterator[Platform]:
    """A platform of this test's own, not started yet."""
    with running_platform(started=False) as platform:
        yield platform
