"""What instances wrote: the merged streams of a task, and those of one instance."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.response import Stream

from hearth.api.requests import ApiRequest, PathText, caller, site_of
from hearth.control import read_output
from hearth.control.read_output import Answer, Wanted
from hearth.domain.errors import Invalid, Missing

_STDOUT, _STDERR = 0, 1
# Answers longer than that leave piece by piece.
_PIECE = 256 << 10


class TaskOutput(Controller):
    """GET reads all that there is, POST what is new since the last POST."""

    path = "/tasks/{ident:str}"
    tags = ["output"]

    @get("/stdout", media_type="text/plain")
    async def stdout(self, request: ApiRequest, ident: PathText) -> Response[str]:
        """All of the task's standard output; each line begins with its instance's number."""
        return await _output(request, ident, _STDOUT, None, fresh=False)

    @post("/stdout", media_type="text/plain", status_code=200)
    async def fresh_stdout(self, request: ApiRequest, ident: PathText) -> Response[str]:
        """What is new of it."""
        return await _output(request, ident, _STDOUT, None, fresh=True)

    @get("/stderr", media_type="text/plain")
    async def stderr(self, request: ApiRequest, ident: PathText) -> Response[str]:
        """All of the task's standard error."""
        return await _output(request, ident, _STDERR, None, fresh=False)

    @post("/stderr", media_type="text/plain", status_code=200)
    async def fresh_stderr(self, request: ApiRequest, ident: PathText) -> Response[str]:
        """What is new of it."""
        return await _output(request, ident, _STDERR, None, fresh=True)

    @get("/stdout/{number:str}", media_type="text/plain")
    async def instance_stdout(self, request: ApiRequest, ident: PathText, number: PathText) -> Response[str]:
        """All of one instance's standard output, as it wrote it."""
        return await _output(request, ident, _STDOUT, number, fresh=False)

    @post("/stdout/{number:str}", media_type="text/plain", status_code=200)
    async def fresh_instance_stdout(self, request: ApiRequest, ident: PathText, number: PathText) -> Response[str]:
        """What is new of it."""
        return await _output(request, ident, _STDOUT, number, fresh=True)

    @get("/stderr/{number:str}", media_type="text/plain")
    async def instance_stderr(self, request: ApiRequest, ident: PathText, number: PathText) -> Response[str]:
        """All of one instance's standard error."""
        return await _output(request, ident, _STDERR, number, fresh=False)

    @post("/stderr/{number:str}", media_type="text/plain", status_code=200)
    async def fresh_instance_stderr(self, request: ApiRequest, ident: PathText, number: PathText) -> Response[str]:
        """What is new of it."""
        return await _output(request, ident, _STDERR, number, fresh=True)


async def _output(request: ApiRequest, ident: str, stream: int, number: str | None, *, fresh: bool) -> Response[Any]:
    wanted_number = None if number is None else instance_number(number)
    since = offset("since", asked(request, "since"))
    attempt = attempt_number(asked(request, "attempt"))
    if fresh and (since is not None or attempt is not None):
        raise Invalid("since" if attempt is None else "attempt", "what is fresh has its own cursor: use GET here")
    if attempt is not None and wanted_number is None:
        raise Invalid("attempt", "an attempt is one of an instance: GET .../stdout/3?attempt=1")
    site, account = site_of(request), caller(request).id
    wanted = Wanted(ident, stream, wanted_number, attempt)
    if fresh:
        answer = await read_output.read_fresh(site, account, wanted)
    else:
        answer = await read_output.read(site, account, wanted, since or 0)
    return _respond(answer, as_json=wants_json(request.headers.get("accept")))


def _respond(answer: Answer, *, as_json: bool) -> Response[Any]:
    headers = {"Hearth-Output-Offset": str(answer.end)}
    if answer.dropped:
        headers["Hearth-Output-Dropped"] = str(answer.dropped)
    media_type = "application/json" if as_json else "text/plain"
    if answer.size > _PIECE:
        return _LongAnswer(_pieces(answer, as_json=as_json), media_type=media_type, headers=headers)
    with answer.body:
        text = answer.bytes().decode("utf-8", "replace")
    return Response(msgspec.json.encode(text) if as_json else text.encode(), media_type=media_type, headers=headers)


class _LongAnswer(Stream):
    """A stream whose own media type counts: Litestar prefers the one that the route was described with."""

    def to_asgi_response(self, app: Any, request: Any, **how: Any) -> Any:
        """Return what is sent."""
        return super().to_asgi_response(app, request, **{**how, "media_type": self.media_type})


async def _pieces(answer: Answer, *, as_json: bool) -> AsyncIterator[bytes]:
    """Yield a long answer bit by bit, each of whole characters."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with answer.body as body:
        body.seek(0)
        yield b'"' if as_json else b""
        while piece := body.read(_PIECE):
            text = decoder.decode(piece)
            yield msgspec.json.encode(text)[1:-1] if as_json else text.encode()
        rest = decoder.decode(b"", final=True)
        yield (msgspec.json.encode(rest)[1:-1] + b'"') if as_json else rest.encode()


def asked(request: ApiRequest, name: str) -> str | None:
    """Return a parameter of the query, whatever the case of its name."""
    given: Mapping[str, str] = {key.lower(): value for key, value in request.query_params.multi_items()}
    return given.get(name)


def instance_number(text: str) -> int:
    """Return the instance that a path or parameter names; there is none when it is no number."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Missing("instance", text)
    return int(text)


def offset(name: str, text: str | None) -> int | None:
    """Return an offset; None: not given."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Invalid(name, f"'{text[:40]}' should be an offset in bytes, as Hearth-Output-Offset told it")
    return int(text)


def attempt_number(text: str | None) -> int | None:
    """Return the number of an attempt; None: not given."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10):
        raise Invalid("attempt", f"'{text[:40]}' should be the number of an attempt; the first one is 1")
    return int(text)


def wants_json(accept: str | None) -> bool:
    """Answer whether output goes as a JSON string (contract: only if JSON is named, or nothing at all)."""
    if not accept:
        return True
    named = accept.lower()
    return "application/json" in named and "text/plain" not in named
