"""Following a task over server-sent events: what its instances write, and what happens to it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from litestar import Controller, get
from litestar.response import Stream

from hearth.api.outer import asker_of, right_of
from hearth.api.requests import ApiRequest, PathText, caller, site_of
from hearth.api.task_output import asked, instance_number
from hearth.control import follow
from hearth.control.follow import Asker, Message, OutputWanted
from hearth.domain.errors import Invalid

_CURSOR: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
# How soon a client whose connection broke should come again.
_RETRY: Final = b"retry: 1000\n\n"
_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class TaskFollow(Controller):
    """Streams that stay open until the task has ended and all of it was told; `end` is the last event."""

    path = "/tasks/{ident:str}"
    tags = ["output"]

    @get("/output")
    async def output(self, request: ApiRequest, ident: PathText) -> Stream:
        """Output as it comes, stdout and stderr together; `?stream=` and `?instance=` choose."""
        stream, number = asked(request, "stream"), asked(request, "instance")
        if stream not in (None, *follow.STREAMS):
            raise Invalid("stream", f"'{stream}' should be stdout or stderr; without it both are told")
        wanted = OutputWanted(
            ident,
            streams=(0, 1) if stream is None else (follow.STREAMS.index(stream),),
            number=None if number is None else instance_number(number),
            since=_cursor(request.headers.get("last-event-id")),
            from_now=_from_now(request),
        )
        return _stream(await follow.output(site_of(request), _asker(request), wanted))

    @get("/events")
    async def events(self, request: ApiRequest, ident: PathText) -> Stream:
        """What happens to the task: its states, progress, retries, losses, failures."""
        after = _line(request.headers.get("last-event-id"))
        messages = await follow.events(
            site_of(request), _asker(request), ident, after=after, from_now=_from_now(request)
        )
        return _stream(messages)


def _asker(request: ApiRequest) -> Asker:
    return Asker(asker_of(request.scope).id, caller(request).id, right_of(request.scope))


def _from_now(request: ApiRequest) -> bool:
    begin = asked(request, "from")
    if begin not in (None, "start", "now"):
        raise Invalid("from", f"'{begin}' should be start or now")
    return begin == "now"


def _cursor(text: str | None) -> tuple[int, int] | None:
    if not text:
        return None
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise Invalid("Last-Event-ID", f"'{text[:60]}' is not the id of an event of this stream, like 120-0")
    return int(found[1]), int(found[2])


def _line(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Invalid("Last-Event-ID", f"'{text[:60]}' is not the id of an event of this stream, like 120")
    return int(text)


def _stream(messages: AsyncIterator[Message]) -> Stream:
    return Stream(_encoded(messages), media_type="text/event-stream", headers=_HEADERS)


async def _encoded(messages: AsyncIterator[Message]) -> AsyncIterator[bytes]:
    yield _RETRY
    async for message in messages:
        yield encode(message)


def encode(message: Message) -> bytes:
    """Return a message as it travels."""
    if not message.name:
        return b": still here\n\n"
    ident = f"id: {message.id}\n" if message.id else ""
    return f"event: {message.name}\n{ident}data: {msgspec.json.encode(message.data).decode()}\n\n".encode()
