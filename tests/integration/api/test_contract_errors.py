"""The table "Errors and HTTP codes" of the platform's semantics: each row that concerns tasks, met over REST.

402 is met in test_hardware: there are no credits, so only hardware that no node has is answered so.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hearth.control.clean_up import end_overdue
from tests.integration.api.sites import TestSite, a_task

UNKNOWN = "00000000-0000-7000-8000-0000000fffff"
NO_POOL = {"name": "t", "poolUuid": UNKNOWN, "instanceCount": 1}
OF_A_TASK = [
    ("GET", ""),
    ("PUT", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    *(("POST", f"/{verb}") for verb in ("abort", "retry", "recover", "resume", "clone", "restart", "snapshot")),
    ("GET", "/instances"),
    ("GET", "/stdout"),
    ("POST", "/stderr"),
    ("GET", "/stdout/0"),
]


@pytest.mark.parametrize(("method", "path"), OF_A_TASK)
@pytest.mark.parametrize("ident", [UNKNOWN, "no-such-name"])
async def test_an_unknown_task_is_404(api: httpx.AsyncClient, method: str, path: str, ident: str) -> None:
    answer = await api.request(method, f"/tasks/{ident}{path}", json={})
    assert (answer.status_code, answer.json()["message"]) == (404, f"No such task: {ident}")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (a_task(resourceBuckets=["none"]), 404, "No such bucket: none"),
        (a_task(advancedResourceBuckets=[{"bucketName": "none"}]), 404, "No such bucket: none"),
        (NO_POOL, 400, f"poolUuid: No such pool: {UNKNOWN}"),
        (a_task(jobUuid=UNKNOWN), 400, f"jobUuid: No such job: {UNKNOWN}"),
        (a_task(projectUuid=UNKNOWN), 400, f"projectUuid: No such project: {UNKNOWN}"),
        (a_task(name=""), 400, "name: "),
        (a_task(name="n" * 2049), 400, "name: "),
        (a_task(profile=...), 400, "profile: "),
        (a_task(profile="none"), 400, "profile: "),
        (a_task(instanceCount=...), 400, "instanceCount: "),
        (a_task(instanceCount=0), 400, "instanceCount: "),
        (a_task(advancedRanges="1-2"), 400, "instanceCount: "),
        (a_task(advancedRanges="x", instanceCount=...), 400, "advancedRanges: "),
        (a_task(shortname="-a"), 400, "shortname: "),
        (a_task(tags=[str(n) for n in range(11)]), 400, "tags: "),
        (a_task(constants=[{"key": "a b", "value": ""}]), 400, "constants[0].key: "),
        (a_task(maxTimeQueueSeconds=-1), 400, "maxTimeQueueSeconds: "),
        (a_task(completionTimeToLive="soon"), 400, "completionTimeToLive: "),
        (a_task(maxRetriesPerInstance=1, retrySettings={"maxTotalRetries": 1}), 400, "maxRetriesPerInstance: "),
        (a_task(retrySettings={"maxTotalRetries": -1}), 400, "retrySettings.maxTotalRetries: "),
        (a_task(shortname="taken"), 409, "shortname: 'taken' is the name of another task of yours"),
    ],
    ids=str,
)
async def test_a_submission_is_refused_alone_and_in_a_list(
    api: httpx.AsyncClient, body: dict[str, Any], status: int, message: str
) -> None:
    await api.post("/tasks", json=a_task(shortname="taken"))
    answer = await api.post("/tasks", json=body)
    assert answer.status_code == status
    assert answer.json()["message"].startswith(message)
    several = await api.post("/tasks", json=[a_task(), body, a_task()])
    assert several.status_code == 207
    told = several.json()
    assert [one["statusCode"] for one in told] == [200, status, 200]
    assert [sorted(one) for one in told] == [["message", "statusCode", "uuid"]] * 3
    assert (told[1]["uuid"], told[1]["message"]) == (None, answer.json()["message"])
    assert len((await api.get("/tasks/summaries")).json()) == 3


async def test_a_full_account_is_told_in_the_words_that_clients_look_for(site: TestSite) -> None:
    _, token = await site.account(max_tasks=1)
    async with site.client(token) as api:
        uuid = (await api.post("/tasks", json=a_task())).json()["uuid"]
        for path in ("/tasks", f"/tasks/{uuid}/clone"):
            answer = await api.post(path, json=a_task())
            assert answer.status_code == 403
            assert "maximum number of tasks reached" in answer.json()["message"].lower()


async def test_a_bad_token_is_401(site: TestSite) -> None:
    async with site.client("tok123") as api:
        answer = await api.get("/tasks")
    assert (answer.status_code, answer.json()) == (
        401,
        {
            "message": "Bad authentication token",
            "error": {"message": "Bad authentication token", "code": 401},
            "data": {},
        },
    )


async def test_an_instance_that_there_is_not_has_no_output(api: httpx.AsyncClient) -> None:
    uuid = (await api.post("/tasks", json=a_task(instanceCount=2))).json()["uuid"]
    assert (await api.get(f"/tasks/{uuid}/stdout/1")).status_code == 200
    assert (await api.get(f"/tasks/{uuid}/stdout/2")).status_code == 404


async def test_a_task_that_has_ended_is_aborted_without_a_word(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = (await api.post("/tasks", json=a_task())).json()["uuid"]
    await site.run()
    assert (await api.post(f"/tasks/{uuid}/abort")).status_code == 200
    assert (await api.get(f"/tasks/{uuid}")).json()["state"] == "Success"


@pytest.mark.parametrize("end", ["failure", "overdue"])
async def test_a_failure_always_has_an_error(api: httpx.AsyncClient, site: TestSite, end: str) -> None:
    uuid = (await api.post("/tasks", json=a_task(maxTimeQueueSeconds=5))).json()["uuid"]
    if end == "failure":
        await site.run(exit_code=3)
    else:
        site.clock.pass_seconds(6)
        await site.site.store.write(end_overdue, site.clock.now)
    task = (await api.get(f"/tasks/{uuid}")).json()
    assert task["state"] == "Failure"
    code = {"failure": "EXIT_CODE", "overdue": "QUEUE_TIME_EXCEEDED"}[end]
    assert [(error["code"], sorted(error)) for error in task["errors"]] == [(code, ["code", "debug", "message"])]
    assert task["status"]["failedOnlyRange"] == "0"
    again = (await api.post(f"/tasks/{uuid}/retry")).json()["uuid"]
    assert (await api.get(f"/tasks/{again}")).json()["maxTimeQueueSeconds"] == 5


async def test_a_project_is_kept_and_told(api: httpx.AsyncClient, site: TestSite) -> None:
    [project] = (await api.get("/info")).json()["projects"]
    body = a_task(projectUuid=project["uuid"].upper())
    for asked in (body, a_task(projectUuid=""), a_task(projectUuid="00000000-0000-0000-0000-000000000000")):
        uuid = (await api.post("/tasks", json=asked)).json()["uuid"]
        assert (await api.get(f"/tasks/{uuid}")).json()["projectUuid"] == project["uuid"]
