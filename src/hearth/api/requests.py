"""What handlers need of a request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Request, Response
from litestar.params import PathParameter

from hearth.api.bodies import BodyReader, warning
from hearth.api.outer import caller_of
from hearth.api.render_task import Rendering
from hearth.api.shapes import Unknown
from hearth.control.accounts import Account
from hearth.control.site import Site

T = TypeVar("T", bound=msgspec.Struct)
R = TypeVar("R")

ApiRequest = Request[Any, Any, Any]
PathText = Annotated[str, PathParameter()]


def site_of(request: ApiRequest) -> Site:
    """Return the site that is asked."""
    site = request.app.state.site
    assert isinstance(site, Site)
    return site


def caller(request: ApiRequest) -> Account:
    """Return who asks."""
    return caller_of(request.scope)


def rendering(request: ApiRequest) -> Rendering:
    """Return how answers to this request are written."""
    return Rendering.of(site_of(request), caller(request), request.headers.get("user-agent", ""))


async def read(request: ApiRequest, reader: BodyReader[T], unknown: dict[Unknown, None]) -> T:
    """Return the message in the body."""
    return reader.read(await request.body(), unknown)


def answer(content: R, unknown: Iterable[Unknown] = (), status: int = 200, **headers: str) -> Response[R]:
    """Answer, with a warning about fields that were ignored."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    if unknown:
        told["Warning"] = warning(unknown)
    return Response(content, status_code=status, headers=told)


def encoded(body: bytes, unknown: Iterable[Unknown] = (), status: int = 200, **headers: str) -> Response[Any]:
    """Answer with JSON that is encoded already."""
    response: Response[Any] = answer(body, unknown, status, **headers)
    response.media_type = "application/json"
    return response


def done(unknown: Iterable[Unknown] = ()) -> Response[None]:
    """Answer that it is done, with no more words."""
    response = answer(None, unknown)
    response.media_type = "text/plain"
    return response
