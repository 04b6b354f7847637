"""Filters as clients build them; the server reads them in any case of their names.

A filter is a node (`operator` And or Or, `filters`), a comparison with one value (`operator`, `field`,
`value`) or with several (`operator` In or NotIn, `field`, `values`).
"""

from __future__ import annotations

from typing import Any, Final

NODE_OPERATORS: Final = ("And", "Or")
VALUE_OPERATORS: Final = (
    "Equal",
    "NotEqual",
    "LessThan",
    "LessThanOrEqual",
    "GreaterThan",
    "GreaterThanOrEqual",
    "Like",
)
VALUES_OPERATORS: Final = ("In", "NotIn")


def all_of(*filters: dict[str, Any]) -> dict[str, Any]:
    """Return the filter that all of these must pass."""
    return {"operator": "And", "filters": list(filters)}


def any_of(*filters: dict[str, Any]) -> dict[str, Any]:
    """Return the filter that one of these must pass."""
    return {"operator": "Or", "filters": list(filters)}


def compare(field: str, operator: str, value: Any) -> dict[str, Any]:
    """Return a comparison with one value."""
    return {"operator": operator, "field": field, "value": value}


def one_of(field: str, values: list[Any]) -> dict[str, Any]:
    """Return the filter that `field` is one of `values`."""
    return {"operator": "In", "field": field, "values": values}
