"""Reading output: from an offset on, one attempt of it, what rotation took, and answers that are long."""

from __future__ import annotations

import json

import httpx
import pytest

from hearth.api import task_output
from hearth.control import read_output
from hearth.wire import agent as wire
from tests.integration.api.sites import TestSite, a_task

Key = tuple[int, int, int]


async def start(site: TestSite, api: httpx.AsyncClient, **fields: object) -> tuple[str, list[Key]]:
    """Submit a task whose instances run at once."""
    uuid = (await api.post("/tasks", json=a_task(**fields))).json()["uuid"]
    return uuid, await begin(site)


async def begin(site: TestSite) -> list[Key]:
    keys = [(grant.task.id, number, grant.attempt) for grant in await site.dispatch() for number in grant.numbers]
    await site.tell(started=[wire.Started(*key, site.clock.now) for key in keys])
    return keys


def told(answer: httpx.Response) -> tuple[int, str, str | None, str | None]:
    """What an answer says: status, text, where to read on, and how much is gone."""
    headers = answer.headers
    return answer.status_code, answer.text, headers.get("hearth-output-offset"), headers.get("hearth-output-dropped")


async def test_a_reader_who_lost_an_answer_reads_on_from_its_offset(site: TestSite, api: httpx.AsyncClient):
    uuid, [first, second] = await start(site, api, instanceCount=2)
    await site.tell(outputs=[wire.Output(*first, 0, 0, b"one\ntwo\n"), wire.Output(*second, 0, 0, b"three\n")])
    await site.tell(outputs=[wire.Output(*first, 1, 0, "né\n".encode())])
    url = f"/tasks/{uuid}/stdout"
    assert told(await api.get(url)) == (200, "0> one\n0> two\n1> three\n", "23", None)
    for since in range(24):
        assert told(await api.get(f"{url}?since={since}")) == (200, "0> one\n0> two\n1> three\n"[since:], "23", None)
    assert told(await api.get(f"{url}?Since=900")) == (200, "", "23", None)
    assert told(await api.get(f"{url}/0?since=4")) == (200, "two\n", "8", None)
    assert told(await api.get(f"{url}/1?since=6")) == (200, "", "6", None)
    assert told(await api.get(f"/tasks/{uuid}/stderr?since=4")) == (200, "é\n", "7", None)
    assert told(await api.get(f"/tasks/{uuid}/stderr/0?since=1")) == (200, "é\n", "4", None)
    # An answer to fresh output says where it ended too: who lost it begins where the one before ended.
    assert told(await api.post(url)) == (200, "0> one\n0> two\n1> three\n", "23", None)
    assert told(await api.post(url)) == (200, "", "23", None)


@pytest.mark.parametrize("since", ["-1", "x", "", "1.5", "9" * 30, "%C3%A9"])
async def test_what_is_no_offset_is_refused(site: TestSite, api: httpx.AsyncClient, since: str):
    uuid, _ = await start(site, api)
    answer = await api.get(f"/tasks/{uuid}/stdout?since={since}")
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("since: ")


async def test_fresh_output_takes_no_offset_and_no_attempt(site: TestSite, api: httpx.AsyncClient):
    uuid, _ = await start(site, api)
    for query in ("since=1", "attempt=1"):
        answer = await api.post(f"/tasks/{uuid}/stdout/0?{query}")
        assert (answer.status_code, answer.json()["message"].split(":")[0]) == (400, query.split("=")[0])


async def test_rotation_is_visible_in_every_answer(site: TestSite, api: httpx.AsyncClient):
    uuid, [key] = await start(site, api)
    await site.tell(outputs=[wire.Output(*key, 0, 0, b"begin\n")])
    assert told(await api.post(f"/tasks/{uuid}/stdout")) == (200, "0> begin\n", "9", None)
    await site.tell(outputs=[wire.Output(*key, 0, 106, b"end\n", skipped=100)])
    assert told(await api.get(f"/tasks/{uuid}/stdout")) == (200, "0> begin\n0> end\n", "116", "100")
    assert told(await api.post(f"/tasks/{uuid}/stdout")) == (200, "0> end\n", "116", "100")
    assert told(await api.get(f"/tasks/{uuid}/stdout/0")) == (200, "begin\nend\n", "110", "100")
    assert told(await api.get(f"/tasks/{uuid}/stdout/0?since=56")) == (200, "end\n", "110", "50")
    assert told(await api.get(f"/tasks/{uuid}/stdout/0?since=107")) == (200, "nd\n", "110", None)


async def test_each_attempt_is_read_alone(site: TestSite, api: httpx.AsyncClient):
    retried = {"retrySettings": {"maxTotalRetries": 1}}
    uuid, [key] = await start(site, api, **retried)
    ended = wire.Ended(*key, at=1, exit_code=1, error_code="EXIT_CODE", error_message="it failed")
    await site.tell(outputs=[wire.Output(*key, 0, 0, b"first\n")], ended=[ended])
    assert told(await api.get(f"/tasks/{uuid}/stdout/0?attempt=1")) == (200, "first\n", "6", None)
    [again] = await begin(site)
    await site.tell(outputs=[wire.Output(*again, 0, 0, b"second\n")])
    assert told(await api.get(f"/tasks/{uuid}/stdout/0")) == (200, "first\nsecond\n", "13", None)
    assert told(await api.get(f"/tasks/{uuid}/stdout/0?attempt=1")) == (200, "first\n", "6", None)
    assert told(await api.get(f"/tasks/{uuid}/stdout/0?attempt=2&since=3")) == (200, "ond\n", "7", None)
    for attempt, status in (("0", 404), ("3", 404), ("x", 400)):
        assert (await api.get(f"/tasks/{uuid}/stdout/0?attempt={attempt}")).status_code == status
    assert (await api.get(f"/tasks/{uuid}/stdout?attempt=1")).status_code == 400
    never = (await api.post("/tasks", json=a_task())).json()["uuid"]
    assert (await api.get(f"/tasks/{never}/stdout/0?attempt=1")).status_code == 404


async def test_a_long_answer_leaves_bit_by_bit_and_is_the_same(
    site: TestSite, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(task_output, "_PIECE", 7)
    monkeypatch.setattr(read_output, "IN_MEMORY", 16)
    uuid, [key] = await start(site, api)
    data = ('é "€"\\ 😀\t' * 5).encode() + b"\xff\n" + "€".encode()[:2]
    await site.tell(outputs=[wire.Output(*key, 0, 0, data)])
    text = data.decode("utf-8", "replace")
    plain = await api.get(f"/tasks/{uuid}/stdout/0")
    assert (plain.text, plain.headers["content-type"]) == (text, "text/plain; charset=utf-8")
    asked = await api.get(f"/tasks/{uuid}/stdout/0", headers={"Accept": "application/json"})
    assert (json.loads(asked.content), asked.headers["content-type"]) == (text, "application/json")
    assert asked.headers["hearth-output-offset"] == str(len(data))
    assert (await api.post(f"/tasks/{uuid}/stdout/0")).text == text
