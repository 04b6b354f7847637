"""A node that is not heard of loses its runs, and they end there before they begin elsewhere."""

import os
import select
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.conftest import Start
from tests.contract.runtime.machine import running
from tests.history import History
from tests.history.truth import read_truth
from tests.services.node import Node
from tests.services.platform import Platform

LEASE = {"LEASE_SECONDS": "3"}
LONG = 'echo "run ${HEARTH_RUN##*/}" > result; while [ ! -e "$GO" ]; do tick at-work; sleep 0.1; done'


def process_of(platform: Platform) -> int:
    """Return the process that leads the only run of the platform."""
    mark = b"HEARTH_RUN=" + platform.site.encode() + b"/"
    runs = [pid for pid in platform.processes() if mark in Path(f"/proc/{pid}/environ").read_bytes()]
    return min(pid for pid in runs if os.getsid(pid) == pid)


@pytest.mark.parametrize("fate", ["killed", "stopped"])
def test_a_run_ends_with_its_lease_when_its_agent_does_not_return(
    start: Start, history: History, tmp_path: Path, fate: str
) -> None:
    platform = start("process", **LEASE)
    user = platform.account()
    go = tmp_path / "go"
    uuid = user.submit(**history.fields(LONG, GO=str(go)), resultBucket="results", maxRetriesPerInstance=1)
    user.await_state(uuid, "FullyExecuting")
    platform.wait(lambda: history.evidence.attempts() != {}, "it runs")
    handle = os.pidfd_open(process_of(platform))
    platform.send("up", signal.SIGSTOP)  # nobody starts the agent again
    if fate == "killed":
        platform.kill("agent")
    else:
        platform.send("agent", signal.SIGSTOP)
    assert select.select([handle], [], [], 20)[0], "the run ends with its lease"
    os.close(handle)

    go.touch()
    if fate == "stopped":
        platform.send("agent", signal.SIGCONT)
    platform.send("up", signal.SIGCONT)
    task = user.await_end(uuid)
    assert task["state"] == "Success", task["errors"]
    assert [done["executionAttemptCount"] for done in task["completedInstances"]] == [2]
    history.look(user, "results")
    truth = read_truth(platform.data)
    assert [row["error_code"] for row in truth.attempts.values()] == ["NODE_LOST"]
    assert truth.tasks[uuid]["retries"] == 0


@pytest.fixture
def nodes() -> Iterator[ExitStack]:
    """What is still there of second nodes goes in the end."""
    with ExitStack() as stack:
        yield stack


def test_what_a_lost_node_ran_runs_again_elsewhere_at_no_cost(
    start: Start, history: History, tmp_path: Path, nodes: ExitStack
) -> None:
    platform = start("process", **LEASE, NODE_CORES="2")
    node = Node(platform, tmp_path / "second", "second", NODE_CORES="3").start()
    nodes.callback(node.lose)
    user = platform.account()
    script = 'echo "run ${HEARTH_RUN##*/}" > "result-$INSTANCE_ID"; echo "here $INSTANCE_ID"; sleep 0.5; tick at-work'
    go = tmp_path / "go"
    held = user.submit(**history.fields(LONG, GO=str(go)), instanceCount=5, resultBucket="held")
    user.await_state(held, "FullyExecuting")
    assert len({os.getsid(pid) for pid in node.runs()}) >= 3
    uuid = user.submit(**history.fields(script), instanceCount=12, resultBucket="results")
    node.lose()  # for ever

    go.touch()
    tasks = [user.await_end(each, seconds=60) for each in (held, uuid)]
    assert [task["state"] for task in tasks] == ["Success", "Success"], [task["errors"] for task in tasks]
    attempts = Counter(done["executionAttemptCount"] for done in tasks[0]["completedInstances"])
    assert attempts == {1: 2, 2: 3}
    truth = read_truth(platform.data)
    lost = [row for row in truth.attempts.values() if row["task_id"] == truth.tasks[held]["id"]]
    assert [row["error_code"] for row in lost] == ["NODE_LOST"] * 3
    assert {row["error_message"] for row in lost} == {"the node second was not heard of for a whole lease"}
    assert {task["retries"] for task in truth.tasks.values()} == {0}
    assert set(history.look(user, "results")) == {f"result-{n}" for n in range(12)}


@pytest.mark.docker
def test_a_container_ends_with_its_lease_although_the_agent_that_returned_hears_nothing(start: Start) -> None:
    platform = start("docker", **LEASE)
    user = platform.account()
    mark = f"86402.{os.getpid()}"
    uuid = user.submit(f"sleep {mark}")
    user.await_state(uuid, "FullyExecuting")
    platform.wait(lambda: running(mark) != [], "it runs")
    platform.send("server", signal.SIGSTOP)
    old = platform.kill("agent")
    platform.await_another("agent", than=old)
    platform.wait(lambda: running(mark) == [], "the container ends with its lease")

    platform.send("server", signal.SIGCONT)
    platform.wait(lambda: running(mark) != [], "it runs again")
    assert [row["error_code"] for row in read_truth(platform.data).attempts.values()] == ["NODE_LOST"]
    assert user.post(f"/tasks/{uuid}/abort").status_code == 200
    assert user.await_end(uuid)["state"] == "Cancelled"
