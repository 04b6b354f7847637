"""Read a task's server-sent events as they come, and go on where a connection broke."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import httpx
import msgspec

from hearth_client.http import HttpClient, Params, http_error
from hearth_client.retry import RETRIED_STATUSES

END: Final = "end"
# The server says something every 15 s at least.
SILENCE_SECONDS: Final = 60.0
_PAUSES: Final = (0.1, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name, what it tells, and its place in the stream."""

    name: str
    data: dict[str, Any]
    id: str = ""


def follow(http: HttpClient, path: str, *, params: Params | None = None, last_id: str = "") -> Iterator[Event]:
    """Yield the events of `/tasks/ID/events` or `/tasks/ID/output` up to the last one, `end`.

    A connection that breaks is opened again behind the last event that came; errors of the request are raised.
    """
    failures = 0
    while True:
        with suppress(httpx.TransportError):
            for event in _once(http, path, params, last_id):
                failures = 0
                last_id = event.id or last_id
                yield event
                if event.name == END:
                    return
        time.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
        failures += 1


def _once(http: HttpClient, path: str, params: Params | None, last_id: str) -> Iterator[Event]:
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
    with http.stream("GET", path, params=params, headers=headers, read_timeout_seconds=SILENCE_SECONDS) as answer:
        if answer.status_code in RETRIED_STATUSES:
            return
        if not answer.is_success:
            answer.read()
            raise http_error(answer)
        yield from parse(answer.iter_lines())


def parse(lines: Iterable[str]) -> Iterator[Event]:
    """Put lines of a stream together to events; one that is not whole is not there yet."""
    fields: dict[str, list[str]] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        if "data" in fields:
            data = msgspec.json.decode("\n".join(fields["data"]))
            yield Event(fields.get("event", ["message"])[-1], data, fields.get("id", [""])[-1])
        fields = {}
