"""Following a task: each line arrives while it runs, nothing twice, and the end is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest

from hearth.control import follow
from hearth.control.viewers import Viewers
from hearth.domain.errors import TooMany
from hearth.wire import agent as wire
from tests.integration.api.sites import TestSite, a_task
from tests.integration.api.streams import Event, following

Key = tuple[int, int, int]


@dataclass
class Running:
    """A task whose instances run."""

    site: TestSite
    api: httpx.AsyncClient
    token: str
    uuid: str
    keys: list[Key]

    def at(self, path: str) -> str:
        return f"/tasks/{self.uuid}/{path}"

    async def write(self, number: int, data: bytes, offset: int = 0, stream: int = 0) -> None:
        await self.site.tell(outputs=[wire.Output(*self.keys[number], stream, offset, data)])

    async def end(self, *numbers: int) -> None:
        await self.site.tell(ended=[wire.Ended(*self.keys[n], at=self.site.clock.now, exit_code=0) for n in numbers])


@pytest.fixture
async def running(site: TestSite) -> AsyncIterator[Running]:
    """Two instances that run."""
    _, token = await site.account()
    async with site.client(token) as api:
        uuid = (await api.post("/tasks", json=a_task(instanceCount=2))).json()["uuid"]
        grants = await site.dispatch()
        keys = [(grant.task.id, number, grant.attempt) for grant in grants for number in grant.numbers]
        await site.tell(started=[wire.Started(*key, site.clock.now) for key in keys])
        yield Running(site, api, token, uuid, keys)


def line(number: int, text: str, offset: int, id: str, stream: str = "stdout") -> Event:
    return Event(stream, {"instance": number, "attempt": 1, "text": text, "offset": offset}, id)


async def test_lines_arrive_one_by_one_and_the_end_is_said(running: Running) -> None:
    await running.write(0, b"early\n")
    async with following(running.site, running.token, running.at("output")) as stream:
        assert await stream.next() == line(0, "early\n", 0, "9-0")
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        await running.write(1, b"late\n")
        assert await stream.next() == line(1, "late\n", 0, "17-0")
        await running.write(1, "é\n".encode(), stream=1)
        assert await stream.next() == line(1, "é\n", 0, "17-6", "stderr")
        await running.write(0, b"last\n", 6)
        await running.end(0, 1)
        assert await stream.rest() == [line(0, "last\n", 6, "25-6"), Event("end", {"state": "Success"}, "25-6")]


async def test_a_stream_is_resumed_behind_the_last_event(running: Running) -> None:
    await running.write(0, b"one\n")
    await running.write(0, b"two\n", 4)
    await running.write(1, b"problem\n", stream=1)
    await running.end(0, 1)
    async with following(running.site, running.token, running.at("output")) as stream:
        whole = await stream.rest()
    for index, event in enumerate(whole):
        async with following(running.site, running.token, running.at("output"), last_event_id=event.id) as stream:
            # An end that was told already is told again: nothing else says that it is over.
            assert await stream.rest() == (whole[index + 1 :] or whole[-1:])


async def test_one_instance_and_one_stream_can_be_chosen(running: Running) -> None:
    await running.write(0, b"of zero\n")
    await running.write(1, b"of one\n")
    await running.write(1, b"error of one\n", stream=1)
    await running.end(0, 1)
    over = {"state": "Success"}
    async with following(running.site, running.token, "/v1" + running.at("output?instance=1&stream=stdout")) as stream:
        assert await stream.rest() == [line(1, "of one\n", 0, "7-0"), Event("end", over, "7-0")]
    async with following(running.site, running.token, running.at("output?stream=stderr")) as stream:
        assert await stream.rest() == [line(1, "error of one\n", 0, "0-16", "stderr"), Event("end", over, "0-16")]


async def test_from_now_tells_only_what_comes(running: Running) -> None:
    await running.write(0, b"old\n")
    async with following(running.site, running.token, running.at("output?from=now")) as stream:
        async with following(running.site, running.token, running.at("events?from=now")) as story:
            assert (await story.next()).name == "progress"
            while not running.site.site.hub.is_waiting(2):
                await asyncio.sleep(0)
            await running.write(0, b"new\n", 4)
            assert await stream.next() == line(0, "new\n", 4, "14-0")
            await running.end(0, 1)
            assert [event.name for event in await story.rest()] == ["state", "progress", "end"]


async def test_what_rotation_took_is_said_with_its_size(running: Running) -> None:
    await running.write(0, b"kept\n")
    gap = wire.Output(*running.keys[0], 0, 1005, b"after\n", skipped=1000)
    await running.site.tell(outputs=[gap])
    async with following(running.site, running.token, running.at("output")) as stream:
        assert await stream.next() == line(0, "kept\n", 0, "8-0")
        assert await stream.next() == Event("dropped", {"stream": "stdout", "bytes": 1000}, "1008-0")
        assert await stream.next() == line(0, "after\n", 1005, "1017-0")


async def test_the_story_of_a_task_is_told_with_states_retries_and_counts(site: TestSite) -> None:
    _, token = await site.account()
    async with site.client(token) as api:
        task = a_task(retrySettings={"maxTotalRetries": 1})
        uuid = (await api.post("/tasks", json=task)).json()["uuid"]
    async with following(site, token, f"/tasks/{uuid}/events") as stream:
        first = await stream.next()
        assert (first.name, first.data) == ("state", {"state": "Submitted", "at": site.clock.now})
        assert (await stream.next()).name == "progress"
        await site.run(exit_code=3)
        await site.run(exit_code=4)
        story = await stream.rest()
    told = [(event.name, event.data) for event in story if event.name in ("retry", "failure")]
    failure = {"instance": 0, "code": "EXIT_CODE"}
    assert told == [
        ("retry", {**failure, "attempt": 1, "message": "the command ended with 3", "at": site.clock.now - 2_000_000}),
        ("failure", {**failure, "attempt": 2, "message": "the command ended with 4", "at": site.clock.now}),
    ]
    assert story[-2].data | {"total": 1, "failed": 1, "waiting": 0} == story[-2].data
    assert story[-1] == Event("end", {"state": "Failure"}, story[-1].id)
    ids = [int(event.id) for event in story if event.id]
    assert ids == sorted(ids)
    async with following(site, token, f"/tasks/{uuid}/events", last_event_id=first.id) as stream:
        again = await stream.rest()
    assert [event for event in again if event.id] == [event for event in story if event.id and event.name != "progress"]


async def test_a_deleted_task_ends_its_streams(running: Running) -> None:
    async with following(running.site, running.token, running.at("output")) as stream:
        await running.write(0, b"one\n")
        await stream.next()
        assert (await running.api.delete(f"/tasks/{running.uuid}")).status_code == 200
        cancelled = [wire.Ended(*key, at=1, error_code="CANCELLED") for key in running.keys]
        await running.site.tell(ended=cancelled)
        assert await stream.rest() == [Event("end", {"state": "Deleted"}, "7-0")]


async def test_a_server_that_stops_ends_its_streams(running: Running) -> None:
    async with following(running.site, running.token, running.at("output")) as stream:
        await running.write(0, b"one\n")
        await stream.next()
        running.site.site.hub.close()
        with pytest.raises(AssertionError, match="the stream ended"):
            await stream.next()


async def test_a_quiet_stream_says_that_it_lives(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "KEEP_ALIVE_SECONDS", 0.001)
    async with following(running.site, running.token, running.at("output")) as stream:
        while ": still here\n\n" not in stream.text:
            await asyncio.sleep(0)


@pytest.mark.parametrize("path", ["output?from=now", "events?from=now"])
async def test_a_stream_ends_without_an_end_when_its_token_does(
    running: Running, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "KEEP_ALIVE_SECONDS", 0.001)
    async with following(running.site, running.token, running.at(path)) as stream:
        while ": still here\n\n: still here\n\n" not in stream.text:
            await asyncio.sleep(0)
        await running.site.site.accounts.revoke(running.token)
        with pytest.raises(AssertionError, match="the stream ended"):
            await stream.rest()
    assert not running.site.site.hub.is_waiting(1)


async def test_a_busy_stream_ends_too_when_its_token_does(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "KEEP_ALIVE_SECONDS", 0.0)  # all that is told is asked for
    await running.write(0, b"one\n")
    async with following(running.site, running.token, running.at("output")) as stream:
        assert await stream.next() == line(0, "one\n", 0, "7-0")
        await running.site.site.accounts.revoke(running.token)
        await running.write(0, b"two\n", 4)
        with pytest.raises(AssertionError, match="the stream ended"):
            await stream.next()


async def test_a_stream_of_a_viewer_ends_when_the_right_to_look_does(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "KEEP_ALIVE_SECONDS", 0.001)
    viewer, token = await running.site.account("viewer@example.org")
    viewers = Viewers(running.site.site.store, now=running.site.clock)  # those of another process
    await viewers.allow("ada@example.org", viewer.email)
    named = {"qarnotreadonlyrequestforaccount": "ada@example.org"}
    async with following(running.site, token, running.at("output"), **named) as stream:
        while ": still here\n\n" not in stream.text:
            await asyncio.sleep(0)
        await viewers.revoke("ada@example.org", viewer.email)
        running.site.clock.pass_seconds(1)  # for so long an answer is believed
        with pytest.raises(AssertionError, match="the stream ended"):
            await stream.next()


async def test_another_server_on_the_same_database_is_heard_too(running: Running) -> None:
    site = running.site.site
    async with following(running.site, running.token, running.at("output")) as stream:
        while not site.hub.is_waiting(1):
            await asyncio.sleep(0)
        site.store.on_commit = None  # what happens now, happens elsewhere
        await running.write(0, b"from afar\n")
        await site.hub.poll(site.store)
        assert await stream.next() == line(0, "from afar\n", 0, "13-0")
        await running.end(0, 1)
        await site.hub.poll(site.store)
        assert await stream.rest() == [Event("end", {"state": "Success"}, "13-0")]


async def test_many_followers_of_one_task_share_what_is_read(running: Running) -> None:
    site = running.site.site
    reads = 0
    looking = follow._look_at_output

    def counted(*args: object) -> object:
        nonlocal reads
        reads += 1
        return looking(*args)  # type: ignore[arg-type]

    follow._look_at_output = counted  # type: ignore[assignment]
    try:
        streams = [following(running.site, running.token, running.at("output")) for _ in range(50)]
        opened = [await stream.__aenter__() for stream in streams]
        while not site.hub.is_waiting(50):
            await asyncio.sleep(0)
        reads = 0
        await running.write(0, b"to all\n")
        assert [await stream.next() for stream in opened] == [line(0, "to all\n", 0, "10-0")] * 50
        assert reads <= 3
        for stream in streams:
            await stream.__aexit__(None, None, None)
    finally:
        follow._look_at_output = looking
    assert not site.hub.is_waiting(1)


@pytest.mark.parametrize(
    ("path", "headers", "field"),
    [
        ("output?stream=stdin", {}, "stream"),
        ("output?from=then", {}, "from"),
        ("output", {"last_event_id": "12"}, "Last-Event-ID"),
        ("events", {"last_event_id": "1-2"}, "Last-Event-ID"),
    ],
)
async def test_what_cannot_be_followed_is_refused(
    running: Running, path: str, headers: dict[str, str], field: str
) -> None:
    answer = await running.api.get(running.at(path), headers={k.replace("_", "-"): v for k, v in headers.items()})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(f"{field}: ")


async def test_following_what_is_not_there_or_not_ones_own_is_refused(running: Running) -> None:
    assert (await running.api.get("/tasks/nothing/output")).status_code == 404
    assert (await running.api.get(running.at("output?instance=7"))).status_code == 404
    _, other = await running.site.account()
    async with running.site.client(other) as stranger:
        assert (await stranger.get(running.at("events"))).status_code == 404


async def test_an_account_has_a_limit_of_open_streams(running: Running) -> None:
    most = running.site.site.settings.followers_per_account
    row = await running.site.site.accounts.by_token(running.token)
    assert row is not None
    with ExitStack() as places:
        for _ in range(most):
            places.enter_context(running.site.site.hub.place(row.id, most))
        answer = await running.api.get(running.at("output"))
        assert answer.status_code == 429
        assert "followers_per_account" in answer.json()["message"]


async def test_streams_that_are_opened_at_once_are_counted_one_by_one(running: Running) -> None:
    hub, most = running.site.site.hub, running.site.site.settings.followers_per_account
    row = await running.site.site.accounts.by_token(running.token)
    assert row is not None
    streams = [following(running.site, running.token, running.at(path)) for path in ("output", "events") * 5]
    with ExitStack() as places:
        for _ in range(most - 3):
            places.enter_context(hub.place(row.id, most))
        opened = [await stream.__aenter__() for stream in streams]
        while not (hub.is_waiting(3) and sum(stream.is_over for stream in opened) == 7):
            await asyncio.sleep(0)
        assert sorted(stream.status for stream in opened) == [200] * 3 + [429] * 7
        for stream in streams:
            await stream.__aexit__(None, None, None)
        with ExitStack() as given_back:  # all three, once each
            for _ in range(3):
                given_back.enter_context(hub.place(row.id, most))
            with pytest.raises(TooMany):
                given_back.enter_context(hub.place(row.id, most))


async def test_a_stream_that_is_refused_gives_its_place_back(running: Running) -> None:
    hub = running.site.site.hub
    row = await running.site.site.accounts.by_token(running.token)
    assert row is not None
    for path in ("/tasks/nothing/output", "/tasks/nothing/events", running.at("output?instance=7")):
        assert (await running.api.get(path)).status_code == 404
    with hub.place(row.id, 1):
        pass


async def test_a_stream_that_nobody_reads_gives_its_place_back(running: Running) -> None:
    site = running.site.site
    row = await site.accounts.by_token(running.token)
    assert row is not None
    asker = follow.Asker(row.id, row.id, asyncio.Event().wait)
    messages = await follow.events(site, asker, running.uuid, after=None, from_now=False)
    with pytest.raises(TooMany):
        with site.hub.place(row.id, 1):
            pass
    del messages
    while True:
        try:
            with site.hub.place(row.id, 1):
                return
        except TooMany:
            await asyncio.sleep(0)


async def test_streams_of_a_viewer_take_no_places_of_the_owner(running: Running) -> None:
    viewer, token = await running.site.account("viewer@example.org")
    await Viewers(running.site.site.store, now=running.site.clock).allow("ada@example.org", viewer.email)
    hub, most = running.site.site.hub, running.site.site.settings.followers_per_account
    named = {"qarnotreadonlyrequestforaccount": "ada@example.org"}  # as it comes through ASGI
    with ExitStack() as places:
        for _ in range(most - 1):
            places.enter_context(hub.place(viewer.id, most))
        async with following(running.site, token, running.at("output"), **named) as stream:
            while not hub.is_waiting(1):
                await asyncio.sleep(0)
            assert stream.status == 200
            async with running.site.client(token, **named) as client:
                assert (await client.get(running.at("events"))).status_code == 429
            async with following(running.site, running.token, running.at("output")) as own:
                await running.end(0, 1)
                assert (await own.rest())[-1].name == "end"
