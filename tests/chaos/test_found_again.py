"""What runs goes on: an agent that returns, a server that was away, a parent that is new."""

import itertools
import os
import select
import signal
from pathlib import Path

import pytest

from tests.chaos.conftest import Start
from tests.services.account import Account
from tests.services.platform import ISOLATED, RUNTIMES, Platform
from tests.services.process import free_port

HEARTBEAT = 0.5

# It tells its process, counts, and ends well when it gets SIGUSR1; MARK is by what it is found.
SCRIPT = """
trap 'over=1' USR1
echo "start by $$"
n=0; over=
while [ -z "$over" ]; do n=$((n + 1)); echo "tick $n"; sleep 0.1; done
echo "done after start by $$" > result
echo over
"""
COMMAND = "sh -c 'eval \"$SCRIPT\"' ${MARK}"

_marks = itertools.count(1)


def begin(user: Account) -> tuple[str, str, int]:
    """Start the long instance; return its task, its first line, and its process."""
    mark = f"found-again-{os.getpid()}-{next(_marks)}"
    uuid = user.submit(COMMAND, constants={"SCRIPT": SCRIPT, "MARK": mark}, resultBucket="results")
    user.await_stdout(uuid, "tick 3\n")
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _is_shell(entry, mark)]
    assert len(found) == 1
    return uuid, user.stdout(uuid, 0).splitlines()[0], found[0]


def _is_shell(entry: Path, mark: str) -> bool:
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0] == b"sh" and mark.encode() in words


def written(platform: Platform) -> int:
    """Return how far the instance has counted, as the node's own file tells."""
    return max(path.read_bytes().count(b"tick") for path in (platform.data / "node/runs").glob("*/stdout"))


def await_written(platform: Platform, more: int) -> None:
    """Let the instance's own clock, ten ticks a second, tell how time passes."""
    goal = written(platform) + more
    platform.wait(lambda: written(platform) >= goal, f"{more} ticks more are written")


def ticks(user: Account, uuid: str) -> int:
    """Return how far the instance has counted, as its output tells."""
    return int(user.stdout(uuid, 0).split()[-1])


def await_more_ticks(platform: Platform, uuid: str) -> None:
    """Wait until output of now has arrived."""
    seen = ticks(platform.account(), uuid)
    platform.account().await_stdout(uuid, f"tick {seen + 5}\n")


def end_well(platform: Platform, uuid: str, first_line: str, process: int) -> None:
    """Let the instance end; check that it was one attempt of one process, with all of its output."""
    os.kill(process, signal.SIGUSR1)
    check_end(platform, uuid, first_line)


def check_end(platform: Platform, uuid: str, first_line: str) -> None:
    """Check how it ended."""
    user = platform.account()
    task = user.await_end(uuid)
    assert task["state"] == "Success", task["errors"]
    assert [done["executionAttemptCount"] for done in task["completedInstances"]] == [1]
    lines = user.stdout(uuid, 0).splitlines()
    assert lines == [first_line, *(f"tick {n}" for n in range(1, len(lines) - 1)), "over"]
    assert user.file("results", "result") == f"done after {first_line}\n"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_agent_that_was_killed_finds_its_run_again(start: Start, runtime: str) -> None:
    platform = start(runtime)
    uuid, first_line, process = begin(platform.account())
    containers = platform.containers()
    for _ in range(2):
        old = platform.kill("agent")
        platform.await_another("agent", than=old)
        await_more_ticks(platform, uuid)
    assert platform.containers() == containers
    end_well(platform, uuid, first_line, process)


@pytest.mark.parametrize("runtime", ISOLATED)
def test_a_run_that_ends_while_its_agent_is_away_is_not_lost(start: Start, runtime: str) -> None:
    platform = start(runtime)
    uuid, first_line, process = begin(platform.account())
    platform.send("up", signal.SIGSTOP)  # nobody starts the agent again meanwhile
    platform.kill("agent")
    gone = os.pidfd_open(process)
    os.kill(process, signal.SIGUSR1)
    platform.wait(lambda: bool(select.select([gone], [], [], 0)[0]), "the run ended")
    os.close(gone)
    platform.send("up", signal.SIGCONT)
    check_end(platform, uuid, first_line)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_server_that_is_away_for_three_heartbeats_costs_nothing(start: Start, runtime: str) -> None:
    platform = start(runtime)
    uuid, first_line, process = begin(platform.account())
    agent, containers = platform.pid("agent"), platform.containers()
    platform.send("server", signal.SIGSTOP)
    await_written(platform, int(3 * HEARTBEAT / 0.1) + 5)
    platform.send("server", signal.SIGCONT)
    await_more_ticks(platform, uuid)
    assert platform.pid("agent") == agent
    assert platform.containers() == containers
    end_well(platform, uuid, first_line, process)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_server_that_is_killed_and_comes_back_late_costs_nothing(start: Start, runtime: str) -> None:
    platform = start(runtime)
    uuid, first_line, process = begin(platform.account())
    containers = platform.containers()
    platform.send("up", signal.SIGSTOP)
    old = platform.kill("server")
    await_written(platform, 20)
    platform.send("up", signal.SIGCONT)
    platform.await_another("server", than=old)
    platform.wait(platform.is_open, "the doors are open")
    await_more_ticks(platform, uuid)
    assert platform.containers() == containers
    end_well(platform, uuid, first_line, process)


@pytest.mark.parametrize("runtime", ["process", ISOLATED[1]])
def test_leave_running_leaves_what_runs_to_the_next_start(start: Start, runtime: str) -> None:
    platform = start(runtime)
    assert platform.stop() == 0
    platform.start("--leave-running")
    uuid, first_line, process = begin(platform.account())
    assert platform.stop() == 0
    assert not platform.is_running("server")
    platform.start()
    await_more_ticks(platform, uuid)
    end_well(platform, uuid, first_line, process)


@pytest.mark.parametrize("server_too", [False, True])
def test_a_run_goes_on_when_the_next_start_opens_other_doors(start: Start, server_too: bool) -> None:
    platform = start("process")
    uuid, first_line, process = begin(platform.account())
    agent, url = platform.pid("agent"), platform.api_url
    platform.kill("up")
    if server_too:
        platform.kill("server")
    platform.start("--api-port", str(free_port()))
    assert platform.api_url != url
    await_more_ticks(platform, uuid)
    assert platform.pid("agent") == agent
    end_well(platform, uuid, first_line, process)


def test_a_start_with_another_runtime_runs_again_what_ran(start: Start) -> None:
    platform = start("process")
    uuid, _, process = begin(platform.account())
    platform.kill("up")
    old = platform.pid("agent")
    platform.start("--node-cores", "3")
    platform.await_another("agent", than=old)
    user = platform.account()
    user.await_task(uuid, lambda task: user.stdout(uuid, 0).count("start by") == 2, "it runs again")
    assert process not in platform.processes()
    user.post(f"/tasks/{uuid}/abort")
    user.await_end(uuid)


def test_a_task_is_aborted_although_its_agent_was_away(start: Start) -> None:
    platform = start("process")
    user = platform.account()
    uuid, _, process = begin(user)
    platform.send("up", signal.SIGSTOP)
    platform.kill("agent")
    assert user.post(f"/tasks/{uuid}/abort").status_code == 200
    assert process in platform.processes()
    platform.send("up", signal.SIGCONT)
    assert user.await_end(uuid)["state"] == "Cancelled"
    assert process not in platform.processes()


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
