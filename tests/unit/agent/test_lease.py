"""What an agent writes down of its lease, and what the next one makes of it."""

from pathlib import Path

import pytest

from hearth.agent import lease
from hearth.agent.lease import StoredLease


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lease"


def test_the_next_agent_reads_what_was_stored_last(path: Path):
    stored = StoredLease(path)
    stored.store(100.25)
    stored.store(107.5)
    assert StoredLease(path).load() == 107.5
    assert path.stat().st_size == 48


def test_nothing_stored_says_nothing(path: Path):
    assert StoredLease(path).load() is None


def test_a_lease_without_an_end_has_none(path: Path):
    StoredLease(path).store(100.0)
    StoredLease(path).store(None)
    assert StoredLease(path).load() is None


def test_a_file_that_is_cut_says_nothing(path: Path):
    StoredLease(path).store(100.0)
    path.write_bytes(path.read_bytes()[:20])
    assert StoredLease(path).load() is None


def test_a_lease_of_another_start_of_the_machine_says_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    StoredLease(path).store(100.0)
    (tmp_path / "boot_id").write_text("another start\n")
    monkeypatch.setattr(lease, "_BOOT_ID", str(tmp_path / "boot_id"))
    assert StoredLease(path).load() is None
