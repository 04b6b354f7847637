"""Platforms that are about to be hurt: one per test, with short heartbeats."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.services.platform import Platform, platform_with

QUICK = {"HEARTH_HEARTBEAT_SECONDS": "0.5", "HEARTH_NODE_CORES": "6"}

Start = Callable[[str], Platform]


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """`start(runtime)` is a platform of the test's own."""
    with ExitStack() as stack:
        yield lambda runtime: stack.enter_context(platform_with(request, runtime, QUICK))
