"""Snapshots over REST, taken by a node that speaks the agent protocol."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import Connection

from hearth.control.snapshot import OPEN_AT_ONCE, take_due_snapshots
from hearth.store.queries import buckets, history, objects
from hearth.wire import agent as wire
from tests.integration.api.fake_agent import FakeAgent
from tests.integration.api.sites import TestSite
from tests.integration.api.test_tasks import submitted


@pytest.fixture
def agent(site: TestSite) -> FakeAgent:
    return FakeAgent(site)


async def shown(site: TestSite, bucket: str) -> list[str]:
    """The keys in a bucket of the first account."""

    def look(connection: Connection) -> list[str]:
        found = buckets.find(connection, 1, bucket)
        return [] if found is None else [row.key for row in objects.page(connection, found.id)]

    return await site.site.store.read(look)


async def status(api: httpx.AsyncClient, uuid: str, name: str) -> dict[str, Any]:
    answer = await api.get(f"/tasks/{uuid}/snapshot/{name}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_a_snapshot_from_the_request_to_the_bucket(
    api: httpx.AsyncClient, site: TestSite, agent: FakeAgent
) -> None:
    uuid = await submitted(api, instanceCount=2, resultBucket="out", resultsBucketPrefix="run/")
    first, second = await agent.start()
    question = await agent.park()
    answer = await api.post(f"/tasks/{uuid}/snapshot")
    assert answer.status_code == 200
    snapshot = answer.json()
    name = f"snap_{uuid}_20260501120003"
    assert snapshot == {
        "id": name,
        "taskUuid": uuid,
        "triggerDate": "2026-05-01T12:00:03Z",
        "lastUpdateDate": "2026-05-01T12:00:03Z",
        "snapshotConfig": {"whitelist": None, "blacklist": None, "bucket": "out", "bucketPrefix": "run/"},
        "status": "Triggered",
        "sizeToUpload": None,
        "transferredSize": None,
        "errors": [],
    }
    [order] = (await question).snapshots
    assert order == wire.Snapshot(order.snapshot, first[0], 1, "0-1", "", "")

    file = await agent.upload(first, "a.txt", b"so far")
    site.clock.pass_seconds(1)
    await agent.tell(
        snapshots=[wire.SnapshotPart(order.snapshot, *first, size_bytes=6, transferred_bytes=2)],
    )
    assert await status(api, uuid, name) == snapshot | {
        "lastUpdateDate": "2026-05-01T12:00:04Z",
        "status": "InProgress",
        "sizeToUpload": 6,
        "transferredSize": 2,
    }
    assert await shown(site, "out") == []
    over = {"size_bytes": 6, "transferred_bytes": 6, "over": True}
    await agent.tell(
        snapshots=[
            wire.SnapshotPart(order.snapshot, *first, files=[file], **over),
            wire.SnapshotPart(order.snapshot, *second, over=True),
        ]
    )
    assert await status(api, uuid, name) == snapshot | {
        "lastUpdateDate": "2026-05-01T12:00:04Z",
        "status": "Success",
        "sizeToUpload": 6,
        "transferredSize": 6,
    }
    assert await shown(site, "out") == ["run/a.txt"]
    task = (await api.get(f"/tasks/{uuid}")).json()
    assert (task["resultsCount"], task["state"]) == (1, "FullyExecuting")

    story = await site.site.store.read(history.of_task, 1)
    assert [detail for _, kind, detail in story if kind == "snapshot"] == [
        f'{{"id":"{name}","status":"Triggered"}}',
        f'{{"id":"{name}","status":"Success"}}',
    ]


@pytest.mark.parametrize("body", [b"", b"null", b" ", b"{}", b'{"whitelist":null,"Bucket":null}'])
async def test_a_call_that_says_nothing_takes_what_the_task_has(
    api: httpx.AsyncClient, agent: FakeAgent, body: bytes
) -> None:
    uuid = await submitted(
        api, snapshotWhitelist="w", snapshotBlacklist="b", snapshotBucket="snaps", snapshotBucketPrefix="p/"
    )
    answer = await api.post(f"/TASKS/{uuid}/Snapshot", content=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["snapshotConfig"] == {
        "whitelist": "w",
        "blacklist": "b",
        "bucket": "snaps",
        "bucketPrefix": "p/",
    }


async def test_what_a_call_says_counts_once(api: httpx.AsyncClient, agent: FakeAgent) -> None:
    uuid = await submitted(api, snapshotWhitelist="w", resultBucket="out")
    said = {"whitelist": "x", "blacklist": "y", "bucket": "other", "bucketPrefix": "q"}
    assert (await api.post(f"/tasks/{uuid}/snapshot", json=said)).json()["snapshotConfig"] == said
    own = {"whitelist": "w", "blacklist": None, "bucket": "out", "bucketPrefix": None}
    assert (await api.post(f"/tasks/{uuid}/snapshot")).json()["snapshotConfig"] == own
    assert {bucket.name for bucket in await _buckets(agent)} == {"other", "out"}


async def _buckets(agent: FakeAgent) -> list[buckets.BucketRow]:
    return await agent.site.site.store.read(buckets.listing, 1)


async def test_nothing_that_runs_is_a_success_at_once(api: httpx.AsyncClient) -> None:
    uuid = await submitted(api, resultBucket="out")
    told = (await api.post(f"/tasks/{uuid}/snapshot")).json()
    assert (told["status"], told["sizeToUpload"], told["transferredSize"]) == ("Success", 0, 0)
    assert (await api.get(f"/tasks/{uuid}")).json()["resultsCount"] == 0


async def test_a_failed_share_says_why(api: httpx.AsyncClient, agent: FakeAgent) -> None:
    uuid = await submitted(api, resultBucket="out")
    [key] = await agent.start()
    told = (await api.post(f"/tasks/{uuid}/snapshot")).json()
    [order] = (await agent.ask()).snapshots
    await agent.tell(snapshots=[wire.SnapshotPart(order.snapshot, *key, over=True, error="the disk is full")])
    told = await status(api, uuid, told["id"])
    assert told["status"] == "Failure"
    assert told["errors"] == [{"code": "SNAPSHOT_FAILED", "message": "Instance 0: the disk is full", "debug": None}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"whitelist": "("}, "whitelist: '(' is not a regular expression"),
        ({"blacklist": "["}, "blacklist: '[' is not a regular expression"),
        ({"whitelist": "a" * 2049}, "whitelist: has 2049 characters, at most 2048 are possible"),
        ({"bucketPrefix": "a" * 2049}, "bucketPrefix: has 2049 characters, at most 2048 are possible"),
        ({"bucket": "a/b"}, "bucket: 'a/b' is not the name of a bucket"),
        ({"bucket": 3}, "bucket: expected text, got 3"),
        ([], "body: expected an object, got a list"),
    ],
)
@pytest.mark.parametrize("path", ["snapshot", "snapshot/periodic"])
async def test_what_cannot_be_is_refused_with_its_field(
    api: httpx.AsyncClient, body: Any, message: str, path: str
) -> None:
    uuid = await submitted(api, resultBucket="out")
    if isinstance(body, dict) and path == "snapshot/periodic":
        body = {"interval": 5, **body}
    answer = await api.post(f"/tasks/{uuid}/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(message)


@pytest.mark.parametrize(("path", "body"), [("snapshot", None), ("snapshot/periodic", {"interval": 9})])
async def test_a_task_without_any_bucket_has_no_place_for_snapshots(
    api: httpx.AsyncClient, path: str, body: dict[str, int] | None
) -> None:
    uuid = await submitted(api)
    answer = await api.post(f"/tasks/{uuid}/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["message"] == (
        "bucket: is missing: the task has neither a snapshotBucket nor a resultBucket, so name one"
    )


async def test_an_ended_task_has_no_snapshots(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api, resultBucket="out")
    await site.run()
    answer = await api.post(f"/tasks/{uuid}/snapshot")
    assert answer.status_code == 400
    assert answer.json()["message"] == (
        "the task has ended (Success): what it made is in its results, nothing is left to copy"
    )


async def test_too_many_at_once_wait_for_each_other(api: httpx.AsyncClient, agent: FakeAgent) -> None:
    uuid = await submitted(api, resultBucket="out")
    await agent.start()
    for _ in range(OPEN_AT_ONCE):
        assert (await api.post(f"/tasks/{uuid}/snapshot")).status_code == 200
    answer = await api.post(f"/tasks/{uuid}/snapshot")
    assert (answer.status_code, answer.json()["message"]) == (
        409,
        "100 snapshots of this task are under way; wait until some are over",
    )


async def test_snapshots_that_are_not_there_or_anothers_are_404(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api, resultBucket="out", shortname="mine")
    other = await submitted(api, resultBucket="out")
    name = (await api.post(f"/tasks/{uuid}/snapshot")).json()["id"]
    assert (await status(api, "mine", name))["id"] == name
    _, token = await site.account()
    async with site.client(token) as stranger:
        for path in (f"/tasks/{uuid}/snapshot", f"/tasks/{uuid}/snapshot/periodic"):
            answer = await stranger.post(path, json={"interval": 5})
            assert (answer.status_code, answer.json()["message"]) == (404, f"No such task: {uuid}")
        answer = await stranger.get(f"/tasks/{uuid}/snapshot/{name}")
        assert (answer.status_code, answer.json()["message"]) == (404, f"No such task: {uuid}")
    for path in (f"/tasks/{uuid}/snapshot/snap_x", f"/tasks/{other}/snapshot/{name}"):
        answer = await api.get(path)
        assert (answer.status_code, answer.json()["message"]) == (404, f"No such snapshot: {path.split('/')[-1]}")


# Periodic ones


async def test_periodic_snapshots_come_until_they_are_stopped(
    api: httpx.AsyncClient, site: TestSite, agent: FakeAgent
) -> None:
    uuid = await submitted(api, resultBucket="out", snapshotInterval=77)
    assert (await api.get(f"/tasks/{uuid}")).json()["snapshotInterval"] == 0
    answer = await api.post(f"/tasks/{uuid}/snapshot/Periodic", json={"interval": 10, "whitelist": "often"})
    assert answer.status_code == 200
    task = (await api.get(f"/tasks/{uuid}")).json()
    assert (task["snapshotInterval"], task["snapshotWhitelist"]) == (10, "often")
    [key] = await agent.start()
    site.clock.pass_seconds(7)
    await take_due_snapshots(site.site)
    [order] = (await agent.ask()).snapshots
    assert order == wire.Snapshot(order.snapshot, key[0], 1, "0", "often", "")
    await agent.tell(snapshots=[wire.SnapshotPart(order.snapshot, *key, over=True)])
    assert (await status(api, uuid, f"snap_{uuid}_20260501120010"))["status"] == "Success"
    assert (await api.post(f"/tasks/{uuid}/snapshot/periodic", json={"interval": 0})).status_code == 200
    site.clock.pass_seconds(10)
    await take_due_snapshots(site.site)
    assert (await agent.sync()).snapshots == []
    assert (await api.get(f"/tasks/{uuid}")).json()["snapshotInterval"] == 0


async def test_what_is_asked_too_often_comes_as_often_as_the_site_allows(api: httpx.AsyncClient) -> None:
    uuid = await submitted(api, resultBucket="out")
    assert (await api.post(f"/tasks/{uuid}/snapshot/periodic", json={"interval": 1})).status_code == 200
    assert (await api.get(f"/tasks/{uuid}")).json()["snapshotInterval"] == 5


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"interval": -1}, "interval: -1 is not between 0, which stops the snapshots, and 2147483647 seconds"),
        ({"interval": 1 << 31}, "interval: 2147483648 is not between"),
        ({"interval": "soon"}, 'interval: expected a number, got "soon"'),
        ({"interval": None}, "interval: is missing: give the seconds between snapshots, or 0 for none"),
        ({}, "interval: is missing"),
    ],
)
async def test_an_interval_that_cannot_be_is_refused(
    api: httpx.AsyncClient, body: dict[str, object], message: str
) -> None:
    uuid = await submitted(api, resultBucket="out")
    answer = await api.post(f"/tasks/{uuid}/snapshot/periodic", json=body)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(message)


async def test_an_unknown_field_is_named(api: httpx.AsyncClient) -> None:
    uuid = await submitted(api, resultBucket="out")
    answer = await api.post(f"/tasks/{uuid}/snapshot", json={"whitelst": "a"})
    assert answer.headers["Warning"] == "199 - \"unknown field 'whitelst' was ignored; did you mean 'whitelist'?\""


async def test_orders_that_were_lost_are_said_again_also_by_another_server(
    api: httpx.AsyncClient, site: TestSite, agent: FakeAgent
) -> None:
    uuid = await submitted(api, resultBucket="out")
    [key] = await agent.start()
    await api.post(f"/tasks/{uuid}/snapshot")
    seen = agent.seen
    first = await agent.ask()
    agent.seen = seen  # it never arrived
    again = await agent.ask()
    assert first.snapshots == again.snapshots != []
    agent.meet_new_server()
    assert (await agent.sync()).snapshots == first.snapshots
    [order] = first.snapshots
    await agent.tell(snapshots=[wire.SnapshotPart(order.snapshot, *key, over=True)])
    assert (await agent.sync()).snapshots == []
