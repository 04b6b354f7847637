"""The clients that are compared, and one platform per runtime for all of them."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.services.platform import RUNTIMES, Platform, platform_with

SCRIPTS = Path(__file__).parent / "scripts"
OFFICIAL = ("2.4.1", "2.23.0")
OURS = "ours"


@dataclass(frozen=True, slots=True)
class Clients:
    """Pythons by the `qarnot` that they hold, and the platform that they talk to."""

    pythons: dict[str, Path]
    platform: Platform
    folder: Path

    def without(self, client: str) -> "Clients":
        """Return the others."""
        return Clients({c: python for c, python in self.pythons.items() if c != client}, self.platform, self.folder)

    def answers(self, script: str) -> dict[str, dict[str, Any]]:
        """Run a script with every client at once; return what each told."""
        running = {}
        for client, python in self.pythons.items():
            folder = self.folder / client
            folder.mkdir()
            prefix = f"{script}-{client.replace('.', '')}"
            running[client] = subprocess.Popen(
                [python, SCRIPTS / f"{script}.py", self.platform.configuration, prefix, folder],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
            )
        try:
            return {client: self._told(script, client, process) for client, process in running.items()}
        finally:
            for process in running.values():
                process.kill()
                process.wait()

    def _told(self, script: str, client: str, process: "subprocess.Popen[str]") -> dict[str, Any]:
        try:
            out, err = process.communicate(timeout=100)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            err += "\n(it did not end)"
        if process.returncode != 0:
            pytest.fail(f"{script} with qarnot {client}:\n{out}\n{err}\n{self.platform.logs()}", pytrace=False)
        told: dict[str, Any] = json.loads(out)
        return told


@pytest.fixture(scope="session", params=RUNTIMES)
def platform(request: pytest.FixtureRequest) -> Iterator[Platform]:
    """A platform of each runtime, with room for what all clients have running at once."""
    with ExitStack() as stack:
        yield stack.enter_context(platform_with(request, request.param, {"HEARTH_NODE_CORES": "12"}))


@pytest.fixture
def clients(platform: Platform, official_client: Callable[[str], Path], tmp_path: Path) -> Clients:
    """The official clients and ours, on one platform."""
    pythons = {version: official_client(version) for version in OFFICIAL}
    return Clients({**pythons, OURS: Path(sys.executable)}, platform, tmp_path)
