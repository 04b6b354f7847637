"""A profile, or a task of it, says how long a run may take; what runs longer is ended, and what it made is kept."""

from collections.abc import Iterator

import pytest

from tests.services.account import Account
from tests.services.platform import Platform, running_platform

PROFILE = """
description = "For tests."
max_wall_seconds = 2

[[constants]]
name = "DOCKER_CMD"
"""
LONG = 'echo half > half; echo begun; echo "last words" >&2; sleep 600'


@pytest.fixture(scope="module")
def limited() -> Iterator[Platform]:
    """A platform with a profile whose runs may take two seconds."""
    with running_platform(started=False) as platform:
        profiles = platform.data / "profiles"
        profiles.mkdir(parents=True)
        (profiles / "limited.toml").write_text(PROFILE)
        platform.start()
        yield platform


@pytest.fixture
def user(limited: Platform) -> Account:
    return limited.account()


def test_a_run_that_takes_too_long_is_ended_and_says_so(user: Account) -> None:
    task = user.run(LONG, shell=True, profile="limited", resultBucket="wall-out")
    assert task["state"] == "Failure"
    [error] = task["errors"]
    assert error["code"] == "WALL_TIME"
    assert error["message"] == "Instance 0: it was ended because it ran for more than 2 s, as long as it may"
    assert error["debug"] == "last words"
    assert user.files("wall-out") == {"half": "half\n"}
    assert user.stdout(task["uuid"]) == "0> begun\n"
    [done] = task["completedInstances"]
    assert done["execTimeSec"] >= 2


def test_what_ends_in_time_is_left_alone(user: Account) -> None:
    assert user.run("echo done", shell=True, profile="limited")["state"] == "Success"


def test_the_time_goes_on_while_the_agent_is_away(limited: Platform) -> None:
    user = limited.account()
    uuid = user.submit(LONG, shell=True, profile="limited")
    user.await_stdout(uuid, "begun")
    agent = limited.kill("agent")
    limited.await_another("agent", agent)
    task = user.await_end(uuid)
    assert [error["code"] for error in task["errors"]] == ["WALL_TIME"]
