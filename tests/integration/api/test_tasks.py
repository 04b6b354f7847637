"""Tasks over REST: what clients send, and what they get back."""

from __future__ import annotations

import httpx
import pytest

from tests.integration.api.sites import OFFER, TestSite, a_task


async def submitted(api: httpx.AsyncClient, **changes: object) -> str:
    answer = await api.post("/tasks", json=a_task(**changes))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["uuid"])


async def test_a_task_is_created_and_found_by_uuid_and_shortname(api: httpx.AsyncClient) -> None:
    created = await api.post("/tasks", json=a_task(shortname="My-task"))
    assert created.status_code == 200
    uuid = created.json()["uuid"]
    assert created.json() == {"uuid": uuid}
    assert created.headers["location"] == f"http://api.test/tasks/{uuid}"
    assert (await api.get(f"/tasks/{uuid}")).json()["shortname"] == "My-task"
    assert (await api.get("/tasks/My-task")).json()["uuid"] == uuid
    assert (await api.get("/tasks/my-task")).status_code == 404


async def test_a_new_task_reads_back_whole(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api, tags=["a", "b"], labels={"Team": "x"}, instanceCount=3)
    task = (await api.get(f"/tasks/{uuid}")).json()
    status = task.pop("status")
    assert task == {
        "uuid": uuid,
        "name": "hello",
        "shortname": uuid,
        "profile": "docker-batch",
        "poolUuid": None,
        "jobUuid": None,
        "projectUuid": "00000000-0000-7000-8000-000000000002",
        "progress": 0.0,
        "runningInstanceCount": 0,
        "runningCoreCount": 0,
        "executionTime": "00:00:00",
        "wallTime": "00:00:00",
        "state": "Submitted",
        "previousState": None,
        "instanceCount": 3,
        "totalInstanceCount": 3,
        "maxRetriesPerInstance": None,
        "clusterInfo": {"clusterCoresCount": None},
        "advancedRanges": None,
        "stateTransitionTime": "2026-05-01T12:00:00Z",
        "previousStateTransitionTime": "0001-01-01T00:00:00Z",
        "lastModified": "2026-05-01T12:00:00Z",
        "creationDate": "2026-05-01T12:00:00Z",
        "endDate": "0001-01-01T00:00:00Z",
        "waitForPoolResourcesSynchronization": None,
        "errors": [],
        "completedInstances": [],
        "resultsCount": 0,
        "snapshotInterval": 0,
        "constants": [{"key": "DOCKER_CMD", "value": "echo hi"}],
        "constraints": [],
        "forcedConstants": [],
        "resourceBuckets": [],
        "advancedResourceBuckets": [],
        "resultBucket": None,
        "resultsBucket": None,
        "resultsBucketPrefix": None,
        "resultsCacheTTLSec": None,
        "ResultsCacheTTLSec": None,
        "defaultResourcesCacheTTLSec": None,
        "resultsWhitelist": None,
        "resultsBlacklist": None,
        "snapshotWhitelist": None,
        "snapshotBlacklist": None,
        "snapshotBucket": None,
        "snapshotBucketPrefix": None,
        "tags": ["a", "b"],
        "labels": {"Team": "x"},
        "dependencies": {"dependsOn": [], "advancedDependsOn": []},
        "autoDeleteOnCompletion": False,
        "completionTimeToLive": "00:00:00",
        "uploadResultsOnCancellation": None,
        "maxTimeQueueSeconds": None,
        "hardwareConstraints": [],
        "privileges": {"exportApiAndStorageCredentialsInEnvironment": False},
        "retrySettings": {"maxTotalRetries": None, "maxPerInstanceRetries": None},
        "schedulingType": "flex",
        "targetedReservedMachineKey": None,
        "targetedReservationName": None,
        "forcedNetworkRules": [],
        "secretsAccessRights": {"bySecret": [], "byPrefix": []},
        "priority": 0,
    }
    assert status["downloadProgress"] == status["executionProgress"] == status["uploadProgress"] == 0.0
    assert status["succeededRange"] == status["failedRange"] == status["startedOnceRange"] == ""
    assert status["runningInstancesInfo"]["perRunningInstanceInfo"] == []


async def test_a_running_task_shows_its_instances_and_their_machine(api: httpx.AsyncClient, site: TestSite) -> None:
    from hearth.wire import agent as wire

    uuid = await submitted(api, instanceCount=2)
    [grant] = await site.dispatch()
    assert (await api.get(f"/tasks/{uuid}")).json()["state"] == "FullyDispatched"
    await site.tell(started=[wire.Started(grant.task.id, n, grant.attempt, site.clock.now) for n in (0, 1)])
    site.clock.pass_seconds(90)
    task = (await api.get(f"/tasks/{uuid}")).json()
    assert task["state"] == "FullyExecuting"
    assert (task["runningInstanceCount"], task["runningCoreCount"]) == (2, 2)
    assert task["executionTime"] == "00:03:00"
    assert task["wallTime"] == "00:01:30"
    first = task["status"]["runningInstancesInfo"]["perRunningInstanceInfo"][0]
    assert (first["instanceId"], first["phase"], first["executionTimeSec"]) == (0, "execution", 90.0)
    assert (first["cpuModel"], first["specificationKey"]) == (OFFER.cpu_model, OFFER.specification_key)
    assert first["activeForwards"] == first["vpnConnections"] == []
    assert task["status"]["downloadProgress"] == 100.0


