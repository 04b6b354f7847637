"""Tasks with so many instances that no answer can hold them."""

from __future__ import annotations

import httpx
from sqlalchemy import event

from hearth.domain.ranges import RangeSet
from hearth.store.queries import tasks
from hearth.wire import agent as wire
from tests.integration.api.sites import TestSite, a_task

MILLION = 1_000_000


async def test_a_million_instances_are_one_row_and_a_short_answer(site: TestSite, api: httpx.AsyncClient) -> None:
    uuid = (await api.post("/tasks", json=a_task(instanceCount=MILLION))).json()["uuid"]
    answer = await api.get(f"/tasks/{uuid}")
    task = answer.json()
    assert (task["instanceCount"], task["totalInstanceCount"], task["state"]) == (MILLION, MILLION, "Submitted")
    assert len(answer.content) < 5000


async def test_a_look_at_a_task_of_scattered_ends_asks_for_few_rows(site: TestSite, api: httpx.AsyncClient) -> None:
    uuid = (await api.post("/tasks", json=a_task(instanceCount=MILLION))).json()["uuid"]
    account = await site.site.accounts.by_email("ada@example.org")
    assert account is not None
    even = str(RangeSet.of(range(0, 20_000, 2)))

    def end_every_second(connection: tasks.Connection) -> None:
        row = tasks.find(connection, account.id, uuid)
        assert row is not None
        values = {"failed": even, "failed_count": 10_000, "succeeded": "20001-999999", "succeeded_count": 979_999}
        ended = {"waiting": "", "waiting_count": 0, "state": "Failure", "ended_at": site.clock.now}
        tasks.set_columns(connection, row.id, {**values, **ended})

    await site.site.store.write(end_every_second)
    asked: list[object] = []
    event.listen(
        site.site.store.engine, "before_cursor_execute", lambda _c, _k, _s, parameters, *_: asked.append(parameters)
    )
    task = (await api.get(f"/tasks/{uuid}")).json()
    assert task["status"]["failedRange"] == task["status"]["failedOnlyRange"] == even
    assert task["status"]["executedRange"] == even + ",20001-999999"
    assert task["errors"][0]["code"] == "INSTANCES_FAILED"
    assert len(task["errors"][0]["message"]) < 300
    assert max(len(parameters) for parameters in asked if isinstance(parameters, tuple)) < 20


async def test_a_million_cancelled_instances_are_read_a_page_at_a_time(site: TestSite, api: httpx.AsyncClient) -> None:
    uuid = (await api.post("/tasks", json=a_task(instanceCount=MILLION))).json()["uuid"]
    [grant] = await site.dispatch(cores=2)
    await api.post(f"/tasks/{uuid}/abort")
    cancelled = [wire.Ended(grant.task.id, n, grant.attempt, at=1, error_code="CANCELLED") for n in grant.numbers]
    await site.tell(ended=cancelled)
    read = 0

    def count(*_: object) -> None:
        nonlocal read
        read += 1

    event.listen(site.site.store.engine, "before_cursor_execute", count)
    after = -1
    for begin in (0, 1000, 2000):
        page = (await api.get(f"/tasks/{uuid}/instances", params={"after": after})).json()
        assert [one["instanceId"] for one in page["data"]] == list(range(begin, begin + 1000))
        assert (page["total"], page["nextToken"]) == (MILLION, str(begin + 999))
        after = page["nextToken"]
    assert read < 20
    for params in ({}, {"state": "Cancelled"}):
        page = (await api.get(f"/tasks/{uuid}/instances", params={**params, "after": MILLION - 3})).json()
        assert [one["instanceId"] for one in page["data"]] == [MILLION - 2, MILLION - 1]
        assert page["nextToken"] is None
