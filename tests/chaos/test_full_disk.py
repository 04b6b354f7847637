"""The disk of a node is full for a while: nobody's work fails for it, and the node goes on when there is room."""

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chaos.conftest import Start
from tests.history import History
from tests.history.truth import read_truth
from tests.services.platform import Platform
from tests.services.process import unavailable

SIZE = "size=24m"
HELD = """
echo "run ${HEARTH_RUN##*/}" > "result-$INSTANCE_ID"
echo "before $INSTANCE_ID"
while [ ! -e "$GO" ]; do tick at-work; sleep 0.1; done
"""
SHORT = 'echo "run ${HEARTH_RUN##*/}" > "result-$INSTANCE_ID"; echo "here $INSTANCE_ID"'


def small_disk(platform: Platform) -> Callable[[], None]:
    """Mount a small file system where the node will keep its files; return what takes it away."""
    node = platform.data / "node"
    node.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", SIZE, "tmpfs", str(node)], capture_output=True, check=False)
    if done.returncode:
        unavailable(f"no file system can be mounted: {done.stderr.decode()}", "run as root")

    def take_away() -> None:
        subprocess.run(["umount", "--lazy", str(node)], check=True)

    return take_away


def fill(folder: Path) -> Path:
    """Write a file until not a byte more fits."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 20))
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(512)):
            pass
    status = os.statvfs(folder)
    assert status.f_bavail == 0
    return filler


def test_a_full_disk_fails_nothing_and_the_node_goes_on_when_there_is_room(
    start: Start, history: History, tmp_path: Path
) -> None:
    platform = start("process", before=small_disk, NODE_DISK_FLOOR_MB="2", NODE_CORES="3")
    user = platform.account()
    go = tmp_path / "go"
    held = user.submit(**history.fields(HELD, GO=str(go)), instanceCount=2, resultBucket="held")
    user.await_state(held, "FullyExecuting")
    user.await_stdout(held, "before 1\n")

    filler = fill(platform.data / "node")
    waiting = user.submit(**history.fields(SHORT), instanceCount=6, resultBucket="later")
    agent = platform.pid("agent")
    go.touch()  # what they wrote is there: it is uploaded although nothing more can be written
    task = user.await_end(held)
    assert task["state"] == "Success", task["errors"]
    assert user.task(waiting)["status"]["succeededRange"] == ""

    old = platform.kill("agent")  # one that starts on a full disk does its part, too
    assert old == agent
    platform.await_another("agent", than=old)

    filler.unlink()
    task = user.await_end(waiting)
    assert task["state"] == "Success", task["errors"]
    assert history.look(user, "held").keys() == {"result-0", "result-1"}
    assert history.look(user, "later").keys() == {f"result-{n}" for n in range(6)}
    truth = read_truth(platform.data)
    assert {task["retries"] for task in truth.tasks.values()} == {0}


FILLING = """
echo "run ${HEARTH_RUN##*/}" > result
head -c 40000000 /dev/zero > rest || exit 5
"""


@pytest.mark.slow
def test_an_instance_that_fills_the_disk_itself_fails_by_itself_and_leaves_room(start: Start, history: History) -> None:
    platform = start("process", before=small_disk, NODE_DISK_FLOOR_MB="2", NODE_CORES="3")
    user = platform.account()
    task = user.await_end(user.submit(**history.fields(FILLING), resultBucket="results"))
    assert task["state"] == "Failure"
    after = user.run(**history.fields(SHORT), resultBucket="later")
    assert after["state"] == "Success", after["errors"]
