"""What a client asks first."""

from __future__ import annotations

import httpx
from sqlalchemy import Connection, insert, update

from hearth.store.tables import accounts, organizations
from hearth.wire import agent as wire
from tests.integration.api.sites import TestSite, a_task


async def test_settings_and_versions_are_open(site: TestSite) -> None:
    async with site.client() as anybody:
        assert (await anybody.get("/settings")).json() == {"storage": "http://storage.test:8551"}
        assert (await anybody.get("/v1/versions")).json() == [{"version": "v1", "endOfLife": None}]


async def test_status_and_the_check_of_a_token(api: httpx.AsyncClient) -> None:
    assert (await api.get("/status")).json() == {"status": "available", "email": "ada@example.org"}
    check = await api.get("/v1")
    assert (check.status_code, check.content) == (200, b"")


async def test_a_token_may_come_with_the_scheme_that_tools_insist_on(site: TestSite) -> None:
    _, token = await site.account()
    async with site.client(f"Bearer {token}") as api:
        assert (await api.get("/info")).status_code == 200


async def test_info_tells_limits_and_use(site: TestSite) -> None:
    _, token = await site.account(max_tasks=7, max_cores=512)
    async with site.client(token) as api:
        fresh = (await api.get("/info")).json()
        await api.post("/tasks", json=[a_task(), a_task(instanceCount=3, schedulingType="OnDemand"), a_task()])
        grants = await site.dispatch()
        first = grants[0]
        await site.tell(started=[wire.Started(first.task.id, 0, first.attempt, site.clock.now)])
        busy = (await api.get("/info")).json()
    assert fresh == {
        "email": "ada@example.org",
        "maxBucket": 10000,
        "bucketCount": 0,
        "quotaBytesBucket": 0,
        "usedQuotaBytesBucket": 0,
        "quotaBytes": 0,
        "usedQuotaBytes": 0,
        "maxTask": 7,
        "taskCount": 0,
        "maxRunningTask": 100000,
        "runningTaskCount": 0,
        "maxJob": 100000,
        "jobCount": 0,
        "maxPool": 1000,
        "poolCount": 0,
        "maxRunningPool": 1000,
        "runningPoolCount": 0,
        "runningInstanceCount": 0,
        "runningCoreCount": 0,
        "maxInstances": 1000000,
        "maxCores": 512,
        "maxFlexInstances": 1000000,
        "maxFlexCores": 512,
        "maxOnDemandInstances": 1000000,
        "maxOnDemandCores": 512,
        "runningFlexInstanceCount": 0,
        "runningFlexCoreCount": 0,
        "runningOnDemandInstanceCount": 0,
        "runningOnDemandCoreCount": 0,
        "reservedQuotas": [],
        "computingQuotas": {
            "user": {
                "flex": quota(max_cores=512),
                "onDemand": quota(max_cores=512),
                "reserved": [],
            },
            "organization": None,
        },
        "defaultScheduling": "flex",
        "defaultReservedSpecificationKey": None,
        "projects": [
            {
                "uuid": "00000000-0000-7000-8000-000000000002",
                "name": "Default",
                "slug": "default",
                "description": "",
                "organizationUuid": None,
                "isDefault": True,
            }
        ],
    }
    assert {name: busy[name] for name in busy if busy[name] != fresh[name]} == {
        "taskCount": 3,
        "runningTaskCount": 3,
        "runningInstanceCount": 5,
        "runningCoreCount": 5,
        "runningFlexInstanceCount": 2,
        "runningFlexCoreCount": 2,
        "runningOnDemandInstanceCount": 3,
        "runningOnDemandCoreCount": 3,
        "computingQuotas": {
            "user": {
                "flex": quota(2, max_cores=512),
                "onDemand": quota(3, max_cores=512),
                "reserved": [],
            },
            "organization": None,
        },
    }


