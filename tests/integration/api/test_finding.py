"""Tasks are found by shortname wherever by uuid, and by the filters that clients send."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from litestar.routes import HTTPRoute

from hearth.api.app import create_routes
from tests.integration.api.sites import TestSite, a_task

_FILLED = {"name": "nothing", "stream": "stdout", "kind": "stdout", "number": "0", "instance": "0"}


def task_routes(site: TestSite) -> list[tuple[str, str]]:
    """Return every method and path that names a task, as the router knows them; ends of the task come last."""
    found = [
        (method, route.path_format)
        for route in create_routes(site.site).routes
        if isinstance(route, HTTPRoute) and route.path_format.startswith("/tasks/{ident}")
        if not route.path_format.endswith(("/events", "/output"))  # these follow a task to its end
        for method in sorted(route.methods - {"OPTIONS", "HEAD"})
    ]
    return sorted(
        found, key=lambda one: (one[1].endswith("/abort"), one == ("DELETE", "/tasks/{ident}"), one[1], one[0])
    )


async def answers(api: httpx.AsyncClient, site: TestSite, ident: str) -> list[tuple[str, str, int]]:
    """Call every route with this name of a task."""
    found = []
    for method, path in task_routes(site):
        places = {name: _FILLED.get(name, "0") for name in _names(path)} | {"ident": ident}
        answer = await api.request(
            method, path.format(**places), json={} if method in ("POST", "PUT", "PATCH") else None
        )
        found.append((method, path, answer.status_code))
    return found


def _names(path: str) -> list[str]:
    return [part.partition("}")[0] for part in path.split("{")[1:]]


async def test_a_shortname_works_on_every_route_that_names_a_task(site: TestSite, api: httpx.AsyncClient) -> None:
    by = {}
    for kind in ("uuid", "shortname"):
        submitted = (await api.post("/tasks", json=a_task(shortname=f"My-{kind}", tags=["x"]))).json()
        await site.dispatch()
        by[kind] = await answers(api, site, submitted["uuid"].upper() if kind == "uuid" else "My-shortname")
    missing = await answers(api, site, "no-such-task")
    routes = task_routes(site)
    assert len(routes) >= 15
    assert by["shortname"] == by["uuid"]
    assert [(m, p) for m, p, status in by["shortname"] if status >= 500 or status == 405] == []
    assert ("GET", "/tasks/{ident}", 200) in by["shortname"]
    # Of what names a task that is not there every route says so, unless the body is wrong already.
    assert {status for _, _, status in missing} <= {400, 404}
    assert [
        (m, p) for (m, p, status), (_, _, other) in zip(by["shortname"], missing, strict=True) if status == other == 200
    ] == []


def _names_of(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    told = answer.json()
    return [task["name"] for task in (told["data"] if isinstance(told, dict) else told)]


OLD_AND = {
    "Filter": {
        "Operator": "And",
        "Filters": [
            {"Operator": "Equal", "Field": "Tags", "Value": "t1"},
            {"Operator": "Equal", "Field": "Tags", "Value": "t2"},
        ],
    }
}
NEW_OR = {
    "filter": {
        "operator": "Or",
        "filters": [
            {"operator": "Equal", "field": "Tags", "value": "t1"},
            {"operator": "Equal", "field": "Tags", "value": "t2"},
        ],
    },
    "token": None,
    "maximumResults": None,
}


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        ("/tasks/search", OLD_AND, ["both"]),
        ("/tasks/search", {"Select": ["Name"], "Filter": OLD_AND["Filter"], "MaximumResults": 5}, ["both"]),
        ("/tasks/summaries/paginate", {"filter": None, "token": None, "maximumResults": None}, ["both", "two", "one"]),
        ("/tasks/paginate", NEW_OR, ["both", "two", "one"]),
        ("/tasks/paginate", {"filter": NEW_OR["filter"]["filters"][0]}, ["both", "one"]),  # type: ignore[index]
        ("/tasks/paginate", {"Filter": {"operator": "Like", "field": "name", "value": "^o"}}, ["one"]),
        (
            "/tasks/paginate",
            {"filter": {"operator": "in", "field": "shortname", "value": ["S-1", "S-3"]}},
            ["both", "one"],
        ),
        ("/tasks/paginate", {"filter": {"operator": "Equal", "field": "Labels.team", "value": "red"}}, ["one"]),
        ("/tasks/paginate", {"filter": {"operator": "Like", "field": "Name", "value": "^(one|two)$"}}, ["two", "one"]),
    ],
)
async def test_bodies_of_the_official_clients_are_understood(
    api: httpx.AsyncClient, path: str, body: dict[str, Any], names: list[str]
) -> None:
    await api.post("/tasks", json=a_task(name="one", shortname="S-1", tags=["t1"], labels={"team": "red"}))
    await api.post("/tasks", json=a_task(name="two", shortname="S-2", tags=["t2"]))
    await api.post("/tasks", json=a_task(name="both", shortname="S-3", tags=["t1", "t2"]))
    assert _names_of(await api.post(path, json=body)) == names


async def test_what_a_filter_asks_wrongly_is_an_answer_400_that_names_it(api: httpx.AsyncClient) -> None:
    told = {"operator": "And", "filters": [{"operator": "Like", "field": "Name", "value": "(a"}]}
    for path in ("/tasks/paginate", "/tasks/search", "/tasks/summaries/paginate"):
        answer = await api.post(path, json={"filter": told})
        assert (answer.status_code, answer.json()["message"]) == (
            400,
            "filter.filters[0].value: the pattern '(a' is no regular expression that is possible here: missing ): (a",
        )


async def test_a_token_belongs_to_its_account_and_its_question(site: TestSite, api: httpx.AsyncClient) -> None:
    await api.post("/tasks", json=[a_task(), a_task(), a_task()])
    tagged = {"operator": "Equal", "field": "name", "value": "hello"}
    page = (await api.post("/tasks/paginate", json={"filter": tagged, "maximumResults": 1})).json()
    token = page["nextToken"]
    again = await api.post("/tasks/paginate", json={"filter": tagged, "maximumResults": 2, "token": token})
    assert (again.json()["count"], again.json()["total"], again.json()["isTruncated"]) == (2, 3, False)
    _, other = await site.account()
    async with site.client(other) as stranger:
        refused = [
            await api.post("/tasks/paginate", json={"filter": {**tagged, "value": "x"}, "token": token}),
            await api.post("/tasks/paginate", json={"filter": tagged, "orderType": "ASC", "token": token}),
            await stranger.post("/tasks/paginate", json={"filter": tagged, "token": token}),
        ]
    assert [(one.status_code, one.json()["message"][:29]) for one in refused] == [
        (400, "token: is of another question")
    ] * 3


async def test_a_pattern_that_others_never_finish_is_answered(api: httpx.AsyncClient) -> None:
    await api.post("/tasks", json=a_task(name="a" * 1000))
    told = {"operator": "Like", "field": "name", "value": "^((a+)+)+!"}
    assert _names_of(await api.post("/tasks/paginate", json={"filter": told})) == []
