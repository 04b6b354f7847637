"""What every suite can ask for: see tests/services for the fixtures that are real servers."""

import pytest

from tests.services.docker import docker_engine
from tests.services.official_client import official_client
from tests.services.postgres import module_postgres_url, postgres_server, postgres_url
from tests.services.registry import registry
from tests.services.sandbox import bubblewrap

__all__ = [
    "bubblewrap",
    "docker_engine",
    "module_postgres_url",
    "official_client",
    "postgres_server",
    "postgres_url",
    "registry",
]

_MARK_OF_FIXTURE = {"docker_engine": "docker", "postgres_server": "postgres", "bubblewrap": "sandbox"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the services that they use, so that `-m 'not docker'` needs no care."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in _MARK_OF_FIXTURE:
                item.add_marker(_MARK_OF_FIXTURE[fixture])
