"""New and changed files of a task's buckets come to instances that run."""

import itertools

from tests.services.account import Account
from tests.services.platform import Platform

_numbers = itertools.count(1)
WAIT_FOR_GO = "echo ready; while [ ! -f go ]; do sleep 0.05; done; "


def named(what: str) -> str:
    """Return a name that no other test has."""
    return f"update-{what}-{next(_numbers)}"


def push(user: Account, uuid: str) -> None:
    answer = user.api.patch(f"/tasks/{uuid}")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_push_brings_new_and_changed_files_and_takes_none_away(anyone: Account) -> None:
    inputs = anyone.make_bucket(named("in"), changed="before", kept="kept", own="given")
    uuid = anyone.submit(
        "echo mine > own; " + WAIT_FOR_GO + "cat changed kept new deep/new own",
        shell=True,
        instanceCount=2,
        resourceBuckets=[inputs],
    )
    anyone.await_stdout(uuid, "0> ready")
    anyone.await_stdout(uuid, "1> ready")
    anyone.s3.delete_object(Bucket=inputs, Key="kept")
    anyone.put(inputs, {"changed": "after\n", "new": "new\n", "deep/new": "deep\n"})
    push(anyone, uuid)
    anyone.put(inputs, {"go": ""})
    push(anyone, uuid)
    task = anyone.await_end(uuid)
    assert task["state"] == "Success", task["errors"]
    for number in (0, 1):
        assert anyone.stdout(uuid, number) == "ready\nafter\nkeptnew\ndeep\nmine\n"


def test_pushed_files_are_no_results(anyone: Account) -> None:
    inputs, results = anyone.make_bucket(named("in")), named("out")
    uuid = anyone.submit(WAIT_FOR_GO + "echo made > made", shell=True, resourceBuckets=[inputs], resultBucket=results)
    anyone.await_stdout(uuid, "ready")
    anyone.put(inputs, {"go": "", "more": "more"})
    push(anyone, uuid)
    assert anyone.await_end(uuid)["state"] == "Success"
    assert anyone.files(results) == {"made": "made\n"}


def test_instances_that_start_after_a_push_have_the_files_too(anyone: Account) -> None:
    inputs = anyone.make_bucket(named("in"))
    uuid = anyone.submit(WAIT_FOR_GO + "echo over", shell=True, resourceBuckets=[inputs])
    anyone.await_stdout(uuid, "ready")
    anyone.put(inputs, {"go": ""})
    push(anyone, uuid)
    anyone.await_end(uuid)
    after = anyone.run("ls", resourceBuckets=[inputs])
    assert anyone.stdout(after["uuid"]) == "0> go\n"


def test_what_does_not_run_is_not_pushed_to(user: Account) -> None:
    task = user.run("echo hello")
    answer = user.api.patch(f"/tasks/{task['uuid']}")
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("the task is not running: its state is Success")


def test_a_push_survives_a_server_that_is_killed_right_after_its_answer(own_platform: Platform) -> None:
    own_platform.start()
    user = own_platform.account()
    inputs = user.make_bucket(named("in"))
    uuid = user.submit(WAIT_FOR_GO + "echo over", shell=True, resourceBuckets=[inputs])
    user.await_stdout(uuid, "ready")
    user.put(inputs, {"go": ""})
    push(user, uuid)
    own_platform.kill("server")
    user = own_platform.account()
    task = user.await_end(uuid)
    assert task["state"] == "Success"
    assert user.stdout(uuid) == "0> ready\n0> over\n"
