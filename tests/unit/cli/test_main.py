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


def test_an_account_is_limited_shown_and_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(tmp_path / "data")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["account", *arguments, "--data", data])
        told = capsys.readouterr()
        return code, told.out, told.err

    assert run("show", "ada@example.org") == (
        2,
        "",
        f"hearth: data: {data} is no data directory: there are no accounts\n",
    )
    run("create", "ada@example.org")
    run("create", "bob@example.org")
    code, out, _ = run("limits", "Ada@example.org", "max_tasks=7", "max_running_tasks=0")
    limits = "max_tasks=7 max_running_tasks=0 max_instances=1000000"
    assert (code, limits in out) == (0, True)
    assert run("allow-view", "ada@example.org", "bob@example.org")[1] == "bob@example.org may look at ada@example.org\n"
    lines = run("show", "ada@example.org")[1].splitlines()
    assert lines[0].startswith("ada@example.org  ")
    assert lines[1] == "has      tasks=0 running_tasks=0 instances=0 cores=0 buckets=0 bucket_bytes=0"
    assert lines[2].startswith(f"limits   {limits}")
    assert lines[3] == "viewers  bob@example.org"
    revoked = "bob@example.org may no longer look at ada@example.org\n"
    assert run("revoke-view", "ada@example.org", "bob@example.org")[1] == revoked
    again = "bob@example.org may not look at ada@example.org, as before\n"
    assert run("revoke-view", "ada@example.org", "bob@example.org")[1] == again
    assert run("show", "ada@example.org")[1].splitlines()[3] == "viewers  none"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "eve@example.org"], "No such account: eve@example.org"),
        (["limits", "eve@example.org", "max_tasks=1"], "No such account: eve@example.org"),
        (["limits", "ada@example.org", "max_tasks"], "max_tasks: 'max_tasks' should be name=number, for example"),
        (["limits", "ada@example.org", "max_tasks=-1"], "max_tasks: 'max_tasks=-1' should be name=number"),
        (["limits", "ada@example.org", f"max_tasks={1 << 53}"], f"max_tasks: {1 << 53} is more than any client reads"),
        (["limits", "ada@example.org", "tasks=1"], "tasks: is no limit; the limits are max_tasks, max_running_tasks"),
        (["allow-view", "ada@example.org", "ada@example.org"], "viewer: ada@example.org sees its own account anyway"),
        (["allow-view", "ada@example.org", "eve@example.org"], "No such account: eve@example.org"),
        (["revoke-view", "eve@example.org", "ada@example.org"], "No such account: eve@example.org"),
    ],
)
def test_what_cannot_be_done_with_accounts_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert main(["account", "create", "ada@example.org", "--data", str(tmp_path / "data")]) == 0
    capsys.readouterr()
    assert main(["account", *arguments, "--data", str(tmp_path / "data")]) == 2
    assert capsys.readouterr().err.startswith(f"hearth: {sentence}")
