"""Platforms that are about to be hurt: one per test, with short heartbeats. Each story is read by the laws."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.history import History
from tests.services.account import Account
from tests.services.platform import Platform, platform_with, running_platform

QUICK = {"HEARTH_HEARTBEAT_SECONDS": "0.5", "HEARTH_NODE_CORES": "6"}

Start = Callable[..., Platform]
Before = Callable[[Platform], Callable[[], None]]


class WatchedPlatform:
    """Makes every account that a platform gives write down what it is told."""

    def __init__(self, platform: Platform, history: History) -> None:
        self._account = platform.account
        self._history = history

    def account(self, email: str = "me@localhost", token: str = "") -> Account:
        """Return somebody who talks to the platform, watched."""
        return self._history.watched(self._account(email, token))


@pytest.fixture
def history(tmp_path: Path) -> History:
    """What users of this test's platform are told, and what their instances did."""
    return History(tmp_path)


@pytest.fixture
def start(request: pytest.FixtureRequest, history: History) -> Iterator[Start]:
    """`start(runtime, SETTING=value)` is a platform of the test's own; its story may not contradict the laws.

    `before` is called when its data directory is not there yet; what it returns is called in the end.
    """
    started: list[Platform] = []
    with ExitStack() as stack:

        def start(runtime: str, *, before: Before | None = None, **settings: str) -> Platform:
            environ = {**QUICK, **{f"HEARTH_{name}": value for name, value in settings.items()}}
            if before is None:
                platform = stack.enter_context(platform_with(request, runtime, environ))
            else:
                ending = stack.enter_context(ExitStack())
                platform = stack.enter_context(running_platform(runtime, environ=environ, started=False))
                ending.callback(before(platform))
                platform.start()
            platform.account = WatchedPlatform(platform, history).account  # type: ignore[method-assign]
            started.append(platform)
            return platform

        yield start
        for platform in started:
            assert history.broken(platform.data) == []
