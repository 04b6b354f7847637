from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.api.sites import TestSite, open_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[TestSite]:
    opened = open_site(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
async def api(site: TestSite) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the first account."""
    _, token = await site.account()
    async with site.client(token) as client:
        yield client
