"""A client of server-sent events that calls the door in this process: httpx's own waits for the whole answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.integration.api.sites import TestSite


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    data: dict[str, Any]
    id: str = ""


@dataclass
class EventStream:
    """An open answer."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    is_over: bool = False
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _gone: asyncio.Event = field(default_factory=asyncio.Event)
    _seen: int = 0

    async def receive(self) -> dict[str, Any]:
        if not self._seen:
            self._seen = 1
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        else:
            self.text += message.get("body", b"").decode()
            self.is_over = not message.get("more_body", False)
        self._more.set()

    def leave(self) -> None:
        self._gone.set()

    async def next(self) -> Event:
        """Return the next event; comments are passed over."""
        while True:
            while "\n\n" in self.text:
                block, self.text = self.text.split("\n\n", 1)
                fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
                if "event" in fields:
                    return Event(fields["event"], json.loads(fields["data"]), fields.get("id", ""))
            assert not self.is_over, "the stream ended"
            self._more.clear()
            await self._more.wait()

    async def rest(self) -> list[Event]:
        """Return all events up to the end of the stream."""
        found = []
        while not found or found[-1].name != "end":
            found.append(await self.next())
        while not self.is_over:
            self._more.clear()
            await self._more.wait()
        return found


@asynccontextmanager
async def following(site: TestSite, token: str, url: str, **headers: str) -> AsyncIterator[EventStream]:
    """Open a stream; it is left at the end."""
    parts = urlsplit(url)
    given = {"authorization": token, "accept": "text/event-stream", **headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("api.test", 80),
    }
    stream = EventStream()
    call = asyncio.create_task(site.door(scope, stream.receive, stream.send))
    try:
        yield stream
    finally:
        stream.leave()
        await call
