"""Every refusal as an answer: always JSON with a `message`, problem details beside it where a field is wrong."""

from __future__ import annotations

import traceback
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException, ValidationException
from msgspec import UNSET

from hearth.domain.errors import HearthError, Invalid
from hearth_client.messages.errors import Error

_log = structlog.get_logger("hearth.api")


def refused(_request: Request[Any, Any, Any], refusal: HearthError) -> Response[Error]:
    """Answer what the platform refused."""
    if isinstance(refusal, Invalid):
        return Response(_problem(refusal.message, refusal.field, refusal.reason), status_code=400)
    return Response(Error(message=refusal.message), status_code=refusal.status)


def not_understood(request: Request[Any, Any, Any], error: HTTPException) -> Response[Error]:
    """Answer what the framework refused."""
    headers = {name.title(): value for name, value in (error.headers or {}).items()}
    path = request.scope["path"]
    message = error.detail
    if isinstance(error, MethodNotAllowedException):
        message = f"{request.method} is not possible on {path}; possible: {headers.get('Allow', 'other methods')}"
    elif isinstance(error, NotFoundException):
        message = f"No such route: {request.method} {path}"
    elif error.status_code == 413:
        limit = request.app.state.request_limit_mb
        message = f"the body is larger than the {limit} MB that one request may have; send several"
    if error.status_code == 400:
        if isinstance(error, ValidationException) and isinstance(error.extra, list):
            return refused(request, _wrong_parameter(request, error.extra[0]))
        return Response(_problem(message, "", message), status_code=400, headers=headers)
    return Response(Error(message=message), status_code=error.status_code, headers=headers)


def _wrong_parameter(request: Request[Any, Any, Any], told: Any) -> Invalid:
    """Return what is wrong with a parameter of the query: those that the framework reads are whole numbers."""
    name = str(told["key"])
    return Invalid(name, f"expected a whole number, got '{request.query_params.get(name, '')[:60]}'")


def broken(request: Request[Any, Any, Any], error: Exception) -> Response[Error]:
    """Answer what should not have happened; the log says more, the client does not learn it."""
    # Told as text: some renderers of tracebacks show local variables, and tokens among them.
    told = "".join(traceback.format_exception(error))
    _log.error("request.failed", method=request.method, path=request.scope["path"], traceback=told)
    return Response(Error(message="Internal error; the server's log tells what happened"), status_code=500)


def _problem(message: str, field: str, reason: str) -> Error:
    return Error(
        message=message,
        type="https://www.rfc-editor.org/rfc/rfc9110#section-15.5.1",
        title="The request is not valid",
        status=400,
        errors={field: [reason]} if field else UNSET,
    )
