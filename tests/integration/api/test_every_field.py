"""Every field that a task may be submitted with, and how it is answered (see docs/reference/task-fields.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.api.sites import TestSite, a_task

FACTS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "reference/facts.json").read_text())
# Answered under another name too, or otherwise than it was sent.
ALSO: dict[str, dict[str, Any]] = {
    "resultBucket": {"resultsBucket": "out"},
    "resultsCacheTTLSec": {"ResultsCacheTTLSec": 60},
    "targetedReservedMachineKey": {"targetedReservationName": "64c-64g-model-t"},
}
# What is sent, and what is answered where that differs.
SENT: dict[str, Any] = {
    "name": "every field",
    "shortname": "every-field",
    "profile": "docker-batch",
    "projectUuid": "00000000-0000-7000-8000-000000000002",
    "instanceCount": 3,
    "constants": [{"key": "DOCKER_CMD", "value": "echo ${INSTANCE_ID}"}, {"key": "N", "value": "1"}],
    "constraints": [{"key": "place", "value": "here"}],
    "forcedConstants": [
        {"constantName": "N", "forcedValue": "2", "forceExportInEnvironment": True, "access": "ReadOnly"}
    ],
    "resultBucket": "out",
    "resultsBucketPrefix": "run-1/",
    "resultsCacheTTLSec": 60,
    "resultsWhitelist": r"\.png$",
    "resultsBlacklist": "^scratch",
    "snapshotBucket": "shots",
    "snapshotBucketPrefix": "s/",
    "snapshotWhitelist": "part",
    "snapshotBlacklist": "tmp",
    "tags": ["a", "b"],
    "labels": {"Team": "x"},
    "autoDeleteOnCompletion": True,
    "completionTimeToLive": "1.02:00:00",
    "waitForPoolResourcesSynchronization": True,
    "uploadResultsOnCancellation": True,
    "maxTimeQueueSeconds": 3600,
    "hardwareConstraints": [{"discriminator": "MinimumCoreHardwareConstraint", "coreCount": 2}],
    "defaultResourcesCacheTTLSec": 100,
    "privileges": {"exportApiAndStorageCredentialsInEnvironment": True},
    "retrySettings": {"maxTotalRetries": 5, "maxPerInstanceRetries": 2},
    "schedulingType": "onDemand",
    "forcedNetworkRules": [{"inbound": True, "proto": "tcp", "port": "80", "toQBox": False, "toPayload": True}],
    "secretsAccessRights": {"bySecret": [{"key": "k"}], "byPrefix": [{"prefix": "p/"}]},
}
ADVANCED = [
    {
        "bucketName": "in",
        "filtering": {"prefixFiltering": {"prefix": "data/"}},
        "resourcesTransformation": {"stripPrefix": {"prefix": "data/"}},
        "cacheTTLSec": 5,
    },
    {"bucketName": "in", "filtering": {}, "resourcesTransformation": {}, "cacheTTLSec": None},
]
# One at a time, because they exclude others: how each is sent and answered.
ALONE: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "advancedRanges": [
        (
            {"instanceCount": ..., "advancedRanges": "1-3, 7"},
            {"advancedRanges": "1-3,7", "instanceCount": 0, "totalInstanceCount": 4},
        )
    ],
    "resourceBuckets": [
        ({"resourceBuckets": ["in", "out"]}, {"resourceBuckets": ["in", "out"], "advancedResourceBuckets": []})
    ],
    "advancedResourceBuckets": [
        ({"advancedResourceBuckets": ADVANCED}, {"resourceBuckets": [], "advancedResourceBuckets": ADVANCED})
    ],
    "maxRetriesPerInstance": [({"maxRetriesPerInstance": 2}, {"maxRetriesPerInstance": 2})],
    "resultsBucket": [({"resultsBucket": "out"}, {"resultsBucket": "out", "resultBucket": "out"})],
    "snapshotInterval": [({"snapshotInterval": 60}, {"snapshotInterval": 0})],
    "dependencies": [
        ({"dependencies": {"dependsOn": []}}, {"dependencies": {"dependsOn": [], "advancedDependsOn": []}})
    ],
    "targetedReservedMachineKey": [
        (
            {"schedulingType": "reserved", "targetedReservedMachineKey": "64c-64g-model-t"},
            {
                "schedulingType": "reserved",
                "targetedReservedMachineKey": "64c-64g-model-t",
                "targetedReservationName": "64c-64g-model-t",
            },
        )
    ],
    "targetedReservationName": [
        (
            {"schedulingType": "Reserved", "targetedReservationName": "64c-64g-model-t"},
            {"targetedReservedMachineKey": "64c-64g-model-t", "targetedReservationName": "64c-64g-model-t"},
        )
    ],
    "poolUuid": [({"poolUuid": None}, {"poolUuid": None}), ({"poolUuid": "0" * 8 + "-0000-0000-0000-" + "0" * 12}, {})],
    "jobUuid": [({"jobUuid": ""}, {"jobUuid": None})],
}


async def answered(api: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    created = await api.post("/tasks", json=body)
    assert created.status_code == 200, created.text
    assert "warning" not in created.headers
    found: dict[str, Any] = (await api.get(f"/tasks/{created.json()['uuid']}")).json()
    return found


@pytest.fixture
async def with_buckets(site: TestSite, api: httpx.AsyncClient) -> httpx.AsyncClient:
    """The API of an account that has the buckets `in` and `out`, on a site with a node."""
    await site.dispatch()
    made = await api.post("/tasks", json=a_task(resultBucket="in"))
    assert made.status_code == 200
    assert (await api.post("/tasks", json=a_task(resultBucket="out"))).status_code == 200
    return api


async def test_every_field_that_is_sent_is_kept_and_answered(with_buckets: httpx.AsyncClient) -> None:
    task = await answered(with_buckets, SENT)
    wanted = {
        name: value for field, sent in SENT.items() for name, value in ({field: sent} | ALSO.get(field, {})).items()
    }
    assert {name: task[name] for name in wanted} == wanted


@pytest.mark.parametrize("field", sorted(ALONE))
async def test_fields_that_exclude_others_are_answered(with_buckets: httpx.AsyncClient, field: str) -> None:
    for changes, wanted in ALONE[field]:
        task = await answered(with_buckets, a_task(**changes))
        assert {name: task[name] for name in wanted} == wanted


# What a new task made of an old one may be told otherwise: the parts of a submission but for who it is.
OVERRIDES = {name: value for name, value in SENT.items() if name not in ("instanceCount", "projectUuid")}
NEW_FROM_OLD = {
    "retry": "TaskRetryInput",
    "recover": "TaskRecoverInput",
    "resume": "TaskResumeInput",
    "clone": "TaskCloneInput",
}


async def an_old_task(api: httpx.AsyncClient, site: TestSite, *, cancelled: bool) -> str:
    """Submit a task, and let its two instances fail or be cancelled."""
    uuid = str((await api.post("/tasks", json=a_task(instanceCount=2))).json()["uuid"])
    if cancelled:
        assert (await api.post(f"/tasks/{uuid}/abort")).status_code == 200
    else:
        await site.run(exit_code=1)
    return uuid


@pytest.mark.parametrize("how", NEW_FROM_OLD)
async def test_every_field_may_be_another_in_a_new_task_made_of_an_old_one(
    with_buckets: httpx.AsyncClient, site: TestSite, how: str
) -> None:
    await site.run()
    old = await an_old_task(with_buckets, site, cancelled=how == "resume")
    made = await with_buckets.post(f"/tasks/{old}/{how}", json=OVERRIDES)
    assert made.status_code == 200, made.text
    task = (await with_buckets.get(f"/tasks/{made.json()['uuid']}")).json()
    wanted = {
        name: value
        for field, sent in OVERRIDES.items()
        for name, value in ({field: sent} | ALSO.get(field, {})).items()
    }
    assert {name: task[name] for name in wanted} == wanted
    assert task["totalInstanceCount"] == 2


@pytest.mark.parametrize("how", NEW_FROM_OLD)
@pytest.mark.parametrize("field", sorted(ALONE.keys() - {"advancedRanges", "poolUuid"}))
async def test_fields_that_exclude_others_may_be_another_too(
    with_buckets: httpx.AsyncClient, site: TestSite, how: str, field: str
) -> None:
    await site.run()
    old = await an_old_task(with_buckets, site, cancelled=how == "resume")
    for changes, wanted in ALONE[field]:
        made = await with_buckets.post(f"/tasks/{old}/{how}", json=changes)
        assert made.status_code == 200, made.text
        task = (await with_buckets.get(f"/tasks/{made.json()['uuid']}")).json()
        assert {name: task[name] for name in wanted} == wanted


async def test_a_clone_may_have_other_instances(api: httpx.AsyncClient, site: TestSite) -> None:
    old = await an_old_task(api, site, cancelled=False)
    for changes, wanted in (
        ({}, {"instanceCount": 2, "advancedRanges": None, "totalInstanceCount": 2}),
        ({"instanceCount": 5}, {"instanceCount": 5, "advancedRanges": None, "totalInstanceCount": 5}),
        ({"advancedRanges": "3-4,9"}, {"instanceCount": 0, "advancedRanges": "3-4,9", "totalInstanceCount": 3}),
    ):
        made = await api.post(f"/tasks/{old}/clone", json=changes)
        assert made.status_code == 200, made.text
        task = (await api.get(f"/tasks/{made.json()['uuid']}")).json()
        assert {name: task[name] for name in wanted} == wanted


def test_no_field_of_a_submission_is_forgotten_here() -> None:
    named = set(FACTS["openapi"]["POST /tasks"]["takes"]["TaskCreationInput"])
    assert sorted(named - SENT.keys() - ALONE.keys()) == []


@pytest.mark.parametrize("how", NEW_FROM_OLD)
def test_no_field_of_a_new_task_made_of_an_old_one_is_forgotten_here(how: str) -> None:
    named = set(FACTS["openapi"][f"POST /tasks/{{}}/{how}"]["takes"][NEW_FROM_OLD[how]])
    assert sorted(named - SENT.keys() - ALONE.keys()) == []
