"""A site on a real engine; nothing of it is left after a test."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from hearth.agent.runtime.base import Image
from tests.integration.docker.runs import Runs, opened
from tests.services.docker import DockerEngine
from tests.services.registry import Registry

_numbers = count(1)


@pytest.fixture
def site(docker_engine: DockerEngine) -> str:
    """The id of a site that no other test has."""
    return f"test-site-{next(_numbers)}"


@pytest.fixture
async def runs(docker_engine: DockerEngine, registry: Registry, site: str, tmp_path: Path) -> AsyncIterator[Runs]:
    """An opened runtime with busybox as the image."""
    try:
        async with opened(docker_engine.url, site, tmp_path, Image(registry.busybox)) as runs:
            yield runs
    finally:
        left = await asyncio.to_thread(docker_engine.containers, f"hearth.site={site}")
        await asyncio.to_thread(docker_engine.remove, *left)
