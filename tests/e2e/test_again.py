"""Tasks that are run again, requests that are sent again, and tasks that end or go by themselves."""

from tests.services.account import Account, a_task
from tests.services.platform import Platform


def test_failed_instances_run_again_as_they_were(user: Account) -> None:
    task = user.run(
        'echo "$INSTANCE_ID of $INSTANCE_COUNT"; test $((INSTANCE_ID % 2)) = 0',
        shell=True,
        instanceCount=4,
        tags=["again"],
    )
    assert (task["state"], task["status"]["failedOnlyRange"]) == ("Failure", "1,3")
    answer = user.post(f"/tasks/{task['uuid']}/retry", {"name": "once more"})
    assert answer.status_code == 200, answer.text
    again = user.await_end(answer.json()["uuid"])
    assert (again["name"], again["tags"], again["advancedRanges"], again["state"]) == (
        "once more",
        ["again"],
        "1,3",
        "Failure",
    )
    assert sorted(user.stdout(again["uuid"]).splitlines()) == ["1> 1 of 4", "3> 3 of 4"]
    refused = user.post(f"/tasks/{task['uuid']}/resume")
    assert (refused.status_code, refused.json()["message"]) == (
        400,
        "there is nothing to resume: no instance of the task has been cancelled",
    )


def test_a_cancelled_task_is_resumed(user: Account) -> None:
    uuid = user.submit("echo begun; sleep 600", shell=True)
    user.await_stdout(uuid, "begun")
    assert user.post(f"/tasks/{uuid}/resume").status_code == 409
    user.post(f"/tasks/{uuid}/abort")
    user.await_end(uuid)
    constants = a_task("echo short")["constants"]
    again = user.await_end(user.post(f"/tasks/{uuid}/resume", {"constants": constants}).json()["uuid"])
    assert (again["state"], user.stdout(again["uuid"])) == ("Success", "0> short\n")


def test_a_task_that_fits_nowhere_fails_in_time_and_goes_in_time(user: Account) -> None:
    large = [{"discriminator": "MinimumCoreHardwareConstraint", "coreCount": 1000}]
    uuid = user.submit(
        "true", hardwareConstraints=large, instanceCount=1000, maxTimeQueueSeconds=1, completionTimeToLive="00:00:02"
    )
    task = user.await_end(uuid)
    assert (task["state"], task["errors"][0]["code"]) == ("Failure", "QUEUE_TIME_EXCEEDED")
    assert "within maxTimeQueueSeconds, 1 seconds: all 1000 waited" in task["errors"][0]["message"]
    assert task["status"]["failedOnlyRange"] == "0-999"
    user._wait(lambda: user.api.get(f"/tasks/{uuid}").status_code == 404, f"{uuid} goes by itself", 30)


def test_a_request_that_was_answered_is_answered_the_same_by_the_next_server(own_platform: Platform) -> None:
    own_platform.start()
    user = own_platform.account()
    bodies = [a_task("true", name=str(n)) for n in range(450)]
    headers = {"Idempotency-Key": "one list"}
    first = user.post("/tasks", bodies, headers=headers)
    assert (first.status_code, len(first.json())) == (207, 450)
    old = own_platform.kill("server")
    own_platform.await_another("server", old)
    own_platform.wait(own_platform.is_open, "the doors are open again")
    user = own_platform.account()
    again = user.post("/tasks", bodies, headers=headers)
    assert (again.status_code, again.json()) == (207, first.json())
    assert user.post("/tasks/summaries/paginate", {}).json()["total"] == 450


def test_limits_and_views_are_given_while_the_server_runs(own_platform: Platform) -> None:
    own_platform.start()
    owner = own_platform.account()
    made = own_platform.run("account", "create", "viewer@example.org")
    viewer = own_platform.account("viewer@example.org", made.stdout.strip())
    uuid = owner.submit("echo seen")
    owner.await_end(uuid)
    view = {"QarnotReadOnlyRequestForAccount": "me@localhost"}
    assert viewer.api.get(f"/tasks/{uuid}", headers=view).status_code == 403
    assert own_platform.run("account", "allow-view", "me@localhost", "viewer@example.org").returncode == 0
    owner._wait(lambda: viewer.api.get(f"/tasks/{uuid}", headers=view).status_code == 200, "it may look", 10)
    assert viewer.api.get(f"/tasks/{uuid}/stdout", headers={**view, "Accept": "*/*"}).text == "0> seen\n"
    assert viewer.api.delete(f"/tasks/{uuid}", headers=view).status_code == 403
    assert own_platform.run("account", "limits", "me@localhost", "max_tasks=1").returncode == 0
    refused = owner.post("/tasks", a_task("true"))
    assert (refused.status_code, "Maximum number of tasks reached" in refused.json()["message"]) == (403, True)
    assert own_platform.run("account", "revoke-view", "me@localhost", "viewer@example.org").returncode == 0
    owner._wait(lambda: viewer.api.get(f"/tasks/{uuid}", headers=view).status_code == 403, "it may no longer", 10)
