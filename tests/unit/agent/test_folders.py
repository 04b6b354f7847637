"""Folders of runs: handed on only when nobody can tell that somebody was there, and found again."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hearth.agent import folders as module
from hearth.agent.folders import JOB_MODE, Folders, key_of, key_text

KEY, NEXT = (1, 0, 1), (2, 5, 3)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def path_of(folders: Folders, key: tuple[int, int, int] = KEY) -> Path:
    folders.make(key)
    return Path(folders.path(key))


def nest(folder: Path, depth: int) -> None:
    """Make folders in folders, deeper than a path is long."""
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deeper", dir_fd=handle)
        inside = os.open("deeper", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inside
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)


def test_names_of_runs_are_read_as_they_are_written():
    assert key_of(key_text((12, 0, 3))) == (12, 0, 3)


def test_a_new_folder_is_empty_and_open_to_any_user_inside(folders: Folders):
    folders.make(KEY)
    assert os.listdir(folders.job(KEY)) == []
    assert folders.job(KEY).stat().st_mode & 0o777 == JOB_MODE
    assert folders.stdout(KEY).read_bytes() == folders.stderr(KEY).read_bytes() == b""
    assert folders.stdout(KEY).stat().st_mode & 0o777 == 0o600


def test_a_folder_that_nobody_touched_is_handed_on(folders: Folders):
    before = path_of(folders)
    assert folders.release(KEY) is None
    assert path_of(folders, NEXT) == before
    assert not folders.has(KEY)


def left_a_file(folder: Path) -> None:
    (folder / "job" / "file").write_text("x")


def left_a_hidden_folder(folder: Path) -> None:
    (folder / "job" / ".secret").mkdir()


def left_output(folder: Path) -> None:
    (folder / "stdout").write_text("x")


def left_errors(folder: Path) -> None:
    (folder / "stderr").write_text("x")


def left_a_manifest(folder: Path) -> None:
    (folder / "resources").write_text("[]")


def left_another_mode(folder: Path) -> None:
    (folder / "job").chmod(0o1777)


def left_a_link(folder: Path) -> None:
    (folder / "job").rmdir()
    (folder / "elsewhere").mkdir()
    (folder / "job").symlink_to("elsewhere")


def left_no_folder(folder: Path) -> None:
    (folder / "job").rmdir()


@pytest.mark.parametrize(
    "leave",
    [
        left_a_file,
        left_a_hidden_folder,
        left_output,
        left_errors,
        left_a_manifest,
        left_another_mode,
        left_a_link,
        left_no_folder,
    ],
)
def test_whatever_is_left_behind_keeps_a_folder_from_being_handed_on(folders: Folders, leave):
    folder = path_of(folders)
    leave(folder)
    slot = folders.release(KEY)
    assert slot is not None
    assert path_of(folders, NEXT) != folder
    folders.clear(slot)
    assert not folder.exists()


def test_an_attribute_is_left_behind_too(folders: Folders):
    folder = path_of(folders)
    try:
        os.setxattr(folder / "job", "user.note", b"x")
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("this file system has no attributes of users")
    assert folders.release(KEY) is not None


def test_a_slot_comes_back_once_it_was_cleared(folders: Folders):
    folder = path_of(folders)
    left_a_file(folder)
    slot = folders.release(KEY)
    assert slot is not None
    folders.clear(slot)
    folders.recycle(slot)
    assert path_of(folders, NEXT) == folder
    assert os.listdir(folder / "job") == []


def test_folders_nested_deeper_than_any_recursion_are_removed(folders: Folders):
    folder = path_of(folders)
    nest(folder / "job", 3000)
    slot = folders.release(KEY)
    assert slot is not None
    folders.clear(slot)
    assert os.listdir(folder.parent) == []


def test_folders_that_a_run_closed_are_removed(folders: Folders):
    folder = path_of(folders)
    closed = folder / "job" / "closed"
    (closed / "inside").mkdir(parents=True)
    (closed / "inside" / "file").write_text("x")
    closed.chmod(0)
    slot = folders.release(KEY)
    assert slot is not None
    folders.clear(slot)
    assert os.listdir(folder.parent) == []


def test_what_a_link_points_to_stays_when_the_link_is_removed(folders: Folders, tmp_path: Path):
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o755)
    (mine / "file").write_text("x")
    folder = path_of(folders)
    (folder / "job" / "link").symlink_to(mine)
    slot = folders.release(KEY)
    assert slot is not None
    folders.clear(slot)
    assert (mine / "file").read_text() == "x"
    assert mine.stat().st_mode & 0o777 == 0o755


def test_an_agent_that_returns_finds_the_folders_of_its_runs_and_removes_all_others(tmp_path: Path):
    first = Folders(tmp_path)
    mine, other = path_of(first), path_of(first, NEXT)
    (mine / "job" / "file").write_text("mine")
    nest(other / "job", 1500)
    (mine.parent / "foreign").write_text("x")
    again = Folders(tmp_path)
    again.recover([KEY, (9, 9, 9)])
    assert again.has(KEY) and not again.has((9, 9, 9)) and not again.has(NEXT)
    assert (again.job(KEY) / "file").read_text() == "mine"
    assert os.listdir(mine.parent) == [mine.name]
    assert path_of(again, NEXT) != mine


def test_a_released_folder_is_nobodys_after_a_return(tmp_path: Path):
    first = Folders(tmp_path)
    first.make(KEY)
    first.release(KEY)
    again = Folders(tmp_path)
    again.recover([KEY])
    assert not again.has(KEY)


def test_too_many_runs_are_refused_as_a_full_disk_is(folders: Folders, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(folders, "_bare", [0])
    folders.make(KEY)
    with pytest.raises(OSError, match=f"all {module.SLOTS} folders of runs are in use"):
        folders.make(NEXT)
