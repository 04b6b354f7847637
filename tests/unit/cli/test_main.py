"""What `hearth` answers to what cannot be done, before it starts anything."""

import os
from pathlib import Path

import pytest

from hearth.cli.main import main


def test_version_is_an_option_and_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    option = capsys.readouterr().out
    assert ended.value.code == 0
    assert main(["version"]) == 0
    assert capsys.readouterr().out == option


@pytest.mark.parametrize("port", ["65536", "-1", "http"])
def test_a_port_that_is_none_is_refused_in_a_sentence(
    tmp_path: Path, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["up", "--data", str(tmp_path / "data"), f"--api-port={port}"])
    assert ended.value.code == 2
    assert f"{port!r} is no port: a number from 0 to 65535" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_data_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    assert main(["account", "create", "ada@example.org", "--data", str(file)]) == 2
    assert capsys.readouterr().err == f"hearth: data: {file} is a file; choose a directory\n"


def test_a_place_that_cannot_be_made_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "data"
    assert main(["account", "create", "ada@example.org", "--data", str(place)]) == 2
    assert f"{place} cannot be made (Not a directory)" in capsys.readouterr().err


def test_a_place_that_may_not_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path or not mode & os.W_OK)  # as root, too
    assert main(["account", "create", "ada@example.org", "--data", str(tmp_path)]) == 2
    assert "may not be written by this user" in capsys.readouterr().err


def test_an_account_of_a_new_directory_says_so_beside_the_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    assert main(["account", "create", "ada@example.org", "--data", str(data)]) == 0
    first = capsys.readouterr()
    assert first.out.startswith("hearth_")
    assert first.err == f"hearth: {data} was no data directory and has been made\n"
    assert main(["account", "create", "bob@example.org", "--data", str(data)]) == 0
    assert capsys.readouterr().err == ""
