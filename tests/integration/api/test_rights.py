"""Nobody sees or touches what is another account's: asked of every route that there is."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from litestar.routes import HTTPRoute

from hearth.api.app import create_routes
from hearth.control.viewers import Viewers
from tests.integration.api.sites import TestSite, a_task

# All that may be known without a token; said here once more on purpose.
OPEN = {"/settings", "/versions", "/openapi.json"}
# What a route may be asked with; those that want no body ignore it.
BODIES = ({}, a_task(), [a_task()], {"filter": {"operator": "Equal", "field": "tags", "value": "secret-tag"}})


def routes(site: TestSite) -> list[tuple[str, str]]:
    """Return (method, path format) of all routes."""
    found = []
    for route in create_routes(site.site).routes:
        assert isinstance(route, HTTPRoute)
        if route.path.startswith("/schema"):
            continue
        found += [(method, route.path_format) for method in sorted(route.methods - {"OPTIONS"})]
    return found


def test_there_are_routes(site: TestSite) -> None:
    assert {("GET", "/tasks/{ident}"), ("POST", "/tasks/search"), ("GET", "/info")} <= set(routes(site))


@pytest.mark.parametrize("token", [None, "", "tok123", "hearth_" + "a" * 38], ids=["none", "empty", "foreign", "ours"])
async def test_every_route_but_the_open_ones_needs_a_token(site: TestSite, token: str | None) -> None:
    await site.account()
    message = (
        "Bad authentication token"
        if token
        else "No authentication token: send yours in the header Authorization; of a local site it is in qarnot.conf"
    )
    async with site.client(token) as stranger:
        for method, path in [
            *routes(site),
            ("GET", "/nowhere"),
            ("GET", "/schema/openapi.json"),
            ("OPTIONS", "/tasks"),
        ]:
            for prefix in ("", "/v1"):
                answer = await stranger.request(method, prefix + path.replace("{ident}", "x"), json={})
                if path in OPEN:
                    assert answer.status_code == 200, (method, path)
                    continue
                assert answer.status_code == 401, (method, path)
                assert answer.json() == {"message": message, "error": {"message": message, "code": 401}, "data": {}}


async def test_a_revoked_token_is_a_bad_one_at_once(site: TestSite) -> None:
    _, token = await site.account()
    async with site.client(token) as api:
        assert (await api.get("/info")).status_code == 200
        await site.site.accounts.revoke(token)
        assert (await api.get("/info")).status_code == 401


async def owned_task(site: TestSite, token: str) -> str:
    """Return the uuid of a task that has all that a task can have."""
    async with site.client(token) as owner:
        answer = await owner.post("/tasks", json=a_task(name="secret-name", tags=["secret-tag"], shortname="secret"))
        await site.run(output=b"secret-output\n")
        return str(answer.json()["uuid"])


async def everything(site: TestSite, token: str, uuid: str) -> dict[str, Any]:
    async with site.client(token) as owner:
        task = (await owner.get(f"/tasks/{uuid}")).json()
        output = (await owner.get(f"/tasks/{uuid}/stdout")).text
        fresh = (await owner.post(f"/tasks/{uuid}/stdout")).text
    return {"state": task["state"], "tags": task["tags"], "constants": task["constants"], "out": output, "new": fresh}


async def test_no_route_reaches_what_is_anothers(site: TestSite) -> None:
    _, mine = await site.account("mine@example.org")
    _, theirs = await site.account("theirs@example.org")
    uuid = await owned_task(site, mine)
    expected = {
        "state": "Success",
        "tags": ["secret-tag"],
        "constants": [{"key": "DOCKER_CMD", "value": "echo hi"}],
        "out": "0> secret-output\n",
        "new": "0> secret-output\n",
    }
    ids = 0
    async with site.client(theirs) as stranger:
        for method, path in routes(site):
            has_id = "{ident}" in path
            ids += has_id
            for ident in (uuid, uuid.upper(), "secret") if has_id else ("",):
                for body in BODIES:
                    asked = re.sub(r"\{number\}", "0", path.replace("{ident}", ident).replace("{name}", "docker-batch"))
                    answer = await stranger.request(method, asked, json=body)
                    seen = (method, asked, body, answer.status_code, answer.text)
                    if has_id:
                        nothing = await stranger.request(method, asked.replace(ident, "nothing"), json=body)
                        assert (answer.status_code, answer.text.replace(ident, "nothing")) == (
                            nothing.status_code,
                            nothing.text,
                        ), seen
                        bad_body = method in ("POST", "PUT") and answer.status_code == 400
                        assert bad_body or answer.json()["message"] == f"No such task: {ident}", seen
                    assert "secret-name" not in answer.text and "secret-output" not in answer.text, seen
                    assert "secret-tag" not in answer.text and uuid not in answer.text.replace(ident or "-", ""), seen
    assert ids > 10
    assert await everything(site, mine, uuid) == expected


VIEW = "QarnotReadOnlyRequestForAccount"


async def test_a_view_of_another_account_is_not_ours_to_give(site: TestSite) -> None:
    mine, _ = await site.account("mine@example.org")
    account, theirs = await site.account("theirs@example.org")
    async with site.client(theirs) as client:
        for method, path in routes(site):
            for named in ("mine@example.org", "Mine@Example.org", mine.uuid, "nobody@example.org", "x", "\xe9"):
                answer = await client.request(method, path, json={}, headers={VIEW: named.encode("latin-1")})
                if path in OPEN:
                    continue
                assert answer.status_code == 403, (method, path, named)
                sentence = f"theirs@example.org may not look at the account '{named}'"
                assert answer.json()["message"] == sentence, (method, path)
        assert (await client.get("/tasks", headers={VIEW: "Theirs@example.org"})).status_code == 200
        assert (await client.get("/tasks", headers={VIEW: account.uuid})).status_code == 200
        assert (await client.post("/tasks", json=a_task(), headers={VIEW: account.uuid})).status_code == 200


# All that a viewer may do besides GET; said here once more on purpose.
LOOKS = {("POST", "/tasks/search"), ("POST", "/tasks/paginate"), ("POST", "/tasks/summaries/paginate")}


async def test_a_viewer_sees_all_and_touches_nothing(site: TestSite) -> None:
    owner, mine = await site.account("mine@example.org")
    _, theirs = await site.account("theirs@example.org")
    uuid = await owned_task(site, mine)
    viewers = Viewers(site.site.store, now=site.clock)
    await viewers.allow("Mine@example.org", "theirs@example.org")
    looked = 0
    async with site.client(theirs) as viewer:
        for method, path in routes(site):
            looks = method in ("GET", "HEAD") or (method, path) in LOOKS
            for named in ("Mine@example.org", owner.uuid.upper()):
                asked = re.sub(r"\{\w+\}", "0", path.replace("{ident}", uuid).replace("{name}", "docker-batch"))
                body = None if method == "GET" else {}
                answer = await viewer.request(method, asked, json=body, headers={VIEW: named})
                seen = (method, asked, answer.status_code, answer.text)
                if looks or path in OPEN:
                    assert answer.status_code in (200, 400, 404), seen  # 400: a search that names nothing
                    looked += answer.status_code == 200
                else:
                    sentence = f"{method} {asked} is not possible for a viewer: {VIEW} only looks"
                    assert (answer.status_code, answer.json()["message"]) == (403, sentence), seen
        headers = {VIEW: "mine@example.org"}
        assert (await viewer.get(f"/tasks/{uuid}", headers=headers)).json()["name"] == "secret-name"
        assert (await viewer.get(f"/tasks/{uuid}/stdout", headers=headers)).text == "0> secret-output\n"
        assert (await viewer.get("/info", headers=headers)).json()["email"] == "mine@example.org"
        found = (await viewer.post("/tasks/search", json={}, headers=headers)).json()
        assert [task["uuid"] for task in found] == [uuid]
        # Without the header it is its own account still, and nobody else's door is open.
        assert (await viewer.get(f"/tasks/{uuid}")).status_code == 404
        async with site.client(mine) as back:
            assert (await back.get("/tasks", headers={VIEW: "theirs@example.org"})).status_code == 403
        await viewers.revoke("mine@example.org", "theirs@example.org")
        site.clock.pass_seconds(1)
        assert (await viewer.get(f"/tasks/{uuid}", headers=headers)).status_code == 403
    assert looked > 20
    assert (await everything(site, mine, uuid))["new"] == "0> secret-output\n"


async def test_shortnames_of_two_accounts_do_not_meet(site: TestSite) -> None:
    _, mine = await site.account("mine@example.org")
    _, theirs = await site.account("theirs@example.org")
    found = []
    for token in (mine, theirs):
        async with site.client(token) as client:
            uuid = (await client.post("/tasks", json=a_task(shortname="same"))).json()["uuid"]
            found.append((await client.get("/tasks/same")).json()["uuid"] == uuid)
            again = await client.post("/tasks", json=a_task(shortname="same"))
            assert again.status_code == 409
            assert "shortname" in again.json()["message"]
    assert found == [True, True]


async def test_the_door_answers_every_form_of_a_path(api: httpx.AsyncClient) -> None:
    uuid = (await api.post("/v1/tasks/", json=a_task(shortname="Mixed"))).json()["uuid"]
    for path in ("/tasks/Mixed", "//tasks/Mixed", "/v1/tasks/Mixed/", "/v1.0/Tasks/Mixed", f"/tasks/{uuid.upper()}"):
        answer = await api.get(f"http://api.test{path}")
        assert (answer.status_code, answer.json()["uuid"]) == (200, uuid), path
    for path in ("/", "/v1", "/v1/", "//"):
        answer = await api.get(f"http://api.test{path}")
        assert (answer.status_code, answer.content) == (200, b""), path
