"""Bubblewrap, where the machine lets it make namespaces."""

import subprocess

import pytest

from tests.services.process import program, unavailable


@pytest.fixture(scope="session")
def bubblewrap() -> str:
    """The path of a bubblewrap that works here."""
    executable = program("bwrap", package="bubblewrap")
    tried = subprocess.run(
        [executable, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"],
        check=False,
        capture_output=True,
        text=True,
    )
    if tried.returncode != 0:
        unavailable(f"bubblewrap may not make namespaces here: {tried.stderr.strip()}", "allow user namespaces")
    return executable
