"""A container registry on loopback that holds two small images, so that pulls are real."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import httpx
import pytest

from tests.services.image import busybox_image, push
from tests.services.process import ServerProcess, free_port, new_folder, program

# Prints what it was given, then runs it: shows whether an image's ENTRYPOINT was kept, and with which words.
_ENTRY = b"""#!/bin/sh
echo "entry got $# words"
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Registry:
    """Where the registry listens, and what it serves."""

    host: str

    @property
    def busybox(self) -> str:
        """A shell and small programs, with CMD `sh`; also tagged `latest`."""
        return f"{self.host}/library/busybox:1"

    @property
    def entry(self) -> str:
        """Busybox with ENTRYPOINT `/entry` (prints `entry got N words`, runs them), CMD `echo default`."""
        return f"{self.host}/library/entry:1"

    @property
    def absent(self) -> str:
        """An image that the registry refuses to know."""
        return f"{self.host}/library/absent:1"

    def client(self) -> httpx.Client:
        """Return an HTTP client of the registry's API."""
        return httpx.Client(base_url=f"http://{self.host}", timeout=30, trust_env=False)


@contextmanager
def running_registry() -> Iterator[Registry]:
    """Start a registry with the two images in it, and stop it at the end."""
    executable = program("docker-registry", package="docker-registry")
    busybox = Path(program("busybox", package="busybox-static"))
    folder = new_folder("registry")
    registry = Registry(f"127.0.0.1:{free_port()}")
    configuration = folder / "config.yml"
    configuration.write_text(
        "version: 0.1\n"
        "log: {level: warn}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'storage'}}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '{registry.host}'}}\n"
    )
    try:
        with ServerProcess([executable, "serve", str(configuration)], folder) as server, registry.client() as client:
            server.await_ready(lambda: _answers(client))
            push(client, busybox_image(busybox), "library/busybox", "1", "latest")
            entry = busybox_image(
                busybox,
                Entrypoint=["/entry"],
                Cmd=["echo", "default"],
                WorkingDir="/srv",
                Env=["PATH=/bin", "OF_THE_IMAGE=kept"],
            )
            entry.files["entry"] = _ENTRY
            push(client, entry, "library/entry", "1", "latest")
            yield registry
    finally:
        rmtree(folder, ignore_errors=True)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/v2/").is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """A registry on loopback with `registry.busybox` and `registry.entry` in it."""
    with running_registry() as running:
        yield running
