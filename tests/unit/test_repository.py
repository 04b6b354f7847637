"""What holds for the files of the repository itself."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
ADDRESSES = re.compile(r"pythonhosted\.org|pypi\.org/simple|registry\.npmjs\.org|\"resolved\": *\"http")
MACHINE_PATHS = re.compile(r"(^|[^\w.~-])/(work|root|home/\w+)/", re.MULTILINE)
PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^ ;\\]+)", re.MULTILINE)


def tracked_files() -> list[str]:
    """Return the paths of the files that git holds or would hold."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [path for path in listed.stdout.splitlines() if (ROOT / path).is_file()]


def texts() -> dict[str, str]:
    """Return the text of every tracked file but this one, which names what it forbids."""
    this = Path(__file__).relative_to(ROOT).as_posix()
    return {path: (ROOT / path).read_text(errors="replace") for path in tracked_files() if path != this}


def pins(requirements: Path) -> dict[str, str]:
    """Return the versions that a requirements file pins, by name."""
    return {found["name"]: found["version"] for found in PINNED.finditer(requirements.read_text())}


def name_of(requirement: str) -> str:
    """Return the normalised name in a requirement like `psycopg[binary]>=3.2`."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def table(path: str) -> dict[str, object]:
    """Return a TOML file of the repository as a mapping."""
    return tomllib.loads((ROOT / path).read_text())


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    found = {path: hit[0].strip() for path, text in texts().items() if (hit := MACHINE_PATHS.search(text))}
    assert found == {}


def test_no_file_records_where_a_package_was_downloaded() -> None:
    found = {path: hit[0] for path, text in texts().items() if (hit := ADDRESSES.search(text))}
    assert found == {}


def test_no_lock_file_with_addresses_is_tracked() -> None:
    assert [path for path in tracked_files() if Path(path).name in ("uv.lock", "poetry.lock", "Pipfile.lock")] == []


@pytest.mark.parametrize("requirements", REQUIREMENTS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_with_a_hash(requirements: Path) -> None:
    logical_lines = requirements.read_text().replace("\\\n", " ").splitlines()
    wanted = [line for line in logical_lines if line.strip() and not line.lstrip().startswith("#")]
    assert wanted
    assert [line for line in wanted if not PINNED.match(line) or "--hash=sha256:" not in line] == []


def test_what_the_demo_runs_is_what_was_tested() -> None:
    tested = pins(ROOT / "requirements/dev.txt")
    assert {name: tested.get(name) for name in pins(ROOT / "requirements/run.txt")} == pins(
        ROOT / "requirements/run.txt"
    )


def test_every_dependency_is_among_the_pins() -> None:
    """A dependency added without `make lock` would be missing from a fresh environment."""
    for project in ("pyproject.toml", "client/pyproject.toml", "sdk/pyproject.toml"):
        metadata = table(project)["project"]
        assert isinstance(metadata, dict)
        wanted = {name_of(requirement) for requirement in metadata["dependencies"]} - {"hearth-client"}
        assert wanted - set(pins(ROOT / "requirements/run.txt")) == set(), project
    groups = table("pyproject.toml")["dependency-groups"]
    assert isinstance(groups, dict)
    wanted = {name_of(requirement) for requirement in groups["dev"] if isinstance(requirement, str)}
    assert wanted - set(pins(ROOT / "requirements/dev.txt")) == set()


def test_the_makefile_runs_every_suite() -> None:
    found = re.search(r"^SUITES := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found
    run = {entry.partition("=")[0] for entry in found[1].split()}
    present = {path.split("/")[1] for path in tracked_files() if re.match(r"tests/.+/test_[^/]*\.py$", path)}
    assert run >= present


def test_the_budgets_of_ci_fit_into_52_minutes() -> None:
    steps = re.findall(r"^step (\d+) ", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert 0 < sum(map(int, steps)) <= 52 * 60
