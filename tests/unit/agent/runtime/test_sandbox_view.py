"""What a sandbox shows, seen from outside: links are followed as the run would follow them."""

from pathlib import Path

import pytest

from hearth.agent.runtime.sandbox_view import View, check_command
from hearth.agent.spawner.processes import CannotStart


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with one program, and a run's folder."""
    for folder in ("usr/bin", "job/deep", "secret"):
        (tmp_path / folder).mkdir(parents=True)
    program(tmp_path / "usr/bin/true", b"\x7fELF")
    program(tmp_path / "secret/tool", b"\x7fELF")
    return tmp_path


def program(path: Path, content: bytes, mode: int = 0o755) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def view(machine: Path, working_directory: str = "/job") -> View:
    folders = {"/usr": f"{machine}/usr", "/job": f"{machine}/job"}
    return View(folders, {"/bin": "usr/bin"}, working_directory)


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ("/usr/bin/true", "usr/bin/true"),
        ("/bin/true", "usr/bin/true"),
        ("/job/../bin/./true", "usr/bin/true"),
        ("/../../bin/true", "usr/bin/true"),
        ("./x", "job/x"),
        ("deep/../x", "job/x"),
        ("/", None),
        ("/secret/tool", None),
        ("/usrlocal", None),
        ("/tmp/x", None),
    ],
)
def test_a_path_of_the_run_is_found_outside(machine: Path, inside: str, outside: str | None) -> None:
    assert view(machine).outside(inside) == (None if outside is None else f"{machine}/{outside}")


def test_links_lead_where_they_lead_inside(machine: Path) -> None:
    (machine / "job" / "absolute").symlink_to("/bin/true")
    (machine / "job" / "relative").symlink_to("../bin")
    (machine / "job" / "deep" / "up").symlink_to("..")
    seen = view(machine)
    assert seen.outside("/job/absolute") == f"{machine}/usr/bin/true"
    assert seen.outside("/job/deep/up/relative/true") == f"{machine}/usr/bin/true"


def test_a_link_out_of_the_view_shows_nothing(machine: Path) -> None:
    (machine / "job" / "out").symlink_to(machine / "secret")
    assert view(machine).outside("/job/out/tool") is None


def test_a_link_to_itself_shows_nothing(machine: Path) -> None:
    (machine / "job" / "loop").symlink_to("loop")
    assert view(machine).outside("/job/loop") is None


def refusal(machine: Path, name: str, path: str = "/bin", uid: int = 4242) -> tuple[int, str]:
    with pytest.raises(CannotStart) as refused:
        check_command((name,), {"PATH": path}, view(machine), uid, 4242)
    return refused.value.exit_code, refused.value.message


@pytest.mark.parametrize(("name", "path"), [("true", "/bin"), ("/bin/true", ""), ("true", "/nowhere:/usr/bin")])
def test_a_program_of_the_machine_can_be_run(machine: Path, name: str, path: str) -> None:
    check_command((name,), {"PATH": path}, view(machine), 4242, 4242)


def test_a_program_that_only_its_owner_may_run_is_refused(machine: Path) -> None:
    program(machine / "usr/bin/private", b"\x7fELF", 0o700)
    assert refusal(machine, "private")[0] == 126
    owner = (machine / "usr/bin/private").stat().st_uid
    check_command(("private",), {"PATH": "/bin"}, view(machine), owner, 4242)


def test_a_later_folder_of_the_path_is_tried_when_an_earlier_one_holds_no_program(machine: Path) -> None:
    program(machine / "job/true", b"", 0o644)
    check_command(("true",), {"PATH": "/job:/bin"}, view(machine), 4242, 4242)


@pytest.mark.parametrize(
    ("content", "exit_code", "said"),
    [
        (b"#!/bin/true\n", None, ""),
        (b"#! /bin/true -x\n", None, ""),
        (b"#!/no/interpreter\n", 127, "interpreter"),
        (b"#!/secret/tool\n", 127, "interpreter"),
        (b"#!\n", 127, "interpreter"),
        (b"plain text", 126, "#!"),
        (b"", 126, "#!"),
    ],
)
def test_a_file_is_looked_into(machine: Path, content: bytes, exit_code: int | None, said: str) -> None:
    program(machine / "job/file", content)
    if exit_code is None:
        check_command(("./file",), {}, view(machine), 4242, 4242)
        return
    told = refusal(machine, "./file")
    assert told[0] == exit_code
    assert said in told[1]
