"""An end is the end of everything that a command started, in every runtime."""

import itertools
from pathlib import Path

import pytest

from tests.services.account import Account
from tests.services.platform import Platform
from tests.services.process import await_true

_marks = itertools.count(41_000)

FAMILY = """
sleep $MARK &
setsid sleep $MARK &
(setsid sh -c 'sleep $MARK & trap "" TERM INT HUP; sleep $MARK' &)
echo ready
"""


@pytest.fixture
def mark() -> str:
    """How long this test's commands would sleep, by which they are found."""
    return f"{next(_marks)}.5"


def sleeping(mark: str) -> list[int]:
    """Return the processes of the whole machine that sleep for `mark`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[:2] == [b"sleep", mark.encode()]:
                found.append(int(entry.name))
    return found


def test_abort_ends_the_command_and_all_its_children(anyone: Account, mark: str) -> None:
    uuid = anyone.submit(FAMILY + "exec sleep $MARK", shell=True, constants={"MARK": mark}, instanceCount=1)
    anyone.await_stdout(uuid, "ready")
    await_true(lambda: len(sleeping(mark)) == 5, what="all five sleep")

    assert anyone.post(f"/tasks/{uuid}/abort").status_code == 200
    task = anyone.await_end(uuid)
    assert sleeping(mark) == []
    assert task["state"] == "Cancelled"
    assert anyone.stdout(uuid) == "0> ready\n"
    assert [done["state"] for done in task["completedInstances"]] == ["Cancelled"]


def test_what_a_command_leaves_behind_ends_with_it(anyone: Account, mark: str) -> None:
    task = anyone.run(FAMILY + "exit 0", shell=True, constants={"MARK": mark})
    assert sleeping(mark) == []
    assert task["state"] == "Success"


def test_delete_ends_a_running_task_first(anyone: Account, mark: str) -> None:
    uuid = anyone.submit("sleep ${MARK}", constants={"MARK": mark})
    await_true(lambda: len(sleeping(mark)) == 1, what="it sleeps")
    assert anyone.api.delete(f"/tasks/{uuid}").status_code == 200
    await_true(lambda: anyone.api.get(f"/tasks/{uuid}").status_code == 404, what="the task is gone")
    await_true(lambda: sleeping(mark) == [], what="its command is gone")


def test_waiting_instances_are_cancelled_at_once_and_never_start(user: Account, mark: str) -> None:
    uuid = user.submit("echo started; sleep ${MARK}", shell=True, constants={"MARK": mark}, instanceCount=100_000)
    user.await_stdout(uuid, "started")
    user.post(f"/tasks/{uuid}/abort")
    task = user.await_end(uuid)
    assert task["state"] == "Cancelled"
    assert task["status"]["cancelledRange"] == "0-99999"
    assert sleeping(mark) == []


def test_no_container_is_left_when_tasks_are_over(each_platform: Platform) -> None:
    user = each_platform.account()
    uuid = user.submit("true", instanceCount=3)
    user.await_end(uuid)
    each_platform.wait(lambda: each_platform.containers() == [], "the containers are removed")
    runs = each_platform.data / "node/runs"
    each_platform.wait(lambda: list(runs.glob("*/job/*")) == [], "the files of runs are removed")
