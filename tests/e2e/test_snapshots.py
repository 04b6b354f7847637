"""What running instances have made so far, copied once and every so often."""

import itertools
from typing import Any

import pytest

from tests.services.account import Account, Json
from tests.services.process import await_true

_numbers = itertools.count(1)

MAKE = (
    "mkdir -p logs; echo part $INSTANCE_ID > part-$INSTANCE_ID.txt; echo log > logs/all.log; echo changed > given; "
    "echo made; while true; do sleep 0.1; done"
)


def named(what: str) -> str:
    """Return a name that no other test has."""
    return f"snap-{what}-{next(_numbers)}"


def making(user: Account, count: int = 1, **fields: Any) -> str:
    """A task whose instances have made their files and go on."""
    inputs = user.make_bucket(named("in"), given="before", same="same")
    uuid = user.submit(MAKE, shell=True, instanceCount=count, resourceBuckets=[inputs], **fields)
    await_true(lambda: user.stdout(uuid).count("made") == count, what="all have made their files", seconds=40)
    return uuid


def snapshot(user: Account, uuid: str, **body: str) -> str:
    """Ask for a snapshot; return its id."""
    answer = user.post(f"/tasks/{uuid}/snapshot", body or None)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def await_snapshot(user: Account, uuid: str, name: str) -> Json:
    """Wait until a snapshot is over; return it."""
    last: Json = {}

    def is_over() -> bool:
        nonlocal last
        last = user.api.get(f"/tasks/{uuid}/snapshot/{name}").json()
        return last["status"] in ("Success", "Failure")

    await_true(is_over, what=f"{name} is over", seconds=30)
    return last


def abort(user: Account, uuid: str) -> Json:
    assert user.post(f"/tasks/{uuid}/abort").status_code == 200
    return user.await_end(uuid)


def test_a_snapshot_shows_what_there_is_and_the_run_goes_on(anyone: Account) -> None:
    results = named("out")
    uuid = making(anyone, 2, resultBucket=results, resultsBucketPrefix="run/")
    told = await_snapshot(anyone, uuid, snapshot(anyone, uuid))
    assert (told["status"], told["errors"]) == ("Success", [])
    assert anyone.files(results) == {
        "run/part-0.txt": "part 0\n",
        "run/part-1.txt": "part 1\n",
        "run/logs/all.log": "log\n",
        "run/given": "changed\n",
    }
    assert told["sizeToUpload"] == told["transferredSize"] == 2 * (7 + 4 + 8)
    assert told["snapshotConfig"] == {"whitelist": None, "blacklist": None, "bucket": results, "bucketPrefix": "run/"}
    task = anyone.task(uuid)
    assert (task["state"], task["resultsCount"]) == ("FullyExecuting", 1)
    assert abort(anyone, uuid)["resultsCount"] == 1


def test_filters_bucket_and_prefix_of_a_call_count_once(anyone: Account) -> None:
    own, other = named("own"), named("other")
    uuid = making(anyone, snapshotWhitelist=r"part-${INSTANCE_ID}", snapshotBucket=own, snapshotBucketPrefix="p/")
    said = {"whitelist": r"\.log$|given", "blacklist": "^given", "bucket": other, "bucketPrefix": "now-"}
    assert await_snapshot(anyone, uuid, snapshot(anyone, uuid, **said))["status"] == "Success"
    assert anyone.files(other) == {"now-logs/all.log": "log\n"}
    assert await_snapshot(anyone, uuid, snapshot(anyone, uuid))["status"] == "Success"
    assert anyone.files(own) == {"p/part-0.txt": "part 0\n"}
    assert sorted(anyone.keys(other)) == ["now-logs/all.log"]
    abort(anyone, uuid)


def test_periodic_snapshots_follow_the_files_until_they_are_stopped(anyone: Account) -> None:
    results = named("out")
    uuid = anyone.submit(
        "while true; do date +%s%N > tick; sleep 0.1; done", shell=True, resultBucket=results, instanceCount=1
    )
    assert anyone.post(f"/tasks/{uuid}/snapshot/periodic", {"interval": 1}).status_code == 200
    assert anyone.task(uuid)["snapshotInterval"] == 5
    await_true(lambda: anyone.keys(results) == ["tick"], what="a first snapshot", seconds=40)
    first = anyone.file(results, "tick")
    await_true(lambda: anyone.file(results, "tick") != first, what="a second snapshot", seconds=40)
    assert anyone.post(f"/tasks/{uuid}/snapshot/periodic", {"interval": 0}).status_code == 200
    assert anyone.task(uuid)["snapshotInterval"] == 0
    assert anyone.task(uuid)["resultsCount"] >= 2
    assert abort(anyone, uuid)["state"] == "Cancelled"


@pytest.mark.parametrize("wanted", [True, False])
def test_results_of_a_cancelled_task_are_uploaded_when_it_wants_that(anyone: Account, wanted: bool) -> None:
    results = named("out")
    uuid = making(anyone, resultBucket=results, uploadResultsOnCancellation=wanted)
    task = abort(anyone, uuid)
    assert task["state"] == "Cancelled"
    files = {"part-0.txt": "part 0\n", "logs/all.log": "log\n", "given": "changed\n"}
    assert anyone.files(results) == (files if wanted else {})
    assert task["resultsCount"] == int(wanted)


def test_a_snapshot_of_an_instance_that_ends_fails_or_is_whole(user: Account) -> None:
    results = named("out")
    uuid = making(user, resultBucket=results)
    name = snapshot(user, uuid)
    abort(user, uuid)
    told = await_snapshot(user, uuid, name)
    if told["status"] == "Success":
        assert sorted(user.keys(results)) == ["given", "logs/all.log", "part-0.txt"]
    else:
        assert user.keys(results) == []
        assert told["errors"][0]["message"].startswith("Instance 0: the instance ended")
