"""Field names in any case, folded by the declared type of a message.

Only names that a message declares are folded. What users choose themselves (labels, filters, the keys of
constants) is left as it came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Unknown:
    """A field that a message does not have, and the one that was perhaps meant."""

    path: str
    nearest: str


@dataclass(slots=True)
class Shape:
    """Where in a JSON value there are declared names: an object's fields, or the items of a list."""

    fields: dict[str, tuple[str, Shape | None]] = field(default_factory=dict)  # by lower-case name
    item: Shape | None = None
    silent: frozenset[str] = frozenset()  # lower-case names that may be there for no reason

    def fold(self, value: Any, path: str, unknown: dict[Unknown, None]) -> Any:
        """Return the value with its names as declared; note those that are not."""
        if self.item is not None:
            if isinstance(value, list):
                item = self.item
                return [item.fold(one, path, unknown) for one in value]
            return value
        if not isinstance(value, dict):
            return value
        result = {}
        for key, inner in value.items():
            known = self.fields.get(key) or self.fields.get(key.lower())
            if known is None:
                if key.lower() not in self.silent:
                    unknown[Unknown(f"{path}{key}", _nearest(key, tuple(name for name, _ in self.fields.values())))] = (
                        None
                    )
                continue
            name, shape = known
            result[name] = inner if shape is None else shape.fold(inner, f"{path}{name}.", unknown)
        return result


def shape_of(message: type[msgspec.Struct], silent: frozenset[str] = frozenset()) -> Shape:
    """Return the shape of a message; `silent` are lower-case names that are ignored without a word."""
    shape = _shape(msgspec.inspect.type_info(message))
    assert shape is not None
    shape.silent = silent - shape.fields.keys()
    return shape


def _shape(info: msgspec.inspect.Type) -> Shape | None:
    if isinstance(info, msgspec.inspect.StructType):
        return Shape({f.encode_name.lower(): (f.encode_name, _shape(f.type)) for f in info.fields})
    if isinstance(info, msgspec.inspect.ListType):
        item = _shape(info.item_type)
        return None if item is None else Shape(item=item)
    if isinstance(info, msgspec.inspect.UnionType):
        found = [shape for shape in map(_shape, info.types) if shape is not None]
        return found[0] if found else None
    return None


@lru_cache(maxsize=1024)
def _nearest(key: str, names: tuple[str, ...]) -> str:
    by_lower = {name.lower(): name for name in names}
    close = get_close_matches(key.lower()[:100], by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else ""