async def test_a_task_that_succeeded_shows_how(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api, instanceCount=2)
    await site.run(seconds=2.5)
    task = (await api.get(f"/tasks/{uuid}")).json()
    assert (task["state"], task["progress"], task["errors"]) == ("Success", 100.0, [])
    assert task["status"]["succeededRange"] == task["status"]["executedRange"] == "0-1"
    assert task["executionTime"] == "00:00:05"
    [first, _] = sorted(task["completedInstances"], key=lambda one: one["instanceId"])
    assert first == {
        "instanceId": 0,
        "state": "Success",
        "results": [],
        "wallTimeSec": 2.5,
        "execTimeSec": 2.5,
        "execTimeSecGHz": 5.0,
        "peakMemoryMB": 5,
        "averageGHz": 2.0,
        "error": None,
        "specificationKey": OFFER.specification_key,
        "cpuModel": OFFER.cpu_model,
        "coreCount": 1,
        "clockRatio": 1.0,
        "executionAttemptCount": 1,
        "notes": [],
    }


async def test_a_failure_has_errors_of_its_first_failed_instances(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api, advancedRanges="115-120", instanceCount=0)
    await site.run(exit_code=3)
    task = (await api.get(f"/tasks/{uuid}")).json()
    assert task["state"] == "Failure"
    assert task["errors"][0] == {
        "code": "EXIT_CODE",
        "message": "Instance 115: the command ended with 3",
        "debug": None,
    }
    assert (task["instanceCount"], task["advancedRanges"], task["totalInstanceCount"]) == (0, "115-120", 6)
    assert task["status"]["failedRange"] == task["status"]["failedOnlyRange"] == "115-120"
    assert task["completedInstances"][0]["error"]["code"] == "EXIT_CODE"


async def test_an_abort_cancels_and_is_harmless_when_it_is_over(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api, instanceCount=2)
    assert (await api.post(f"/tasks/{uuid}/abort")).status_code == 200
    task = (await api.get(f"/tasks/{uuid}")).json()
    assert (task["state"], task["status"]["cancelledRange"]) == ("Cancelled", "0-1")
    assert (task["status"]["failedRange"], task["status"]["failedOnlyRange"]) == ("0-1", "")
    assert task["status"]["executedRange"] == "0-1"
    assert task["errors"][0]["code"] == "CANCELLED"
    assert (await api.post(f"/tasks/{uuid}/abort")).status_code == 200


async def test_a_deleted_task_is_nowhere(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api, tags=["gone"])
    await site.run()
    assert (await api.delete(f"/tasks/{uuid}")).status_code == 200
    assert (await api.get(f"/tasks/{uuid}")).status_code == 404
    assert (await api.get("/tasks")).json() == []
    assert (await api.get("/tasks/summaries", params={"tag": "gone"})).json() == []
    assert (await api.post("/tasks/paginate", json={})).json()["total"] == 0


async def test_an_update_takes_the_whole_submission_and_changes_tags_and_constants(api: httpx.AsyncClient) -> None:
    uuid = await submitted(api, tags=["old"])
    whole = a_task(shortname=uuid, tags=["new"], constants=[{"key": "DOCKER_CMD", "value": "date"}], name="other")
    answer = await api.put(f"/tasks/{uuid}", json=whole)
    assert answer.status_code == 200
    assert "warning" not in answer.headers
    task = (await api.get(f"/tasks/{uuid}")).json()
    assert (task["name"], task["tags"]) == ("hello", ["new"])
    assert task["constants"] == [{"key": "DOCKER_CMD", "value": "date"}]
    assert [t["uuid"] for t in (await api.get("/tasks", params={"tag": "new"})).json()] == [uuid]
    assert (await api.get("/tasks", params={"tag": "old"})).json() == []


async def test_a_secret_constant_is_never_shown_and_survives_being_sent_back(
    api: httpx.AsyncClient, site: TestSite
) -> None:
    secret = {"key": "QARNOT_SECRET__PASSWORD", "value": "swordfish"}
    uuid = await submitted(api, constants=[secret])
    shown = await api.get(f"/tasks/{uuid}")
    assert shown.json()["constants"] == [{"key": "QARNOT_SECRET__PASSWORD", "value": "[SECRET]"}]
    assert "swordfish" not in shown.text
    await api.put(f"/tasks/{uuid}", json={"constants": shown.json()["constants"]})
    [grant] = await site.dispatch()
    assert grant.task.parsed_spec().constants == {"QARNOT_SECRET__PASSWORD": "swordfish"}


