"""A request that is sent twice under one key makes what it makes once, and is answered the same."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, func, select

from hearth.control import submit as submitting
from hearth.control.once import HOUR, forget_old
from hearth.store import tables
from tests.integration.api.sites import TestSite, a_task

NAME = "Idempotency-Key"


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(tables.tasks)).scalar_one()


async def tasks_of(site: TestSite) -> int:
    return await site.site.store.read(count)


async def test_the_same_request_is_answered_the_same_and_makes_one_task(site: TestSite, api: httpx.AsyncClient) -> None:
    first = await api.post("/tasks", json=a_task(), headers={NAME: "k1"})
    site.clock.pass_seconds(86_399)
    again = await api.post("/v1/tasks/", json=a_task(), headers={NAME: "k1"})
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["Location"] == first.headers["Location"]
    assert await tasks_of(site) == 1


async def test_without_a_key_and_with_another_one_it_is_another_task(site: TestSite, api: httpx.AsyncClient) -> None:
    headers: tuple[dict[str, str], ...] = ({}, {}, {NAME: "k1"}, {NAME: "k2"})
    found = {(await api.post("/tasks", json=a_task(), headers=one)).json()["uuid"] for one in headers}
    assert len(found) == await tasks_of(site) == 4


async def test_a_key_is_one_accounts_own(site: TestSite) -> None:
    for _ in range(2):
        _, token = await site.account()
        async with site.client(token) as client:
            assert (await client.post("/tasks", json=a_task(), headers={NAME: "k1"})).status_code == 200
    assert await tasks_of(site) == 2


async def test_a_key_of_another_request_is_refused(site: TestSite, api: httpx.AsyncClient) -> None:
    uuid = (await api.post("/tasks", json=a_task(), headers={NAME: "k1"})).json()["uuid"]
    for path, body in (("/tasks", a_task(name="other")), ("/tasks", [a_task()]), (f"/tasks/{uuid}/clone", a_task())):
        answer = await api.post(path, json=body, headers={NAME: "k1"})
        assert answer.status_code == 422, path
        assert answer.json() == {
            "message": "Idempotency-Key: 'k1' was given to another request of yours; "
            "give each request a key of its own, and repeat a request as it was"
        }
    assert await tasks_of(site) == 1


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("k" * 256, "Idempotency-Key: has 256 characters, at most 255 are possible"),
        ("", "Idempotency-Key: should be printable ASCII characters, a random uuid for example"),
        (b"k\xe9y", "Idempotency-Key: should be printable ASCII characters, a random uuid for example"),
        ("a\tb", "Idempotency-Key: should be printable ASCII characters, a random uuid for example"),
    ],
    ids=["long", "empty", "foreign", "tab"],
)
async def test_a_key_that_is_none_is_refused(site: TestSite, api: httpx.AsyncClient, key: Any, sentence: str) -> None:
    answer = await api.post("/tasks", json=a_task(), headers={NAME: key})
    assert (answer.status_code, answer.json()["message"]) == (400, sentence)
    assert await tasks_of(site) == 0


async def test_a_refused_request_may_be_asked_anew(site: TestSite) -> None:
    _, token = await site.account(max_tasks=1)
    async with site.client(token) as api:
        uuid = (await api.post("/tasks", json=a_task())).json()["uuid"]
        assert (await api.post("/tasks", json=a_task(), headers={NAME: "k1"})).status_code == 403
        await api.delete(f"/tasks/{uuid}")
        assert (await api.post("/tasks", json=a_task(), headers={NAME: "k1"})).status_code == 200


async def test_a_list_is_answered_the_same_with_its_refusals(site: TestSite) -> None:
    _, token = await site.account(max_tasks=3)
    bodies = [a_task(), a_task(name=""), a_task(resourceBuckets=["none"]), a_task(), a_task(), a_task()]
    async with site.client(token) as api:
        first = await api.post("/tasks", json=bodies, headers={NAME: "k1"})
        assert [one["statusCode"] for one in first.json()] == [200, 400, 404, 200, 200, 403]
        await api.delete(f"/tasks/{first.json()[0]['uuid']}")  # there would be room for the last one now
        again = await api.post("/tasks", json=bodies, headers={NAME: "k1"})
    assert (again.status_code, again.json()) == (207, first.json())


class PowerCut(Exception):
    """The server is gone."""


@pytest.mark.parametrize("slices_done", [0, 1, 2, 3])
async def test_a_list_that_was_cut_short_is_continued(
    site: TestSite, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, slices_done: int
) -> None:
    monkeypatch.setattr(submitting, "SLICE", 2)
    bodies = [a_task(name=f"t{n}") for n in range(7)]
    write = site.site.store.write
    left = slices_done

    async def failing(*given: Any, **more: Any) -> Any:
        nonlocal left
        if not left:
            raise PowerCut
        left -= 1
        return await write(*given, **more)

    monkeypatch.setattr(site.site.store, "write", failing)
    assert (await api.post("/tasks", json=bodies, headers={NAME: "k1"})).status_code == 500
    monkeypatch.setattr(site.site.store, "write", write)
    assert await tasks_of(site) == 2 * slices_done
    site.clock.pass_seconds(60)
    told = (await api.post("/tasks", json=bodies, headers={NAME: "k1"})).json()
    assert [one["statusCode"] for one in told] == [200] * 7
    assert (await api.post("/tasks", json=bodies, headers={NAME: "k1"})).json() == told
    assert await tasks_of(site) == 7
    found = {task["uuid"]: task["name"] for task in (await api.get("/tasks/summaries")).json()}
    assert [found[one["uuid"]] for one in told] == [body["name"] for body in bodies]


async def test_copies_that_run_at_once_make_one_list(
    site: TestSite, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submitting, "SLICE", 3)
    bodies = [a_task(name=f"t{n}") for n in range(20)]
    answers = await asyncio.gather(*(api.post("/tasks", json=bodies, headers={NAME: "k1"}) for _ in range(5)))
    assert len({answer.content for answer in answers}) == 1
    assert await tasks_of(site) == 20


async def test_a_key_counts_for_a_day_and_is_forgotten_soon_after(site: TestSite, api: httpx.AsyncClient) -> None:
    first = (await api.post("/tasks", json=a_task(), headers={NAME: "k1"})).json()
    site.clock.pass_seconds(24 * 3600)
    later = (await api.post("/tasks", json=a_task(), headers={NAME: "k1"})).json()
    assert later != first
    assert (await api.post("/tasks", json=a_task(), headers={NAME: "k1"})).json() == later

    def keys(connection: Connection) -> list[str]:
        return list(connection.execute(select(tables.requests.c.key)).scalars())

    assert not await site.site.store.write(forget_old, site.clock.now + 25 * HOUR)
    assert await site.site.store.read(keys) == ["k1"]
    assert not await site.site.store.write(forget_old, site.clock.now + 25 * HOUR + 1)
    assert await site.site.store.read(keys) == []


async def test_a_request_is_answered_though_what_it_spoke_of_is_gone(site: TestSite, api: httpx.AsyncClient) -> None:
    source = (await api.post("/tasks", json=a_task())).json()["uuid"]
    first = await api.post(f"/tasks/{source}/clone", headers={NAME: "k1"})
    await api.delete(f"/tasks/{source}")
    again = await api.post(f"/tasks/{source}/clone", headers={NAME: "k1"})
    assert (again.status_code, again.json()) == (200, first.json())


async def test_a_snapshot_is_taken_once_though_it_is_asked_for_twice(site: TestSite, api: httpx.AsyncClient) -> None:
    uuid = (await api.post("/tasks", json=a_task(resultBucket="out"))).json()["uuid"]
    path = f"/tasks/{uuid}/snapshot"
    first = await api.post(path, headers={NAME: "k1"})
    site.clock.pass_seconds(1)
    assert (await api.post(path, headers={NAME: "k2"})).json()["id"] != first.json()["id"]
    assert (await api.post(path, json={"bucket": "other"}, headers={NAME: "k1"})).status_code == 422
    await api.post(f"/tasks/{uuid}/abort")
    again = await api.post(path, headers={NAME: "k1"})
    assert (again.status_code, again.json()) == (200, first.json())
    assert (await api.post(path, headers={NAME: "k3"})).status_code == 400


async def test_copies_that_run_at_once_take_one_snapshot(site: TestSite, api: httpx.AsyncClient) -> None:
    uuid = (await api.post("/tasks", json=a_task(resultBucket="out"))).json()["uuid"]
    answers = await asyncio.gather(*(api.post(f"/tasks/{uuid}/snapshot", headers={NAME: "k1"}) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len({answer.content for answer in answers}) == 1
