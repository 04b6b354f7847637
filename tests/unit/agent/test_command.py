"""What a task's constants make a runtime start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from hearth.agent.command import image_of, notes_on, refusal_of_image, run_spec
from hearth.agent.folders import Folders
from hearth.agent.runtime.base import Image, RunSpec, Runtime
from hearth.domain.errors import Invalid
from hearth.wire.agent import Work

KEY = (4, 2, 3)


@dataclass
class Kind:
    """A runtime as far as commands look at it."""

    name: str

    @property
    def takes_images(self) -> bool:
        return self.name == "docker"


DOCKER, SANDBOX, PROCESS = (cast(Runtime, Kind(name)) for name in ("docker", "sandbox", "process"))


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(tmp_path)
    made.make(KEY)
    return made


def a_work(default_image: str = "", **constants: str) -> Work:
    return Work(
        4,
        "u",
        7,
        constants,
        {"TASK_UUID": "u"},
        network=True,
        cores=1.5,
        memory_bytes=1 << 20,
        default_image=default_image,
    )


def spec_of(folders: Folders, runtime: Runtime, default_image: str = "", **constants: str) -> RunSpec:
    return run_spec(a_work(default_image, **{"DOCKER_CMD": "echo hi", **constants}), KEY, folders, runtime)


def test_a_run_gets_its_words_its_folder_and_its_size(folders: Folders):
    spec = spec_of(folders, SANDBOX, DOCKER_CMD="echo '${INSTANCE_ID} of' ${INSTANCE_COUNT}")
    assert spec.argv == ("echo", "2 of", "7")
    assert (spec.key, spec.directory, spec.stdout, spec.stderr) == (
        "4.2.3",
        folders.job(KEY),
        folders.stdout(KEY),
        folders.stderr(KEY),
    )
    assert (spec.network, spec.cores, spec.memory_bytes, spec.image) == (True, 1.5, 1 << 20, None)


@pytest.mark.parametrize("runtime", [DOCKER, SANDBOX])
def test_an_isolated_run_finds_its_files_in_job(folders: Folders, runtime: Runtime):
    spec = spec_of(folders, runtime, "ubuntu")
    assert spec.environment["QARNOT_RESULTS_DIRECTORY"] == spec.environment["TASK_PATH"] == spec.mount_point == "/job"


def test_a_plain_process_finds_its_files_where_they_are(folders: Folders):
    spec = spec_of(folders, PROCESS)
    assert spec.environment["QARNOT_RESULTS_DIRECTORY"] == spec.environment["HOME"] == str(folders.job(KEY))


def test_an_image_says_its_own_path_and_command(folders: Folders):
    spec = spec_of(folders, DOCKER, "ubuntu", DOCKER_CMD="")
    assert (spec.argv, spec.image) == ((), Image("ubuntu"))
    assert not {"PATH", "HOME"} & spec.environment.keys()


@pytest.mark.parametrize("command", ["", "   "])
def test_without_an_image_a_command_must_be_given(folders: Folders, command: str):
    with pytest.raises(Invalid, match="DOCKER_CMD: it is empty"):
        spec_of(folders, SANDBOX, DOCKER_CMD=command)


def test_a_variable_that_the_user_gives_wins(folders: Folders):
    spec = spec_of(folders, PROCESS, PATH="/opt", TMP_PATH="/scratch")
    assert (spec.environment["PATH"], spec.environment["TMP_PATH"]) == ("/opt", "/scratch")


def test_a_refused_command_does_not_tell_the_secrets_in_it(folders: Folders):
    with pytest.raises(Invalid) as refusal:
        spec_of(folders, SANDBOX, DOCKER_CMD="login '${QARNOT_SECRET__TOKEN}", QARNOT_SECRET__TOKEN="hunter2")
    assert refusal.value.field == "DOCKER_CMD"
    assert "${QARNOT_SECRET__TOKEN}" in refusal.value.message
    assert "hunter2" not in refusal.value.message


def test_constants_that_explode_are_refused(folders: Folders):
    large = {f"C{number}": "${X}" * 500 for number in range(3)}
    with pytest.raises(Invalid, match="constants: with their references expanded"):
        spec_of(folders, SANDBOX, X="x" * 2000, **large)


@pytest.mark.parametrize(
    ("constants", "reference"),
    [
        ({"DOCKER_REPO": "library/busybox"}, "library/busybox:latest"),
        ({"DOCKER_REPO": "library/busybox", "DOCKER_TAG": "1"}, "library/busybox:1"),
        ({"DOCKER_REPO": "a/b", "DOCKER_SRV": "https://registry-1.docker.io"}, "a/b:latest"),
        ({"DOCKER_REPO": "a/b", "DOCKER_SRV": "https://example.org:5000/"}, "example.org:5000/a/b:latest"),
        ({"DOCKER_REPO": "a/b", "DOCKER_SRV": "127.0.0.1:5000/"}, "127.0.0.1:5000/a/b:latest"),
    ],
)
def test_an_image_is_named_by_server_repository_and_tag(constants: dict[str, str], reference: str):
    assert image_of(constants, "") == Image(reference)


def test_a_login_goes_with_the_image():
    constants = {"DOCKER_REPO": "a/b", "DOCKER_REGISTRY_LOGIN": "me", "DOCKER_REGISTRY_PASSWORD": "secret"}
    assert image_of(constants, "") == Image("a/b:latest", "me", "secret")


def test_without_a_repository_the_sites_image_is_taken_if_there_is_one():
    assert image_of({}, "ubuntu:24.04") == Image("ubuntu:24.04")
    assert image_of({}, "") is None


@pytest.mark.parametrize("server", ["http://[", "https://[::1", "http://[x]"])
def test_an_impossible_registry_is_refused_by_its_name(folders: Folders, server: str):
    with pytest.raises(Invalid, match="DOCKER_SRV: "):
        spec_of(folders, DOCKER, DOCKER_REPO="a/b", DOCKER_SRV=server)


def test_only_the_sandbox_refuses_images():
    named = a_work(DOCKER_REPO="a/b")
    assert refusal_of_image(named, DOCKER) is refusal_of_image(named, PROCESS) is None
    assert refusal_of_image(a_work(), SANDBOX) is None
    refusal = refusal_of_image(named, SANDBOX)
    assert refusal is not None
    assert "'a/b' needs a container engine" in refusal


def test_people_are_told_what_a_runtime_does_otherwise():
    assert notes_on(a_work(), DOCKER) == []
    assert "read-only" in notes_on(a_work(), SANDBOX)[0]
    [note] = notes_on(a_work(DOCKER_REPO="a/b"), PROCESS)
    assert "not isolated" in note
    assert "'a/b' was ignored" in note


@pytest.mark.parametrize(
    ("wanted", "working"),
    [("", ""), ("/job", ""), ("/srv/app", "/srv/app"), ("relative", ""), ("${DOCKER_WORKDIR}", "")],
)
def test_a_working_folder_of_its_own_is_an_absolute_path(folders: Folders, wanted: str, working: str):
    assert spec_of(folders, SANDBOX, DOCKER_WORKDIR=wanted).working_directory == working
