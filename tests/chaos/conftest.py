"""Platforms that are about to be hurt: one per test, with short heartbeats. Each story is read by the laws."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.history import History
from tests.services.platform import Platform, platform_with, running_platform

QUICK = {"HEARTH_HEARTBEAT_SECONDS": "0.5", "HEARTH_NODE_CORES": "6"}

Start = Callable[..., Platform]
Before = Callable[[Platform], Callable[[], None]]


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
            history.watch(platform)
            started.append(platform)
            return platform

        yield start
        for platform in started:
            assert history.broken(platform.data) == []
