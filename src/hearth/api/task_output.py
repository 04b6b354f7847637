"""What instances wrote: the merged streams of a task, and those of one instance."""

from __future__ import annotations

import msgspec
from litestar import Controller, Response, get, post

from hearth.api.requests import ApiRequest, PathText, caller, site_of
from hearth.control import read_output
from hearth.domain.errors import Invalid, Missing

_STDOUT, _STDERR = 0, 1


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


async def _output(request: ApiRequest, ident: str, stream: int, number: str | None, *, fresh: bool) -> Response[str]:
    if number is not None and not (number.isascii() and number.isdigit() and len(number) < 19):
        raise Missing("instance", number)
    site, account, wanted = site_of(request), caller(request).id, None if number is None else int(number)
    attempt = _attempt(request, wanted, fresh=fresh)
    if attempt is None or wanted is None:
        data = await read_output.read(site, account, ident, stream, wanted, fresh=fresh)
    else:
        data = await read_output.read_attempt(site, account, ident, stream, wanted, attempt)
    text = data.decode("utf-8", "replace")
    if wants_json(request.headers.get("accept")):
        return Response(msgspec.json.encode(text), media_type="application/json")  # type: ignore[arg-type]
    return Response(text, media_type="text/plain")


def _attempt(request: ApiRequest, number: int | None, *, fresh: bool) -> int | None:
    """Return the attempt that `?attempt=n` names; None: every one."""
    given = [value for name, value in request.query_params.multi_items() if name.lower() == "attempt"]
    if not given:
        return None
    if number is None or fresh:
        raise Invalid("attempt", "one attempt is read as a whole and of one instance: GET .../stdout/3?attempt=1")
    if not (given[-1].isascii() and given[-1].isdigit() and 0 < len(given[-1]) < 10):
        raise Invalid("attempt", f"'{given[-1]}' should be the number of an attempt; the first one is 1")
    return int(given[-1])


def wants_json(accept: str | None) -> bool:
    """Answer whether output goes as a JSON string (contract: only if JSON is named, or nothing at all)."""
    if not accept:
        return True
    named = accept.lower()
    return "application/json" in named and "text/plain" not in named
