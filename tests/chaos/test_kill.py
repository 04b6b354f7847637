"""kill -9 of every process in the middle of a task of 200 instances: each ends once, nothing is lost or doubled."""

import re
from collections import Counter

import pytest

from tests.chaos.conftest import Start
from tests.history import History
from tests.services.account import Account, Json
from tests.services.platform import Platform, Role

INSTANCES = 200

# Each instance writes one result file, which names the attempt that made it, and two lines.
COMMAND = """
echo "begin $INSTANCE_ID"
echo "run ${HEARTH_RUN##*/} of $INSTANCE_ID" > "result-$INSTANCE_ID"
sleep 0.2
echo "end $INSTANCE_ID"
"""


def submit(history: History, user: Account) -> str:
    """Submit the task of 200 instances."""
    return user.submit(**history.fields(COMMAND), instanceCount=INSTANCES, resultBucket="results")


def await_ended(user: Account, uuid: str, at_least: int) -> None:
    """Wait until so many instances have ended."""
    user.await_task(
        uuid, lambda task: len(task["completedInstances"]) >= at_least, f"{at_least} instances of {uuid} ended"
    )


def check(history: History, user: Account, task: Json, instances: int = INSTANCES) -> None:
    """Check that every instance ended once and well, and that all it gave is there once."""
    uuid = task["uuid"]
    assert task["state"] == "Success", task["errors"]
    assert task["status"]["succeededRange"] == f"0-{instances - 1}"
    completed = task["completedInstances"]
    assert Counter(done["instanceId"] for done in completed) == Counter(range(instances))
    assert {done["state"] for done in completed} == {"Success"}
    for done in completed:
        assert [uri.rpartition("/")[2] for uri in done["results"]] == [f"result-{done['instanceId']}"]
    files = history.look(user, "results")
    assert {key: text.split(" of ")[1] for key, text in files.items()} == {
        f"result-{n}": f"{n}\n" for n in range(instances)
    }
    # The stream holds every attempt's output, each line whole; the last attempt of each wrote both lines.
    whole = user.stdout(uuid)
    assert whole.endswith("\n")
    lines = whole.splitlines()
    assert [line for line in lines if not re.fullmatch(r"(\d+)> (begin|end) \1", line)] == []
    ends = Counter(line for line in lines if " end " in line)
    assert set(ends) == {f"{n}> end {n}" for n in range(instances)}
    attempts = {done["instanceId"]: done["executionAttemptCount"] for done in completed}
    begins = Counter(int(line.partition(">")[0]) for line in lines if " begin " in line)
    assert all(1 <= begins[n] <= attempts[n] for n in range(instances))
    assert all(count <= attempts[int(line.partition(">")[0])] for line, count in ends.items())


def hurt(platform: Platform, role: Role) -> None:
    """Kill a role, and wait until another process has taken its place."""
    old = platform.kill(role)
    platform.await_another(role, than=old)


@pytest.mark.parametrize("role", ["server", "agent", "spawner"])
def test_a_killed_process_costs_no_instance_and_doubles_none(start: Start, history: History, role: Role) -> None:
    platform = start("process")
    uuid = submit(history, platform.account())
    for progress in (10, 60):
        await_ended(platform.account(), uuid, progress)
        hurt(platform, role)
        platform.wait(platform.is_open, "the doors are open")
    user = platform.account()
    task = user.await_end(uuid, seconds=50)
    check(history, user, task)
    if role != "spawner":  # with its spawner die the runs: they are lost, not failed, and run again
        assert user.stdout(uuid).count(" begin ") == INSTANCES


def test_a_killed_parent_is_followed_by_one_that_takes_everything_over(start: Start, history: History) -> None:
    platform = start("process")
    uuid = submit(history, platform.account())
    await_ended(platform.account(), uuid, 20)
    before = {role: platform.pid(role) for role in ("server", "agent", "spawner")}
    url = platform.api_url
    platform.kill("up")
    await_ended(platform.account(), uuid, 60)  # nobody noticed

    platform.start()
    assert {role: platform.pid(role) for role in ("server", "agent", "spawner")} == before
    assert platform.api_url == url
    assert platform.said().count("took over the running") == 3
    user = platform.account()
    task = user.await_end(uuid, seconds=50)
    check(history, user, task)
    assert {done["executionAttemptCount"] for done in task["completedInstances"]} == {1}
    # What was taken over is kept alive and ended like what was started.
    old = platform.kill("agent")
    platform.await_another("agent", than=old)
    assert platform.stop() == 0
    assert platform.processes() == {}


def test_all_of_them_at_once(start: Start, history: History) -> None:
    platform = start("process")
    uuid = submit(history, platform.account())
    await_ended(platform.account(), uuid, 30)
    for role in ("up", "server", "agent", "spawner"):
        platform.kill(role)
    platform.start()
    user = platform.account()
    check(history, user, user.await_end(uuid, seconds=50))
    assert platform.stop() == 0
    assert platform.processes() == {}


def test_server_and_agent_at_once(start: Start, history: History) -> None:
    platform = start("process")
    uuid = submit(history, platform.account())
    await_ended(platform.account(), uuid, 30)
    olds = {role: platform.kill(role) for role in ("agent", "server")}
    for role, old in olds.items():
        platform.await_another(role, than=old)
    platform.wait(platform.is_open, "the doors are open")
    user = platform.account()
    check(history, user, user.await_end(uuid, seconds=50))


@pytest.mark.docker
def test_containers_outlive_agent_and_server(start: Start, history: History) -> None:
    platform = start("docker")
    user = platform.account()
    uuid = user.submit(COMMAND, shell=True, instanceCount=40, resultBucket="results")
    await_ended(user, uuid, 5)
    olds = {role: platform.kill(role) for role in ("agent", "server")}
    for role, old in olds.items():
        platform.await_another(role, than=old)
    platform.wait(platform.is_open, "the doors are open")
    user = platform.account()
    task = user.await_end(uuid, seconds=50)
    check(history, user, task, instances=40)
    assert user.stdout(uuid).count(" begin ") == 40
    platform.wait(lambda: platform.containers() == [], "the containers are removed")
