"""The filters that lists are searched with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Filter = dict[str, Any]


def tag_filter(tags: Sequence[str] | None, tags_intersect: Sequence[str] | None) -> Filter | None:
    """Return the filter "any of `tags`, and all of `tags_intersect`"; None when neither is given."""
    parts = [
        _joined(operator, [{"operator": "Equal", "field": "Tags", "value": tag} for tag in wanted])
        for operator, wanted in (("Or", tags), ("And", tags_intersect))
        if wanted
    ]
    return _joined("And", parts) if parts else None


def _joined(operator: str, filters: list[Filter]) -> Filter:
    return filters[0] if len(filters) == 1 else {"operator": operator, "filters": filters}
