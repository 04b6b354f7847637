"""What runs goes on: an agent that returns, a server that was away, a parent that is new."""

import signal

import pytest

from tests.chaos.conftest import Start
from tests.services.account import Account
from tests.services.platform import ISOLATED, RUNTIMES, Platform

HEARTBEAT = 0.5

# It tells its process, counts how often it was started, and ends when it is told to, through its own folder.
COMMAND = """
echo "start by $$"
n=0
while [ ! -e end ]; do n=$((n + 1)); echo "tick $n"; sleep 0.1; done
echo "done after start by $$" > result
echo over
"""


def begin(user: Account) -> tuple[str, str]:
    """Start the long instance; return its task, and its first line."""
    uuid = user.submit(COMMAND, shell=True, resultBucket="results")
    user.await_stdout(uuid, "tick 3\n")
    return uuid, user.stdout(uuid, 0).splitlines()[0]


def ticks(user: Account, uuid: str) -> int:
    """Return how far the instance has counted, as its output tells."""
    return int(user.stdout(uuid, 0).split()[-1])


def await_more_ticks(platform: Platform, uuid: str) -> None:
    """Wait until output of now has arrived."""
    seen = ticks(platform.account(), uuid)
    platform.account().await_stdout(uuid, f"tick {seen + 5}\n")


def end_well(platform: Platform, uuid: str, first_line: str) -> None:
    """Let the instance end; check that it was one attempt of one process, with all of its output."""
    for folder in (platform.data / "node/runs").iterdir():
        (folder / "job" / "end").touch()
    user = platform.account()
    task = user.await_end(uuid)
    assert task["state"] == "Success", task["errors"]
    assert [done["executionAttemptCount"] for done in task["completedInstances"]] == [1]
    lines = user.stdout(uuid, 0).splitlines()
    counted = len(lines) - 2
    assert lines == [first_line, *(f"tick {n}" for n in range(1, counted + 1)), "over"]
    assert user.file("results", "result") == f"done after {first_line}\n"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_agent_that_was_killed_finds_its_run_again(start: Start, runtime: str) -> None:
    platform = start(runtime)
    uuid, first_line = begin(platform.account())
    containers = platform.containers()
    for _ in range(2):
        old = platform.kill("agent")
        platform.await_another("agent", than=old)
        await_more_ticks(platform, uuid)
    assert platform.containers() == containers
    end_well(platform, uuid, first_line)


@pytest.mark.parametrize("runtime", ISOLATED)
def test_a_run_that_ends_while_its_agent_is_away_is_not_lost(start: Start, runtime: str) -> None:
    platform = start(runtime)
    uuid, first_line = begin(platform.account())
    platform.send("up", signal.SIGSTOP)  # nobody starts the agent again meanwhile
    platform.kill("agent")
    for folder in (platform.data / "node/runs").iterdir():
        (folder / "job" / "end").touch()
        platform.wait(lambda folder=folder: (folder / "job/result").exists(), "the run ended")  # type: ignore[misc]
    platform.send("up", signal.SIGCONT)
    end_well(platform, uuid, first_line)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_server_that_is_away_for_three_heartbeats_costs_nothing(start: Start, runtime: str) -> None:
    platform = start(runtime)
    uuid, first_line = begin(platform.account())
    agent, containers = platform.pid("agent"), platform.containers()
    away_for = int(3 * HEARTBEAT / 0.1) + 5
    job = next((platform.data / "node/runs").iterdir()) / "stdout"
    written = job.read_bytes().count(b"tick")
    platform.send("server", signal.SIGSTOP)
    # The instance's own clock tells how long the server is away.
    platform.wait(lambda: job.read_bytes().count(b"tick") >= written + away_for, "three heartbeats and more are over")
    platform.send("server", signal.SIGCONT)
    await_more_ticks(platform, uuid)
    assert platform.pid("agent") == agent
    assert platform.containers() == containers
    end_well(platform, uuid, first_line)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_server_that_is_killed_and_comes_back_late_costs_nothing(start: Start, runtime: str) -> None:
    platform = start(runtime)
    uuid, first_line = begin(platform.account())
    containers = platform.containers()
    job = next((platform.data / "node/runs").iterdir()) / "stdout"
    platform.send("up", signal.SIGSTOP)
    old = platform.kill("server")
    written = job.read_bytes().count(b"tick")
    platform.wait(lambda: job.read_bytes().count(b"tick") >= written + 20, "it is away for a while")
    platform.send("up", signal.SIGCONT)
    platform.await_another("server", than=old)
    platform.wait(platform.is_open, "the doors are open")
    await_more_ticks(platform, uuid)
    assert platform.containers() == containers
    end_well(platform, uuid, first_line)


@pytest.mark.parametrize("runtime", ["process", ISOLATED[1]])
def test_leave_running_leaves_what_runs_to_the_next_start(start: Start, runtime: str) -> None:
    platform = start(runtime)
    assert platform.stop() == 0
    platform.start("--leave-running")
    uuid, first_line = begin(platform.account())
    assert platform.stop() == 0
    assert not platform.is_running("server")
    platform.start()
    await_more_ticks(platform, uuid)
    end_well(platform, uuid, first_line)


def test_a_task_is_aborted_although_its_agent_was_away(start: Start) -> None:
    platform = start("process")
    user = platform.account()
    uuid, _ = begin(user)
    platform.send("up", signal.SIGSTOP)
    platform.kill("agent")
    assert user.post(f"/tasks/{uuid}/abort").status_code == 200
    run = [pid for pid, words in platform.processes().items() if "eval" in words]
    assert len(run) == 1
    platform.send("up", signal.SIGCONT)
    assert user.await_end(uuid)["state"] == "Cancelled"
    assert [pid for pid in platform.processes() if pid in run] == []


def test_every_acknowledged_task_survives_the_death_of_the_server(start: Start) -> None:
    platform = start("process")
    user = platform.account()
    uuids = []
    for number in range(3):
        uuids += [user.submit(f"echo {number} {index}") for index in range(5)]
        old = platform.kill("server")
        platform.await_another("server", than=old)
        platform.wait(platform.is_open, "the doors are open")
        user = platform.account()
    assert len(set(uuids)) == 15
    for place, uuid in enumerate(uuids):
        assert user.await_end(uuid)["state"] == "Success"
        assert user.stdout(uuid) == f"0> {place // 5} {place % 5}\n"