async def test_a_list_is_answered_item_by_item_in_order(api: httpx.AsyncClient) -> None:
    body = [a_task(name="a"), a_task(name=""), a_task(profile="nope"), a_task(name="d")]
    answer = await api.post("/tasks", json=body)
    assert answer.status_code == 207
    first, second, third, fourth = answer.json()
    assert first["statusCode"] == fourth["statusCode"] == 200
    assert first["message"] is None
    assert (second["statusCode"], second["uuid"]) == (400, None)
    assert second["message"] == "name: is missing: give the task a name"
    assert third["statusCode"] == 400 and "no profile 'nope'" in third["message"]
    names = [(await api.get(f"/tasks/{one['uuid']}")).json()["name"] for one in (first, fourth)]
    assert names == ["a", "d"]
    assert (await api.post("/tasks", json=[])).json() == []


async def test_of_many_ended_instances_the_newest_are_shown_and_all_can_be_paged(
    api: httpx.AsyncClient, site: TestSite
) -> None:
    uuid = await submitted(api, instanceCount=40)
    await site.run()
    shown = await api.get(f"/tasks/{uuid}")
    assert len(shown.json()["completedInstances"]) == 40
    assert "hearth-completed-instances-total" not in shown.headers
    numbers = []
    after = -1
    while after is not None:
        page = (await api.get(f"/tasks/{uuid}/instances", params={"limit": 15, "after": after})).json()
        assert page["total"] == 40
        numbers += [one["instanceId"] for one in page["data"]]
        assert page["isTruncated"] is (page["nextToken"] is not None)
        after = page["nextToken"]
    assert numbers == list(range(40))


async def test_an_answer_that_is_cut_says_how_many_there_are(tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.integration.api.sites import open_site

    site = open_site(tmp_path_factory.mktemp("site"), completed_instances_shown=5)
    _, token = await site.account()
    async with site.client(token) as api:
        uuid = await submitted(api, instanceCount=8)
        await site.run(exit_code=1)
        shown = await api.get(f"/tasks/{uuid}")
    site.site.store.close()
    assert shown.headers["hearth-completed-instances-total"] == "8"
    assert [one["instanceId"] for one in shown.json()["completedInstances"]] == [3, 4, 5, 6, 7]
    # The errors are those of the first failed instances, shown or not.
    assert [error["message"].split(":")[0] for error in shown.json()["errors"]] == [f"Instance {n}" for n in range(8)]


async def test_both_spellings_of_buckets_are_echoed_as_they_were_given(api: httpx.AsyncClient, site: TestSite) -> None:
    from hearth.store.queries import buckets

    account = await site.site.accounts.by_email("ada@example.org")
    assert account is not None
    await site.site.store.write(buckets.create, account.id, "in", site.clock.now)
    advanced = [
        {
            "bucketName": "in",
            "filtering": {"prefixFiltering": {"prefix": "a/"}},
            "resourcesTransformation": {},
            "cacheTTLSec": 60,
        }
    ]
    plain = (await api.get(f"/tasks/{await submitted(api, resourceBuckets=['in'])}")).json()
    uuid = await submitted(api, advancedResourceBuckets=advanced)
    rich = (await api.get(f"/tasks/{uuid}")).json()
    old = await api.get(f"/tasks/{uuid}", headers={"User-Agent": "qarnot-sdk-python/v2.4.1"})
    new = await api.get(f"/tasks/{uuid}", headers={"User-Agent": "qarnot-sdk-python/v2.23.0"})
    assert (plain["resourceBuckets"], plain["advancedResourceBuckets"]) == (["in"], [])
    assert (rich["resourceBuckets"], rich["advancedResourceBuckets"]) == ([], advanced)
    assert (old.json()["resourceBuckets"], new.json()["resourceBuckets"]) == (["in"], [])


async def test_output_is_text_for_python_and_a_json_string_where_json_is_named(
    api: httpx.AsyncClient, site: TestSite
) -> None:
    uuid = await submitted(api)
    await site.run(output="grüße\n".encode())
    text = await api.get(f"/tasks/{uuid}/stdout")
    assert (text.headers["content-type"], text.text) == ("text/plain; charset=utf-8", "0> grüße\n")
    json = await api.get(f"/tasks/{uuid}/stdout", headers={"Accept": "application/json"})
    assert json.headers["content-type"] == "application/json"
    assert json.json() == "0> grüße\n"
    assert (await api.get(f"/tasks/{uuid}/stdout/0")).text == "grüße\n"
    assert (await api.get(f"/tasks/{uuid}/stderr")).text == ""
    assert (await api.post(f"/tasks/{uuid}/stdout")).text == "0> grüße\n"
    assert (await api.post(f"/tasks/{uuid}/stdout")).text == ""
    assert (await api.post(f"/tasks/{uuid}/stdout/0")).text == "grüße\n"


@pytest.mark.parametrize("number", ["1", "x", "-1", "99999999999999999999"])
async def test_output_of_an_instance_that_is_not_there_is_404(api: httpx.AsyncClient, number: str) -> None:
    uuid = await submitted(api)
    answer = await api.get(f"/tasks/{uuid}/stdout/{number}")
    assert answer.status_code == 404
    assert answer.json()["message"].startswith(f"No such instance: {number}")
