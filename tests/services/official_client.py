"""Official clients as PyPI has them, each in a virtual environment of its own."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_UV = _ROOT / ".tools/bin/uv"


def python_of(version: str) -> Path:
    """Return the interpreter of an environment that holds `qarnot==version` and what it needs, nothing else."""
    requirements = _ROOT / f"requirements/qarnot-{version}.txt"
    environment = _ROOT / ".compat" / version
    python = environment / "bin/python"
    origin = f"{environment} {sys.version} {hashlib.sha256(requirements.read_bytes()).hexdigest()}"
    made_from = environment / "made-from"
    if not made_from.is_file() or made_from.read_text() != origin:
        _run("venv", "--quiet", "--clear", "--no-python-downloads", "--python", sys.executable, str(environment))
        words = ["--quiet", "--require-hashes", "--python", str(python), "-r", str(requirements)]
        _run("pip", "install", *words)
        made_from.write_text(origin)
    return python


def _run(*words: str) -> None:
    result = subprocess.run([_UV, *words], check=False, capture_output=True, text=True)
    if result.returncode != 0:
        pytest.fail(f"uv {words[0]}: {result.stderr.strip()}", pytrace=False)


@pytest.fixture(scope="session")
def official_client() -> Callable[[str], Path]:
    """`official_client("2.4.1")` is the python of an environment with that official SDK (2.4.1 or 2.23.0)."""
    return python_of
