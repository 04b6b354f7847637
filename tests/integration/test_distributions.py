"""The three distributions as users install them."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
UV = ROOT / ".tools/bin/uv"
PLACES = {"hearth": ROOT, "hearth_client": ROOT / "client", "qarnot": ROOT / "sdk"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the wheels; the keys are what one imports from them."""
    built = {}
    for name, place in PLACES.items():
        folder = tmp_path_factory.mktemp(name)
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(command, cwd=place, check=True, capture_output=True)
        (built[name],) = folder.glob("*.whl")
    return built


def contents(wheel: Path) -> set[str]:
    """Return the names of the files in a wheel, without its own metadata."""
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.mark.parametrize("name", PLACES)
def test_a_wheel_holds_every_file_of_its_package_and_nothing_else(wheels: dict[str, Path], name: str) -> None:
    source = PLACES[name] / "src"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", name],
        cwd=source,
        check=True,
        capture_output=True,
        text=True,
    )
    assert contents(wheels[name]) == {path for path in tracked.stdout.splitlines() if (source / path).is_file()}


def test_the_official_sdk_stays_whole_beside_the_platform(wheels: dict[str, Path], tmp_path: Path) -> None:
    def uv(*words: str) -> str:
        return subprocess.run([UV, *words], check=True, capture_output=True, text=True).stdout

    python = tmp_path / "venv/bin/python"
    uv("venv", "--quiet", "--no-python-downloads", "--python", sys.executable, str(tmp_path / "venv"))
    official = ["-r", str(ROOT / "requirements/qarnot-2.23.0.txt")]
    uv("pip", "install", "--quiet", "--python", str(python), "--require-hashes", *official)
    packages = tmp_path / "venv/lib"
    before = {path: path.read_bytes() for path in packages.rglob("qarnot*/**/*") if path.is_file()}
    assert before
    ours = [str(wheels["hearth_client"]), str(wheels["hearth"])]
    uv("pip", "install", "--quiet", "--python", str(python), "--no-deps", *ours)
    assert {path: path.read_bytes() for path in before if path.is_file()} == before
    shown = uv("pip", "list", "--python", str(python), "--format", "freeze").split()
    assert "qarnot==2.23.0" in shown
    assert not [line for line in shown if line.startswith("hearth-sdk")]
