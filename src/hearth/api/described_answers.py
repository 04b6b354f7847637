"""What the description of the API says of answers: refusals, headers, and bodies that handlers' types do not tell."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hearth.api.described import makes_tasks
from hearth_client.messages.errors import Error
from hearth_client.messages.submissions import Submitted

_REFERENCE: Final = "#/components/schemas/{name}"
_ERROR: Final = {"application/json": {"schema": {"$ref": _REFERENCE.format(name="Error")}}}
_REFUSALS: Final = {
    400: "Something in the request is wrong: `errors` names the field",
    401: "The token is missing or bad",
    402: "No node of this site has the hardware that is named",
    403: "A quota is full, or the caller may not look at that account",
    404: "There is no such thing, or it is another account's",
    409: "It does not go together with what is there already",
    413: "The body is larger than the site takes",
    422: "The key stands for another request",
    429: "So many at once are not given",
    500: "Something broke; the server's log tells what",
}
_MAKE: Final = (400, 402, 404, 409, 413, 422)
_BODY: Final = (400, 413)
# Beside those that every operation with a token, with an id in its path or with a body has.
_MORE: Final[dict[tuple[str, str], tuple[int, ...]]] = {
    ("get", "/hardware-constraints"): (400,),
    ("get", "/hardware-constraints/cpu-model-constraints/search"): (400, 404),
    ("get", "/quotas/computing-quotas/organization"): (404,),
    ("get", "/tasks/{ident}/why"): (400,),
    ("get", "/carbon/v1/tasks/{ident}/carbon-facts"): (400,),
    ("get", "/tasks/{ident}/instances"): (400,),
    ("get", "/tasks/{ident}/events"): (400, 429),
    ("get", "/tasks/{ident}/output"): (400, 429),
    ("patch", "/tasks/{ident}"): (400,),
    ("post", "/tasks/{ident}/snapshot"): (409, 422),
    **{
        (method, f"/tasks/{{ident}}/std{name}{end}"): (400,)
        for method in ("get", "post")
        for name in ("out", "err")
        for end in ("", "/{number}")
    },
}


def _header(description: str, **schema: Any) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string", **schema}}


_WARNING: Final = _header("Fields that are not known and were ignored")
_LOCATION: Final = _header("Where the new task is")
_TRUNCATED: Final = _header("The list was cut: POST .../paginate has all")
_OUTPUT: Final = {
    "Hearth-Output-Offset": _header("Where to read on with `since`", type="integer"),
    "Hearth-Output-Dropped": _header("How many bytes of the answer rotation took", type="integer"),
}
_HEADERS: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("get", "/tasks"): {"Hearth-Truncated": _TRUNCATED},
    ("get", "/tasks/summaries"): {"Hearth-Truncated": _TRUNCATED},
    ("post", "/tasks/search"): {"Hearth-Truncated": _TRUNCATED},
    ("get", "/tasks/{ident}"): {
        "Hearth-Completed-Instances-Total": _header("How many instances ended, if not all are shown", type="integer")
    },
}
_FOLLOWED: Final = frozenset({"/tasks/{ident}/events", "/tasks/{ident}/output"})


def with_answers(document: dict[str, Any], open_paths: frozenset[str]) -> None:
    """Say what each operation may answer."""
    schemas = document["components"]["schemas"]
    _, components = msgspec.json.schema_components([Error, Submitted], ref_template=_REFERENCE)
    schemas.update(components)
    _numbers_are_numbers(schemas)
    # With `select` a task has the fields that were chosen.
    schemas["SelectedTask"] = {**schemas["Task"], "title": "SelectedTask", "required": []}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _of(operation, method, path, is_open=path in open_paths)
    submitted = {"type": "array", "items": {"$ref": _REFERENCE.format(name="Submitted")}}
    answers = document["paths"]["/tasks"]["post"]["responses"]
    answers["207"] = {
        "description": "What became of each task of a list, in its order",
        "headers": {"Warning": _WARNING},
        "content": {"application/json": {"schema": submitted}},
    }
    chosen = {"type": "array", "items": {"$ref": _REFERENCE.format(name="SelectedTask")}}
    document["paths"]["/tasks/search"]["post"]["responses"]["200"]["content"]["application/json"]["schema"] = chosen


def _of(operation: dict[str, Any], method: str, path: str, *, is_open: bool) -> None:
    answers = operation["responses"]
    answers.pop("400", None)  # the framework describes its own
    good = answers["200"]
    good["description"] = operation.get("description", "Done").partition("\n")[0]
    good["headers"] = {**_HEADERS.get((method, path), {})}
    if "requestBody" in operation:
        good["headers"]["Warning"] = _WARNING
    if makes_tasks(method, path):
        good["headers"]["Location"] = _LOCATION
    content = good.get("content", {})
    if content.get("application/json", {}).get("schema") == {"type": "null"}:
        del good["content"]  # these answer with no body
    elif path in _FOLLOWED:
        good["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    elif "text/plain" in content:
        good["content"] = {kind: {"schema": {"type": "string"}} for kind in ("text/plain", "application/json")}
        good["headers"].update(_OUTPUT)
    for status in sorted(_refusals(operation, method, path, is_open=is_open)):
        answers[str(status)] = {"description": _REFUSALS[status], "content": _ERROR}


def _refusals(operation: dict[str, Any], method: str, path: str, *, is_open: bool) -> set[int]:
    statuses = {500, *_MORE.get((method, path), ())}
    if not is_open:
        statuses |= {401, 403}
    if "{" in path:
        statuses.add(404)
    if "requestBody" in operation:
        statuses.update(_BODY)
    if makes_tasks(method, path):
        statuses.update(_MAKE)
    return statuses


def _numbers_are_numbers(part: Any) -> None:
    """Let alternatives overlap: a whole number is both an integer and a number."""
    if isinstance(part, dict):
        if "oneOf" in part:
            part["anyOf"] = part.pop("oneOf")
        for value in part.values():
            _numbers_are_numbers(value)
    elif isinstance(part, list):
        for value in part:
            _numbers_are_numbers(value)
