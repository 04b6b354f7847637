"""The API's own description: made by Litestar, with the bodies that our readers take."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Litestar, Response, get
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import HTTPRoute

from hearth.api.described import with_filters, with_parameters
from hearth.api.described_answers import with_answers
from hearth.api.outer import OPEN_PATHS
from hearth.api.requests import ApiRequest

CONFIG: Final = OpenAPIConfig(
    title="Hearth",
    version="v1",
    description="Batch computing on machines you have. Every path is served with and without /v1 in front.",
    create_examples=False,
    path="/schema",
    render_plugins=[JsonRenderPlugin()],
    components=Components(
        security_schemes={"token": SecurityScheme(type="apiKey", name="Authorization", security_scheme_in="header")}
    ),
    security=[{"token": []}],
)
_REFERENCE: Final = "#/components/schemas/{name}"


@get("/openapi.json", include_in_schema=False)
async def openapi(request: ApiRequest) -> Response[bytes]:
    """Return the description as JSON."""
    state = request.app.state
    if state.openapi is None:
        state.openapi = msgspec.json.encode(describe(request.app))
    return Response(state.openapi, media_type="application/json")


def describe(app: Litestar) -> dict[str, Any]:
    """Return the OpenAPI document of the routes."""
    document: dict[str, Any] = app.openapi_schema.to_schema()
    bodies = [(route, handler) for route, handler in _handlers(app) if "body" in handler.opt]
    schemas, components = msgspec.json.schema_components(
        [handler.opt["body"] for _, handler in bodies], ref_template=_REFERENCE
    )
    for name, component in components.items():
        document["components"]["schemas"].setdefault(name, component)
    for (route, handler), schema in zip(bodies, schemas, strict=True):
        for method in handler.http_methods:
            operation = document["paths"][route.path_format or "/"].get(method.lower())
            if operation is not None:
                content = {"application/json": {"schema": schema}}
                operation["requestBody"] = {"required": not handler.opt.get("may_be_empty", False), "content": content}
    with_filters(document)
    with_parameters(document, OPEN_PATHS)
    with_answers(document, OPEN_PATHS)
    for path in OPEN_PATHS & document["paths"].keys():
        for operation in document["paths"][path].values():
            operation["security"] = []
    return document


def _handlers(app: Litestar) -> list[tuple[HTTPRoute, Any]]:
    return [
        (route, handler) for route in app.routes if isinstance(route, HTTPRoute) for handler in route.route_handlers
    ]
