"""Every test here runs on both databases: what it says is what a store promises, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hearth.store.door import Store, open_engine
from hearth.store.schema import upgrade
from tests.contract.store.world import World


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'hearth.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    opened = open_engine(url)
    upgrade(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def store(engine: Engine) -> Iterator[Store]:
    opened = Store(engine)
    yield opened
    opened.close()


@pytest.fixture
def world(store: Store) -> World:
    """A site's rows, changed by the commands that change them in a server."""
    return World(store)
