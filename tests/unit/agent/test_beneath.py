"""A run that plays with links never makes the agent look or write outside of its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hearth.agent import beneath

OWNER = (os.getuid(), os.getgid())


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").write_text("secret")
    job = tmp_path / "job"
    (job / "deep/er").mkdir(parents=True)
    (job / "deep/er/file").write_text("mine")
    (job / "out").symlink_to(tmp_path / "secret")
    (job / "deep/file").symlink_to(tmp_path / "secret/file")
    os.mkfifo(job / "pipe")
    return job


def test_a_file_below_is_opened(job: Path):
    handle = beneath.open_file(job, "deep/er/file")
    assert os.read(handle, 100) == b"mine"
    os.close(handle)


@pytest.mark.parametrize("path", ["out/file", "deep/file", "deep/../../secret/file", "pipe", "deep", "deep//er/file"])
def test_links_parents_pipes_and_folders_are_not_opened_as_files(job: Path, path: str):
    with pytest.raises(OSError, match=r".+"):
        beneath.open_file(job, path)


def test_folders_are_made_and_never_through_a_link(job: Path, tmp_path: Path):
    with beneath.folder(job) as root:
        with beneath.made_folder(root, ["new", "er"], OWNER) as handle:
            os.close(os.open("file", os.O_CREAT, dir_fd=handle))
        with pytest.raises(OSError, match=r"Not a directory|Too many"), beneath.made_folder(root, ["out", "x"], OWNER):
            pass
    assert (job / "new/er/file").exists()
    assert sorted(path.name for path in (tmp_path / "secret").iterdir()) == ["file"]
