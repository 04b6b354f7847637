"""What the description of the API says beyond what our handlers' types tell: filters, and names read by hand."""

from __future__ import annotations

from typing import Any, Final

from hearth.api.idempotency import LONGEST
from hearth.api.idempotency import NAME as KEY_HEADER
from hearth.api.outer import READ_ONLY_HEADER, may_look
from hearth_client.messages.filters import NODE_OPERATORS, VALUE_OPERATORS, VALUES_OPERATORS
from hearth_client.messages.pages import PageRequest, SearchRequest

_FILTER: Final = {"$ref": "#/components/schemas/Filter"}
_ANY: Final[dict[str, Any]] = {}

FILTERS: Final[dict[str, Any]] = {
    "Filter": {
        "anyOf": [
            {"$ref": "#/components/schemas/Node"},
            {"$ref": "#/components/schemas/UnitValueLeaf"},
            {"$ref": "#/components/schemas/MultipleValueLeaf"},
        ]
    },
    "Node": {
        "type": "object",
        "properties": {
            "operator": {"type": "string", "enum": list(NODE_OPERATORS)},
            "filters": {"type": "array", "items": _FILTER},
        },
        "required": ["operator", "filters"],
    },
    "UnitValueLeaf": {
        "type": "object",
        "properties": {
            "operator": {"type": "string", "enum": list(VALUE_OPERATORS)},
            "field": {"type": "string"},
            "value": _ANY,
        },
        "required": ["operator", "field", "value"],
    },
    "MultipleValueLeaf": {
        "type": "object",
        "properties": {
            "operator": {"type": "string", "enum": list(VALUES_OPERATORS)},
            "field": {"type": "string"},
            "values": {"type": "array", "items": _ANY},
        },
        "required": ["operator", "field", "values"],
    },
}


def _parameter(name: str, place: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "description": description, "schema": {"type": "string", **schema}}


_TAG: Final = {
    **_parameter("tag", "query", "Only those with one of these tags", type="array", items={"type": "string"}),
    "style": "form",
    "explode": True,
}
_AS_ACCOUNT: Final = _parameter(READ_ONLY_HEADER, "header", "Look at what belongs to this account, which granted it")
_KEY: Final = _parameter(
    KEY_HEADER,
    "header",
    "A request with a key is carried out once, however often it comes",
    minLength=1,
    maxLength=LONGEST,
    pattern="^[ -~]+$",
)
_SINCE: Final = _parameter(
    "since", "query", "Where to begin, as Hearth-Output-Offset told it", type="integer", minimum=0
)
_ATTEMPT: Final = _parameter("attempt", "query", "Only what this attempt wrote", type="integer", minimum=1)
_FOLLOWING: Final = [
    _parameter("from", "query", "The first byte or what comes next", enum=["start", "now"]),
    _parameter("Last-Event-ID", "header", "The event to go on after"),
]
_OF_OUTPUT: Final = [
    _parameter("stream", "query", "Only this one; without it both", enum=["stdout", "stderr"]),
    _parameter("instance", "query", "Only what this instance writes", type="integer", minimum=0),
]
_OUTPUT: Final = "/tasks/{ident}/std"
_MAKING: Final = frozenset(f"/tasks/{{ident}}/{verb}" for verb in ("retry", "recover", "resume", "clone", "restart"))

# Parameters that are read from the request by hand.
_BY_HAND: Final[dict[tuple[str, str], list[dict[str, Any]]]] = {
    ("get", "/tasks"): [_TAG],
    ("get", "/tasks/summaries"): [_TAG],
    ("get", "/tasks/{ident}/events"): _FOLLOWING,
    ("get", "/tasks/{ident}/output"): [*_OF_OUTPUT, *_FOLLOWING],
    ("post", "/tasks/{ident}/snapshot"): [_KEY],
    **{("get", f"{_OUTPUT}{name}"): [_SINCE] for name in ("out", "err")},
    **{("get", f"{_OUTPUT}{name}/{{number}}"): [_SINCE, _ATTEMPT] for name in ("out", "err")},
}


def with_filters(document: dict[str, Any]) -> None:
    """Say what a filter is."""
    schemas = document["components"]["schemas"]
    schemas.update(FILTERS)
    for message in (SearchRequest, PageRequest):
        schemas[message.__name__]["properties"]["filter"] = {"anyOf": [_FILTER, {"type": "null"}]}


def with_parameters(document: dict[str, Any], open_paths: frozenset[str]) -> None:
    """Name the parameters that are read from the request by hand."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            more = list(_BY_HAND.get((method, path), []))
            if makes_tasks(method, path):
                more.append(_KEY)
            if path not in open_paths and may_look(method, path):
                more.append(_AS_ACCOUNT)
            if more:
                operation.setdefault("parameters", []).extend(more)


def makes_tasks(method: str, path: str) -> bool:
    """Answer whether an operation makes tasks."""
    return method.lower() == "post" and (path == "/tasks" or path in _MAKING)
