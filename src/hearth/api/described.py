"""What the description of the API says beyond what our handlers' types tell: filters, and names read by hand."""

from __future__ import annotations

from typing import Any, Final

from hearth_client.messages.filters import NODE_OPERATORS, VALUE_OPERATORS, VALUES_OPERATORS
from hearth_client.messages.pages import PageRequest, SearchRequest

READ_ONLY_HEADER: Final = "QarnotReadOnlyRequestForAccount"
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
_TAG: Final = {
    "name": "tag",
    "in": "query",
    "description": "Only those with one of these tags",
    "schema": {"type": "array", "items": {"type": "string"}},
    "style": "form",
    "explode": True,
}
_AS_ACCOUNT: Final = {
    "name": READ_ONLY_HEADER,
    "in": "header",
    "description": "Look at what belongs to this account, which granted it",
    "schema": {"type": "string"},
}
_LISTS: Final = ("/tasks", "/tasks/summaries")


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
            if path in _LISTS and method == "get":
                operation.setdefault("parameters", []).append(_TAG)
            if path not in open_paths and may_look(method, path):
                operation.setdefault("parameters", []).append(_AS_ACCOUNT)


def may_look(method: str, path: str) -> bool:
    """Answer whether an operation only reads, so that it may be asked about another account."""
    if path.startswith("/secrets-manager/"):
        return False  # secrets are their account's alone
    return method.lower() in ("get", "head") or (
        method.lower() == "post" and path.rstrip("/").endswith(("/search", "/paginate"))
    )
