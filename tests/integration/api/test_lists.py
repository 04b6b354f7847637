"""Lists, pages and searches of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from hearth.api import listing
from hearth.store.queries import task_search
from hearth_client.messages.filters import all_of, any_of, compare, one_of
from tests.integration.api.sites import TestSite, a_task, open_site


async def submitted(api: httpx.AsyncClient, *tasks: dict[str, Any]) -> list[str]:
    answer = await api.post("/tasks", json=[a_task(**task) for task in tasks])
    return [one["uuid"] for one in answer.json()]


async def names(api: httpx.AsyncClient, told: dict[str, Any] | None) -> list[str]:
    """Return the names of the tasks that pass, read page by page."""
    found: list[str] = []
    token = None
    for _ in range(100):
        answer = await api.post("/tasks/paginate", json={"filter": told, "token": token, "maximumResults": 2})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["count"] == len(page["data"]) <= 2
        assert page["isTruncated"] is (page["nextToken"] is not None)
        assert page["token"] == token
        found += [task["name"] for task in page["data"]]
        token = page["nextToken"]
        if token is None:
            return found
    raise AssertionError("the pages have no end")


@pytest.fixture
async def five(site: TestSite, api: httpx.AsyncClient) -> list[str]:
    return await submit_five(site, api)


async def submit_five(site: TestSite, api: httpx.AsyncClient) -> list[str]:
    """Submit five tasks, a second apart: a (failed), b (succeeded), c, d%e_ and E (waiting)."""
    uuids = []
    for name, tags, code in (
        ("a", ["x"], 1),
        ("b", ["x", "y"], 0),
        ("c", ["y"], None),
        ("d%e_", ["x,y"], None),
        ("E", [], None),
    ):
        uuids += await submitted(api, {"name": name, "tags": tags, "instanceCount": len(uuids) + 1})
        if code is not None:
            await site.run(exit_code=code, seconds=0.5)
        site.clock.pass_seconds(1)
    return uuids


async def test_pages_have_all_tasks_once_the_newest_first(api: httpx.AsyncClient, five: list[str]) -> None:
    assert await names(api, None) == ["E", "d%e_", "c", "b", "a"]
    page = (await api.post("/v1/tasks/summaries/paginate", json={"filter": None, "token": None})).json()
    assert (page["total"], page["count"], page["isTruncated"], page["nextToken"]) == (5, 5, False, None)
    assert list(page["data"][0]) == [
        "uuid",
        "name",
        "shortname",
        "profile",
        "poolUuid",
        "jobUuid",
        "projectUuid",
        "progress",
        "runningInstanceCount",
        "runningCoreCount",
        "executionTime",
        "wallTime",
        "state",
        "previousState",
        "instanceCount",
        "totalInstanceCount",
        "maxRetriesPerInstance",
        "clusterInfo",
        "advancedRanges",
        "stateTransitionTime",
        "previousStateTransitionTime",
        "lastModified",
        "creationDate",
        "endDate",
        "waitForPoolResourcesSynchronization",
    ]
    assert (await api.post("/tasks/paginate")).json()["total"] == 5


async def test_pages_neither_skip_nor_repeat_when_tasks_come_and_go(api: httpx.AsyncClient, five: list[str]) -> None:
    first = (await api.post("/tasks/paginate", json={"maximumResults": 2})).json()
    await submitted(api, {"name": "new"})
    await api.delete(f"/tasks/{first['data'][1]['uuid']}")
    await api.post(f"/tasks/{five[2]}/abort")
    second = (await api.post("/tasks/paginate", json={"maximumResults": 2, "token": first["nextToken"]})).json()
    assert [task["name"] for task in first["data"] + second["data"]] == ["E", "d%e_", "c", "b"]


FILTERS: list[tuple[dict[str, Any], str]] = [
    (compare("Tags", "Equal", "x"), "b a"),
    (compare("Tags", "NotEqual", "x"), "E d%e_ c"),
    (one_of("tags", ["x", "y"]), "c b a"),
    ({"operator": "NotIn", "field": "tags", "values": ["x", "y"]}, "E d%e_"),
    (any_of(compare("Tags", "Equal", "x"), compare("Tags", "Equal", "y")), "c b a"),
    (all_of(compare("Tags", "Equal", "x"), compare("Tags", "Equal", "y")), "b"),
    (all_of(compare("Tags", "Equal", "y"), compare("State", "Equal", "success")), "b"),
    (any_of(compare("Tags", "Equal", "x"), compare("name", "Equal", "E")), "E b a"),
    (compare("State", "Equal", "Failure"), "a"),
    (compare("State", "NotEqual", "Submitted"), "b a"),
    (compare("previousState", "Equal", None), "E d%e_ c"),
    (compare("Name", "LessThan", "b"), "E a"),
    (compare("InstanceCount", "GreaterThanOrEqual", 4), "E d%e_"),
    (compare("InstanceCount", "LessThanOrEqual", 2), "b a"),
    (compare("InstanceCount", "Equal", "3"), "c"),
    (compare("creationDate", "GreaterThan", "2026-05-01T12:00:03Z"), "E d%e_"),
    (compare("creationDate", "Equal", "2026-05-01T12:00:03Z"), "c"),
    (compare("endDate", "LessThan", "2026-05-02"), "b a"),
    (compare("executionTime", "GreaterThan", "00:00:00.7"), "b"),
    (compare("Name", "Like", "^d"), "d%e_"),
    (compare("Name", "Like", "e"), "d%e_"),
    (compare("Name", "Like", "^.$"), "E c b a"),
    (compare("Name", "Like", "%"), "d%e_"),
    (compare("Name", "Like", "_$"), "d%e_"),
    (compare("Name", "Like", r"\*"), ""),
    (compare("Name", "Like", "^d.*_$"), "d%e_"),
    (compare("poolUuid", "Equal", None), "E d%e_ c b a"),
    (compare("jobUuid", "Equal", "9c5b94b1-35ad-49bb-b118-8e8fc24abf80"), ""),
    (all_of(), "E d%e_ c b a"),
    (any_of(), ""),
    (one_of("name", []), ""),
]


@pytest.mark.parametrize(("told", "passing"), FILTERS)
async def test_filters_pass_what_they_say(
    api: httpx.AsyncClient, five: list[str], told: dict[str, Any], passing: str
) -> None:
    assert " ".join(await names(api, told)) == passing


async def test_the_filters_that_clients_were_seen_to_send(api: httpx.AsyncClient, five: list[str]) -> None:
    leaf = {"Operator": "Equal", "Field": "Tags", "Value": "x"}
    other = {"Operator": "Equal", "Field": "Tags", "Value": "y"}
    old = await api.post("/tasks/search", json={"Filter": {"Operator": "And", "Filters": [leaf, other]}})
    assert [task["name"] for task in old.json()] == ["b"]
    assert old.json()[0]["completedInstances"][0]["state"] == "Success"
    by_id = compare("uuid", "In", [five[0].upper(), five[3]])
    assert await names(api, by_id) == ["d%e_", "a"]


async def test_lists_by_tag_take_any_of_them_and_commas_either_way(api: httpx.AsyncClient, five: list[str]) -> None:
    async def listed(query: str) -> list[str]:
        return [task["name"] for task in (await api.get(f"/tasks/summaries{query}")).json()]

    assert await listed("") == ["E", "d%e_", "c", "b", "a"]
    assert await listed("?tag=x&tag=y") == ["c", "b", "a"]
    assert await listed("?tag=x,y") == ["d%e_", "c", "b", "a"]
    assert await listed("?Tag=x") == ["b", "a"]
    assert await listed("?tag=none") == []
    assert [task["name"] for task in (await api.get("/tasks", params={"tag": "y"})).json()] == ["c", "b"]


async def test_a_search_shows_only_the_fields_that_are_selected(api: httpx.AsyncClient, five: list[str]) -> None:
    for select in ({"fields": ["Name", "state"]}, ["name", "State"]):
        answer = await api.post("/tasks/search", json={"select": select, "maximumResults": 2})
        assert answer.json() == [{"name": "E", "state": "Submitted"}, {"name": "d%e_", "state": "Submitted"}]
        assert "hearth-truncated" in answer.headers
    wrong = await api.post("/tasks/search", json={"select": {"fields": ["name", "colour"]}})
    assert (wrong.status_code, wrong.json()["message"]) == (400, "select.fields[1]: 'colour' is no field of a task")


async def test_pages_can_be_sorted(api: httpx.AsyncClient, five: list[str]) -> None:
    async def sorted_by(**order: str) -> list[str]:
        found: list[str] = []
        token = None
        while True:
            page = (await api.post("/tasks/paginate", json={**order, "token": token, "maximumResults": 2})).json()
            found += [task["name"] for task in page["data"]]
            token = page["nextToken"]
            if token is None:
                return found

    assert await sorted_by(orderBy="Name") == ["E", "a", "b", "c", "d%e_"]
    assert await sorted_by(orderBy="name", orderType="desc") == ["d%e_", "c", "b", "a", "E"]
    assert await sorted_by(orderBy="state") == ["a", "c", "d%e_", "E", "b"]
    assert await sorted_by(orderBy="executionTime", orderType="DESC") == ["b", "a", "E", "d%e_", "c"]
    assert await sorted_by(orderType="ASC") == ["a", "b", "c", "d%e_", "E"]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"token": "!!!"}, "token: is not the nextToken of a page"),
        ({"token": "AAAA"}, "token: is not the nextToken of a page"),
        ({"maximumResults": 0}, "maximumResults: 0 is too few"),
        ({"maximumResults": "all"}, 'maximumResults: expected a number, got "all"'),
        ({"orderBy": "colour"}, "orderBy: 'colour' is none of"),
        ({"orderType": "up"}, "orderType: 'up' is none of"),
        ({"filter": {"operator": "Equal", "field": "colour", "value": "red"}}, "filter.field: 'colour' cannot be"),
        ({"filter": "red"}, 'filter: expected an object, got "red"'),
    ],
)
async def test_a_page_request_that_is_wrong_is_told_so(
    api: httpx.AsyncClient, told: dict[str, Any], message: str
) -> None:
    answer = await api.post("/tasks/paginate", json=told)
    assert (answer.status_code, answer.json()["message"][: len(message)]) == (400, message)


async def test_a_token_of_another_order_is_refused(api: httpx.AsyncClient, five: list[str]) -> None:
    token = (await api.post("/tasks/paginate", json={"maximumResults": 2})).json()["nextToken"]
    answer = await api.post("/tasks/paginate", json={"token": token, "orderBy": "name"})
    assert answer.json()["message"] == (
        "token: is of another question: send it with the filter, orderBy and orderType of the page before"
    )


async def test_a_filter_without_an_index_reads_a_few_rows_per_page_and_finds_all(
    api: httpx.AsyncClient, five: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_search, "WINDOW", 2)
    monkeypatch.setattr(task_search, "CHECKED", 2)
    monkeypatch.setattr(task_search, "FEW", 0)
    for rare in (compare("resultsCount", "Equal", 0), compare("executionTime", "Equal", "00:00:01")):
        rare = all_of(rare, compare("previousState", "NotEqual", None), compare("totalInstanceCount", "LessThan", 3))
        first = (await api.post("/tasks/paginate", json={"filter": rare})).json()
        assert (first["data"], first["isTruncated"]) == ([], True)
    assert await names(api, compare("name", "Like", "^a|nothing$")) == ["a"]
    assert await names(api, compare("totalInstanceCount", "Equal", 1)) == ["a"]
    assert await names(api, one_of("tags", ["x", "y"])) == ["c", "b", "a"]
    assert await names(api, all_of(compare("tags", "Equal", "x"), compare("state", "Equal", "Failure"))) == ["a"]
    whole = await api.post("/tasks/search", json={"filter": compare("totalInstanceCount", "Equal", 1)})
    assert [task["name"] for task in whole.json()] == ["a"]


async def test_a_list_that_is_cut_says_so(
    api: httpx.AsyncClient, five: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "WHOLE_SUMMARIES", 3)
    cut = await api.get("/tasks/summaries")
    assert [task["name"] for task in cut.json()] == ["E", "d%e_", "c"]
    assert cut.headers["hearth-truncated"] == "the first 3; POST .../paginate has all"
    assert "hearth-truncated" not in (await api.get("/tasks")).headers


async def test_sorting_by_execution_time_has_an_end(
    api: httpx.AsyncClient, five: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_search, "SORTABLE", 4)
    answer = await api.post("/tasks/paginate", json={"orderBy": "executionTime"})
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "orderBy: with 5 tasks creationDate, name and state can be sorted by; executionTime up to 4 tasks",
    )
    assert (await api.post("/tasks/paginate", json={"orderBy": "name"})).json()["count"] == 5


async def test_postgresql_passes_the_same(postgres_url: str, tmp_path: Path) -> None:
    site = open_site(tmp_path, url=postgres_url)
    try:
        _, token = await site.account()
        async with site.client(token) as api:
            await submit_five(site, api)
            passed = [(told, " ".join(await names(api, told))) for told, _ in FILTERS]
            by_name = (await api.post("/tasks/paginate", json={"orderBy": "name", "maximumResults": 4})).json()
            await site.dispatch()
            running = (await api.get(f"/tasks/{by_name['data'][0]['uuid']}")).json()
        assert passed == FILTERS
        assert len(running["status"]["runningInstancesInfo"]["perRunningInstanceInfo"]) == 5
        assert [task["name"] for task in by_name["data"]] == ["E", "a", "b", "c"]
    finally:
        site.site.store.close()
