"""The gateway over http and https, and boto3 as its users configure it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.integration.gateway.server import Served, Storage, a_storage, client


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    made = a_storage(tmp_path)
    yield made
    made.close()


@pytest.fixture
def served(storage: Storage) -> Iterator[Served]:
    with Served(storage.gateway) as running:
        yield running


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["default", "when_required"])
def s3(request: pytest.FixtureRequest, scheme: str, storage: Storage, tmp_path: Path) -> Iterator[Any]:
    """boto3 with and without the checksums of its default, over http and https."""
    config: dict[str, Any] = {}
    if request.param == "when_required":
        config = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert("127.0.0.1") if scheme == "https" else None
    with Served(storage.gateway, certificate) as running:
        made = client(running, verify=str(tmp_path / "ca.pem") if certificate else None, **config)
        yield made
        made.close()


@pytest.fixture
def alice(served: Served) -> Iterator[Any]:
    made = client(served)
    yield made
    made.close()
