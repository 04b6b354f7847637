"""Events as they come over the wire, and streams that break on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from hearth_client import follow as following
from hearth_client.errors import HttpError
from hearth_client.follow import Event, follow, parse
from hearth_client.http import HttpClient


def test_events_are_put_together_and_comments_passed_over():
    text = 'retry: 1000\n\n: still here\n\nevent: stdout\nid: 9-0\ndata: {"text":\ndata: "a"}\n\nevent: end\ndata: {"x"'
    assert list(parse(text.split("\n"))) == [Event("stdout", {"text": "a"}, "9-0")]


class Broken(httpx.SyncByteStream):
    """A body whose connection breaks at its end."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __iter__(self) -> Iterator[bytes]:
        yield self._text.encode()
        raise httpx.RemoteProtocolError("the peer closed the connection")


def client(answer: Callable[[httpx.Request], httpx.Response]) -> HttpClient:
    return HttpClient("http://api.test", "token", transport=httpx.MockTransport(answer))


def test_a_stream_that_breaks_is_opened_again_behind_its_last_event(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(following, "_PAUSES", (0.0,))
    asked: list[str | None] = []
    answers = [
        httpx.Response(503),
        httpx.Response(200, stream=Broken('event: stdout\nid: 4-0\ndata: {"text": "a"}\n\nevent: std')),
        httpx.Response(200, text="event: progress\ndata: {}\n\n"),
        httpx.Response(200, text='event: end\nid: 4-0\ndata: {"state": "Success"}\n\n'),
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        return answers[len(asked) - 1]

    told = list(follow(client(answer), "/tasks/t/output"))
    assert told == [
        Event("stdout", {"text": "a"}, "4-0"),
        Event("progress", {}),
        Event("end", {"state": "Success"}, "4-0"),
    ]
    assert asked == [None, None, "4-0", "4-0"]


def test_what_the_server_refuses_is_raised():
    refusal = httpx.Response(404, json={"message": "No such task: t"})
    with pytest.raises(HttpError, match="No such task: t"):
        next(follow(client(lambda request: refusal), "/tasks/t/events"))
