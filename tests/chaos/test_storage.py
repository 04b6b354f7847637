"""The storage is away for a while: nothing is lost, nothing fails, and everything is published once."""

from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.chaos.conftest import Start
from tests.history import History

LARGE = 100_000  # bytes: more than fits beside a row of the database
OUTAGE_TICKS = 200  # ten a second
CLOCK = 'while [ ! -e "$OVER" ]; do tick at-work; sleep 0.1; done'
COMMAND = """
while [ ! -e "$GO" ]; do sleep 0.05; done
echo "run ${HEARTH_RUN##*/}" > "result-$INSTANCE_ID"
head -c $LARGE /dev/zero >> "result-$INSTANCE_ID"
echo "done $INSTANCE_ID"
"""


def test_what_ends_while_the_storage_is_away_is_published_when_it_is_back(
    start: Start, history: History, tmp_path: Path
) -> None:
    platform = start("process")
    user = platform.account()
    go, over = tmp_path / "go", tmp_path / "over"
    clock = user.submit(**history.fields(CLOCK, OVER=str(over)))
    held = user.submit(**history.fields(COMMAND, GO=str(go), LARGE=str(LARGE)), instanceCount=5, resultBucket="results")
    user.await_state(held, "FullyExecuting")

    objects, aside = platform.data / "objects", platform.data / "objects.aside"
    objects.rename(aside)
    objects.write_text("no folder: whoever writes a blob fails\n")
    go.touch()
    waiting = user.submit(
        **history.fields(COMMAND, GO=str(go), LARGE=str(LARGE)), instanceCount=3, resultBucket="later"
    )
    goal = len(history.evidence.path.read_text().splitlines()) + OUTAGE_TICKS
    with pytest.raises((ClientError, BotoCoreError)):
        user.s3.put_object(Bucket="results", Key="mine", Body=bytes(LARGE))
    platform.wait(
        lambda: len(history.evidence.path.read_text().splitlines()) >= goal, "20 s have passed for the clock", 40
    )
    # What had ended is held, not failed; nothing of it is shown.
    task = user.task(held)
    assert task["state"] == "UploadingResults", task["errors"]
    assert user.keys("results") == []

    objects.unlink()
    aside.rename(objects)
    over.touch()
    for uuid, bucket, count in ((held, "results", 5), (waiting, "later", 3)):
        task = user.await_end(uuid, seconds=60)
        assert task["state"] == "Success", task["errors"]
        assert [done["executionAttemptCount"] for done in task["completedInstances"]] == [1] * count
        sizes = {key: len(text) > LARGE for key, text in history.look(user, bucket).items()}
        assert sizes == {f"result-{n}": True for n in range(count)}
    assert user.await_end(clock)["state"] == "Success"
    user.s3.put_object(Bucket="results", Key="mine", Body=bytes(LARGE))