def quota(running: int = 0, *, max_cores: int = 0, max_instances: int = 1_000_000) -> dict[str, int]:
    """A quota as answers tell it, where each instance takes a core."""
    return {
        "maxCores": max_cores,
        "runningCoresCount": running,
        "runningCoreCount": running,
        "maxInstances": max_instances,
        "runningInstancesCount": running,
    }


async def test_quotas_of_an_account_without_organization(site: TestSite) -> None:
    _, token = await site.account(max_cores=512)
    async with site.client(token) as api:
        await api.post("/tasks", json=a_task(instanceCount=2))
        await site.dispatch()
        assert (await api.get("/v1/Quotas/computing-quotas/USER")).json() == {
            "flex": quota(2, max_cores=512),
            "onDemand": quota(max_cores=512),
            "reserved": [],
        }
        answer = await api.get("/quotas/computing-quotas/organization")
        assert (answer.status_code, answer.json()) == (
            404,
            {"message": "No such organization: ada@example.org belongs to none"},
        )


async def test_quotas_of_an_organization_count_all_its_accounts(site: TestSite) -> None:
    _, mine = await site.account("ada@example.org")
    _, theirs = await site.account("bob@example.org")
    _, foreign = await site.account("eve@example.org")

    def found(connection: Connection) -> None:
        connection.execute(insert(organizations).values(id=1, uuid="org-1", name="Analytical", created_at=0))
        theirs_too = accounts.c.email.in_(["ada@example.org", "bob@example.org"])
        connection.execute(update(accounts).values(organization_id=1).where(theirs_too))

    await site.site.store.write(found)
    site.site.accounts.forget()
    for token, count in ((mine, 1), (theirs, 2), (foreign, 4)):
        async with site.client(token) as api:
            await api.post("/tasks", json=a_task(instanceCount=count))
    await site.dispatch()
    async with site.client(mine) as api:
        told = (await api.get("/info")).json()["computingQuotas"]["organization"]
        together = quota(3, max_instances=0)
        nothing = quota(max_instances=0)
        assert told == {"name": "Analytical", "flex": together, "onDemand": nothing, "reserved": []}
        each = {
            email: {"runningInstancesCount": count, "runningCoresCount": count, "runningCoreCount": count}
            for email, count in (("ada@example.org", 1), ("bob@example.org", 2))
        }
        assert (await api.get("/quotas/computing-quotas/organization")).json() == {
            "flex": {**together, "runningCountsPerUser": each},
            "onDemand": {**nothing, "runningCountsPerUser": {}},
            "reserved": [],
        }


async def test_profiles_are_listed_and_shown(api: httpx.AsyncClient) -> None:
    assert (await api.get("/profiles")).json() == ["docker-batch", "docker-network", "ubuntu"]
    profile = (await api.get("/profiles/docker-batch")).json()
    assert (profile["name"], profile["licenses"]) == ("docker-batch", [])
    assert profile["constants"][0]["name"] == "DOCKER_CMD"
    assert set(profile["constants"][0]) == {"name", "value", "description"}
    assert (await api.get("/profiles/DOCKER-BATCH")).status_code == 404


async def test_the_api_describes_itself_with_bodies_and_answers(site: TestSite) -> None:
    async with site.client() as anybody:
        document = (await anybody.get("/openapi.json")).json()
        assert (await anybody.get("/v1/openapi.json")).json() == document
    assert document["openapi"].startswith("3.1")
    paths = document["paths"]
    assert {"/tasks", "/tasks/{ident}", "/tasks/paginate", "/tasks/{ident}/stdout/{number}", "/info"} <= set(paths)
    body = paths["/tasks"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"$ref": "#/components/schemas/TaskSubmit"} in body["anyOf"]
    schemas = document["components"]["schemas"]
    assert "instanceCount" in schemas["TaskSubmit"]["properties"]
    assert "completedInstances" in schemas["Task"]["properties"]
    assert paths["/settings"]["get"]["security"] == []
    assert document["security"] == [{"token": []}]
    text = str(document)
    references = {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= set(schemas)
