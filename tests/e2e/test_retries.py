"""Failed instances that may be tried again, and how it shows."""

import pytest

from tests.services.account import Account
from tests.services.platform import Platform

# Fails until its third attempt: the count of its runs is kept in a folder of the test.
FAILS_TWICE = """
n=$(cat "$COUNTS/$INSTANCE_ID" 2>/dev/null || echo 0); n=$((n + 1)); echo $n > "$COUNTS/$INSTANCE_ID"
echo "try $n"; echo "$n" > tries
test $n -ge 3
"""


@pytest.mark.parametrize(
    ("settings", "tries"),
    [
        (None, 1),
        ({"maxTotalRetries": 0, "maxPerInstanceRetries": 0}, 1),
        ({"maxTotalRetries": None, "maxPerInstanceRetries": 1}, 2),
        ({"maxTotalRetries": 5, "maxPerInstanceRetries": 1}, 2),
        ({"maxTotalRetries": 1, "maxPerInstanceRetries": 5}, 2),
        ({"maxPerInstanceRetries": 2}, 3),
        ({"maxTotalRetries": 2}, 3),
        ({"maxTotalRetries": 50, "maxPerInstanceRetries": 50}, 3),
    ],
)
def test_an_instance_is_tried_as_often_as_both_limits_allow(
    user: Account, tmp_path_factory: pytest.TempPathFactory, settings: dict[str, int | None] | None, tries: int
) -> None:
    counts = tmp_path_factory.mktemp("counts")
    results = counts.name.replace("_", "-")
    task = user.run(
        FAILS_TWICE, shell=True, constants={"COUNTS": str(counts)}, retrySettings=settings, resultBucket=results
    )
    assert (counts / "0").read_text() == f"{tries}\n"
    assert task["state"] == ("Success" if tries == 3 else "Failure")
    assert [done["executionAttemptCount"] for done in task["completedInstances"]] == [tries]
    # The stream holds every attempt's output; results are of one attempt.
    assert user.stdout(task["uuid"], 0).splitlines() == [f"try {n}" for n in range(1, tries + 1)]
    assert user.files(results) == {"tries": f"{tries}\n"}
    assert (task["errors"] == []) == (tries == 3)


def test_the_total_limit_is_shared_by_the_instances(user: Account, tmp_path_factory: pytest.TempPathFactory) -> None:
    counts = tmp_path_factory.mktemp("counts")
    task = user.run(
        FAILS_TWICE,
        shell=True,
        constants={"COUNTS": str(counts)},
        retrySettings={"maxTotalRetries": 3},
        instanceCount=3,
    )
    assert sum(int(path.read_text()) for path in counts.iterdir()) == 3 + 3
    assert task["state"] == "Failure"


def test_one_attempt_of_a_retried_instance_can_be_read_alone(
    user: Account, tmp_path_factory: pytest.TempPathFactory
) -> None:
    counts = tmp_path_factory.mktemp("counts")
    task = user.run(
        FAILS_TWICE, shell=True, constants={"COUNTS": str(counts)}, retrySettings={"maxPerInstanceRetries": 5}
    )
    for attempt in (1, 2, 3):
        answer = user.api.get(f"/tasks/{task['uuid']}/stdout/0?attempt={attempt}", headers={"Accept": "*/*"})
        assert answer.text == f"try {attempt}\n"
    absent = user.api.get(f"/tasks/{task['uuid']}/stdout/0?attempt=4")
    assert (absent.status_code, absent.json()["message"]) == (404, "No such attempt: 4 (instance 0 has had 3)")
    for path in ("stdout/0?attempt=x", "stdout/0?attempt=", "stdout?attempt=1"):
        answer = user.api.get(f"/tasks/{task['uuid']}/{path}")
        assert answer.status_code == 400
        assert "attempt" in answer.json()["message"]


def test_a_restart_of_the_platform_does_not_eat_a_retry(own_platform: Platform) -> None:
    own_platform.start()
    user = own_platform.account()
    uuid = user.submit("echo begun; sleep 600", shell=True)
    user.await_stdout(uuid, "begun")
    own_platform.stop()
    own_platform.start()
    user = own_platform.account()
    user.await_task(uuid, lambda task: user.stdout(uuid).count("begun") == 2, "it runs again")
    assert user.task(uuid)["errors"] == []
