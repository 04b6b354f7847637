"""Secret constants over REST: shown to nobody, and not to be guessed by asking."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hearth.control.viewers import Viewers
from hearth.store.queries import tasks
from tests.integration.api.sites import TestSite, a_task

VALUE = "tok-9f8e7d6c"
CONSTANTS = [{"key": "DOCKER_CMD", "value": "echo ${X}"}, {"key": "QARNOT_SECRET__X", "value": VALUE}]
FORCED = [{"constantName": "QARNOT_SECRET__Y", "forcedValue": VALUE}]
FIELDS = [
    "Constants",
    "Constants.QARNOT_SECRET__X",
    "constants.X",
    "ForcedConstants",
    "forcedConstants.QARNOT_SECRET__Y",
]


def leaves(secret: str) -> list[dict[str, Any]]:
    """Return filters that would find a task by this secret, if they saw it."""
    pair = {"key": "QARNOT_SECRET__X", "value": secret}
    return [
        leaf
        for field in FIELDS
        for value in (secret, pair, f"QARNOT_SECRET__X={secret}")
        for leaf in (
            {"operator": "Equal", "field": field, "value": value},
            {"operator": "In", "field": field, "values": [value]},
            {"operator": "Like", "field": field, "value": f".*{secret[4:8]}.*"},
            {"operator": "GreaterThan", "field": field, "value": secret[:-1]},
            {"operator": "LessThanOrEqual", "field": field, "value": secret},
        )
    ]


@pytest.mark.parametrize("looks", ["the owner", "a viewer"])
async def test_a_secret_cannot_be_guessed_by_filters(site: TestSite, looks: str) -> None:
    owner, mine = await site.account()
    other, theirs = await site.account()
    await Viewers(site.site.store, now=site.clock).allow(owner.email, other.email)
    async with site.client(mine) as api:
        await api.post("/tasks", json=a_task(constants=CONSTANTS, forcedConstants=FORCED))
    headers = {} if looks == "the owner" else {"QarnotReadOnlyRequestForAccount": owner.email}
    async with site.client(mine if looks == "the owner" else theirs, **headers) as api:
        assert len((await api.post("/tasks/search", json={})).json()) == 1
        for right, wrong in zip(leaves(VALUE), leaves("tok-00000000"), strict=True):
            found = await api.post("/tasks/search", json={"filter": right})
            other_found = await api.post("/tasks/search", json={"filter": wrong})
            assert found.status_code in (200, 400), right
            assert (found.status_code, len(found.json())) == (other_found.status_code, len(other_found.json())), right


async def test_no_answer_shows_a_secret(site: TestSite, api: httpx.AsyncClient) -> None:
    uuid = (await api.post("/tasks", json=a_task(constants=CONSTANTS, forcedConstants=FORCED))).json()["uuid"]
    task = (await api.get(f"/tasks/{uuid}")).json()
    assert task["constants"][1] == {"key": "QARNOT_SECRET__X", "value": "[SECRET]"}
    assert task["forcedConstants"][0]["forcedValue"] == "[SECRET]"
    everything = {"fields": ["constants", "forcedConstants", "name"]}
    answers = [
        await api.put(f"/tasks/{uuid}", json={"constants": task["constants"]}),
        await api.get(f"/tasks/{uuid}"),
        await api.get("/tasks"),
        await api.get("/tasks/summaries"),
        await api.post("/tasks/search", json={"select": everything}),
        await api.post("/tasks/paginate", json={}),
        await api.get(f"/tasks/{uuid}/why"),
        await api.get("/openapi.json"),
    ]
    assert all(answer.status_code == 200 for answer in answers)
    assert all(VALUE not in answer.text for answer in answers)
    row = await site.site.store.read(tasks.find, 1, uuid)
    assert row is not None and row.parsed_spec().constants["QARNOT_SECRET__X"] == VALUE  # as it was


@pytest.mark.parametrize(
    "changes",
    [
        {"constants": [{"key": "QARNOT_SECRET__X", "value": [VALUE]}]},
        {"constants": [{"key": "QARNOT_SECRET__X", "value": VALUE * 200}]},
        {"constants": [{"key": "QARNOT_SECRET__X", "value": VALUE, "more": VALUE}]},
        {"constants": {"QARNOT_SECRET__X": VALUE}},
        {"constants": [VALUE]},
        {"constants": VALUE},
        {"forcedConstants": [{"constantName": "QARNOT_SECRET__X", "forcedValue": [VALUE]}]},
        {"forcedConstants": [{"constantName": "QARNOT_SECRET__X", "forcedValue": VALUE, "access": "x"}]},
        {"forcedConstants": VALUE},
    ],
    ids=str,
)
async def test_a_refusal_does_not_repeat_what_was_to_be_secret(api: httpx.AsyncClient, changes: dict[str, Any]) -> None:
    uuid = (await api.post("/tasks", json=a_task())).json()["uuid"]
    for method, path, body in (
        ("POST", "/tasks", a_task(**changes)),
        ("POST", "/tasks", [a_task(**changes)]),
        ("PUT", f"/tasks/{uuid}", changes),
        ("POST", f"/tasks/{uuid}/clone", changes),
    ):
        answer = await api.request(method, path, json=body)
        assert VALUE not in answer.text + str(answer.headers), (method, path)
