"""Platforms for whole-product tests: one per runtime that the tests of a session share."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.services.account import Account
from tests.services.platform import RUNTIMES, Platform, platform_with, running_platform


@pytest.fixture(scope="session")
def shared_platform() -> Iterator[Platform]:
    """A platform with the process runtime; tests may not stop it or change its settings."""
    with running_platform() as platform:
        yield platform


@pytest.fixture
def user(shared_platform: Platform) -> Account:
    """The first account of the shared platform."""
    return shared_platform.account()


@pytest.fixture(scope="session")
def platforms(request: pytest.FixtureRequest) -> Iterator[dict[str, Platform]]:
    """Platforms by runtime, each started when it is first wanted."""
    with ExitStack() as stack:
        started: dict[str, Platform] = {}

        class Started(dict[str, Platform]):
            def __missing__(self, runtime: str) -> Platform:
                if runtime == "process":
                    started[runtime] = request.getfixturevalue("shared_platform")
                else:
                    started[runtime] = stack.enter_context(platform_with(request, runtime))
                self[runtime] = started[runtime]
                return started[runtime]

        yield Started()


@pytest.fixture(params=RUNTIMES)
def each_platform(request: pytest.FixtureRequest, platforms: dict[str, Platform]) -> Platform:
    """A platform of each runtime."""
    return platforms[request.param]


@pytest.fixture
def anyone(each_platform: Platform) -> Account:
    """The first account of a platform of each runtime."""
    return each_platform.account()


@pytest.fixture
def own_platform() -> Iterator[Platform]:
    """A platform of this test's own, not started yet."""
    with running_platform(started=False) as platform:
        yield platform
