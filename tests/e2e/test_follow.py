"""Following a task of a real platform: lines come while the instance runs, and nothing is lost on the way."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hearth_client.follow import Event, follow
from hearth_client.http import HttpClient
from tests.services.account import Account
from tests.services.platform import Platform

# Says a line, then waits until it is answered, each time through another fifo.
ASKING = 'for n in 1 2 3; do echo "asks $n"; read answer < "$FIFO$n"; echo "heard $answer"; done'


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """What a run of the process runtime reads its answers from; the number of the question is added."""
    for number in (1, 2, 3):
        os.mkfifo(tmp_path / f"answer{number}")
    return tmp_path / "answer"


def answer(fifo: Path, number: int) -> None:
    Path(f"{fifo}{number}").write_text(f"{number}\n")


def client(user: Account) -> HttpClient:
    return HttpClient(str(user.api.base_url), user.token)


def texts(events: list[Event], stream: str = "stdout") -> str:
    return "".join(event.data["text"] for event in events if event.name == stream)


def until(events: Iterator[Event], text: str) -> list[Event]:
    """Read events until a text was in one."""
    found: list[Event] = []
    while text not in texts(found):
        found.append(next(events))
    return found


def test_lines_are_told_while_the_instance_runs_and_the_stream_ends_with_the_task(user: Account, fifo: Path) -> None:
    uuid = user.submit(ASKING, shell=True, constants={"FIFO": str(fifo)})
    with client(user) as http:
        events = follow(http, f"/tasks/{uuid}/output")
        told: list[Event] = []
        for turn in (1, 2, 3):
            told += until(events, f"asks {turn}\n")  # it cannot go on before it is answered
            answer(fifo, turn)
        told += list(events)
    assert texts(told) == "".join(f"asks {n}\nheard {n}\n" for n in (1, 2, 3)) == user.stdout(uuid, 0)
    assert told[-1].name == "end"
    assert told[-1].data == {"state": "Success"}


def test_a_follower_goes_on_after_the_server_was_killed(own_platform: Platform, fifo: Path) -> None:
    # The server comes back behind the same door, as one with a fixed port does.
    own_platform.start()
    user = own_platform.account()
    uuid = user.submit(ASKING, shell=True, constants={"FIFO": str(fifo)})
    with client(user) as http:
        events = follow(http, f"/tasks/{uuid}/output")
        told = until(events, "asks 1\n")
    own_platform.kill("server")
    own_platform.wait(own_platform.is_open, "the server is back")
    answer(fifo, 1)
    with client(own_platform.account()) as http:
        events = follow(http, f"/tasks/{uuid}/output", last_id=told[-1].id)
        told += until(events, "asks 2\n")
        answer(fifo, 2)
        told += until(events, "asks 3\n")
        answer(fifo, 3)
        told += list(events)
    assert texts(told) == "".join(f"asks {n}\nheard {n}\n" for n in (1, 2, 3))
    assert told[-1].name == "end"


def test_the_story_of_a_task_has_its_states_in_order_and_its_retries(user: Account) -> None:
    uuid = user.submit("sh -c 'exit 3'", retrySettings={"maxTotalRetries": 2})
    with client(user) as http:
        told = list(follow(http, f"/tasks/{uuid}/events"))
    states = [event.data["state"] for event in told if event.name == "state"]
    assert states[0] == "Submitted"
    assert states[-1] == "Failure"
    assert [event.data["attempt"] for event in told if event.name == "retry"] == [1, 2]
    assert told[-1].data == {"state": "Failure"}


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_shows_the_events(user: Account) -> None:
    task = user.run("echo hello")
    url = f"{user.api.base_url}/v1/tasks/{task['uuid']}/output"
    command = ["curl", "-sN", "--max-time", "20", "-H", f"Authorization: {user.token}", url]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 'event: stdout\nid: 9-0\ndata: {"instance":0,"attempt":1,"text":"hello\\n","offset":0}\n\n' in shown
    assert shown.endswith('event: end\nid: 9-0\ndata: {"state":"Success"}\n\n')


def test_a_server_stops_although_somebody_follows(own_platform: Platform, fifo: Path) -> None:
    own_platform.start()
    user = own_platform.account()
    uuid = user.submit(ASKING, shell=True, constants={"FIFO": str(fifo)})
    with client(user) as http, http.stream("GET", f"/tasks/{uuid}/output", read_timeout_seconds=30) as shown:
        lines = shown.iter_lines()
        while "asks 1" not in next(lines):
            pass
        assert own_platform.stop() == 0
        assert "event: end" not in list(lines)
    assert "Traceback" not in own_platform.logs()


def test_a_run_that_writes_without_end_keeps_its_newest_lines(user: Account) -> None:
    task = user.run("seq 1 6000000", seconds=120)
    shown = user.api.get(f"/tasks/{task['uuid']}/stdout/0", headers={"Accept": "*/*"})
    size = int(shown.headers["Hearth-Output-Offset"])
    assert len(shown.content) + int(shown.headers["Hearth-Output-Dropped"]) == size == 46_888_896
    assert shown.text.endswith("5999999\n6000000\n")
    assert 10 << 20 <= len(shown.content) + (64 << 10) <= 12 << 20
    note = f"stdout has {size} bytes, and the newest {10 << 20} of them are kept"
    assert note in task["completedInstances"][0]["notes"]
