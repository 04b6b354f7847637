"""Server, agent and spawner die again and again, at moments that a seed chooses, while everything goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import httpx
import pytest

from tests.chaos.conftest import Start
from tests.history import History
from tests.services.account import Account
from tests.services.platform import Platform, Role

KILLS = 7
ROLES: tuple[Role, ...] = ("server", "agent", "spawner")

STEADY = """
echo "begin $INSTANCE_ID"
echo "run ${HEARTH_RUN##*/}" > "result-$INSTANCE_ID"
for i in 1 2 3 4; do tick at-work; echo "line $i of $INSTANCE_ID"; sleep 0.1; done
"""
# It fails until its own failures (not its attempts, which losses use up too) are two.
UNWELL = """
echo "run ${HEARTH_RUN##*/}" > "result-$INSTANCE_ID"
sleep 0.1
echo x >> "$FAILURES/$INSTANCE_ID"
[ $(wc -l < "$FAILURES/$INSTANCE_ID") -ge 3 ] || exit 3
"""
ENDLESS = 'while true; do tick at-work; date >> "log-$INSTANCE_ID"; sleep 0.1; done'


@contextmanager
def reading(platform: Platform, uuids: list[str], chance: Random) -> Iterator[None]:
    """Read tasks and their output all the time, as users do, whether or not somebody answers."""
    over = threading.Event()

    def read() -> None:
        user = platform.account()
        while not over.wait(0.05):
            uuid = chance.choice(uuids)
            try:
                user.task(uuid)
                user.post(f"/tasks/{uuid}/stdout", headers={"Accept": "*/*"})
                user.stdout(uuid)
            except (httpx.TransportError, AssertionError):
                user = platform.account() if platform.is_open() else user

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()


def progress(history: History) -> int:
    """Return how much instances have written down so far."""
    return len(history.evidence.path.read_text().splitlines())


def hurt(platform: Platform, history: History, role: Role, after: int) -> None:
    """Kill a role when so many lines of evidence more are there, and wait for its successor."""
    goal = progress(history) + after
    platform.wait(lambda: progress(history) >= goal, f"{after} more lines of evidence before the {role} dies")
    old = platform.kill(role)
    platform.await_another(role, than=old)
    if role == "server":
        platform.wait(platform.is_open, "the doors are open")


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_whatever_dies_everybody_was_told_the_truth(start: Start, history: History, tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    platform = start("process", LOSSES_ALLOWED="20", SHORTEST_SNAPSHOT_INTERVAL="1")
    user = platform.account()
    failures = tmp_path / "failures"
    failures.mkdir()
    endless = user.submit(**history.fields(ENDLESS), instanceCount=2, resultBucket="seen", snapshotBucket="seen")
    assert user.post(f"/tasks/{endless}/snapshot/periodic", {"interval": 1}).status_code == 200
    steady = user.submit(**history.fields(STEADY), instanceCount=60, resultBucket="steady")
    unwell = user.submit(
        **history.fields(UNWELL, FAILURES=str(failures)),
        instanceCount=8,
        resultBucket="unwell",
        retrySettings={"maxPerInstanceRetries": 2},
    )
    with reading(platform, [steady, unwell, endless], Random(seed)):
        for number in range(KILLS):
            hurt(platform, history, chance.choice(ROLES), after=chance.randint(5, 60))
            if number == KILLS // 2:
                platform.wait(lambda: platform.account().keys("seen") != [], "a snapshot is there")
                cancel(platform, endless)
        tasks = {uuid: platform.account().await_end(uuid, seconds=60) for uuid in (steady, unwell, endless)}
    states = [tasks[uuid]["state"] for uuid in (steady, unwell, endless)]
    assert states == ["Success", "Success", "Cancelled"], [task["errors"] for task in tasks.values()]
    user = platform.account()
    assert set(history.look(user, "steady")) == {f"result-{n}" for n in range(60)}
    assert set(history.look(user, "unwell")) == {f"result-{n}" for n in range(8)}


def cancel(platform: Platform, uuid: str) -> None:
    """Abort a task; an answer that is lost is asked for again."""
    platform.wait(lambda: _is_cancelled(platform.account(), uuid), f"{uuid} is cancelled")


def _is_cancelled(user: Account, uuid: str) -> bool:
    try:
        return user.post(f"/tasks/{uuid}/abort").status_code in (200, 403, 409)
    except httpx.TransportError:
        return False
