"""Filters of requests in the store's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from hearth.domain.errors import Invalid
from hearth.domain.task import TaskState
from hearth.store.queries.task_search import Filter, Leaf, Node, Operator, Pattern, Special
from hearth_client.messages.times import parse_date
from hearth_client.timespan import SECOND, parse_timespan

_DEPTH: Final = 20
_PARTS: Final = 500
_GAPS: Final = 4  # more of them make matching slow
_OPERATORS: Final = {operator.value.lower(): operator for operator in Operator}


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    column: str | Special
    read: Callable[[str, Any], Any]


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid(field, f"expected text, got {value!r}")
    return value


def _uuid(field: str, value: Any) -> str:
    return _text(field, value).lower()


def _number(field: str, value: Any) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise Invalid(field, f"expected a number, got '{value[:60]}'") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(field, f"expected a number, got {value!r}")
    return value


def _date(field: str, value: Any) -> int:
    try:
        return parse_date(_text(field, value))
    except ValueError as error:
        raise Invalid(field, str(error)) from None


def _span(field: str, value: Any) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value * SECOND)
    try:
        return parse_timespan(_text(field, value))
    except ValueError as error:
        raise Invalid(field, str(error)) from None


_FIELDS: Final = {
    field.name.lower(): field
    for field in (
        _Field("uuid", "uuid", _uuid),
        _Field("name", "name", _text),
        _Field("shortname", "shortname", _text),
        _Field("profile", "profile", _text),
        _Field("state", "state", _text),
        _Field("previousState", "previous_state", _text),
        _Field("tags", Special.TAGS, _text),
        _Field("creationDate", "created_at", _date),
        _Field("endDate", "ended_at", _date),
        _Field("lastModified", "modified_at", _date),
        _Field("stateTransitionTime", "state_changed_at", _date),
        _Field("previousStateTransitionTime", "previous_state_changed_at", _date),
        _Field("instanceCount", "instance_total", _number),
        _Field("totalInstanceCount", "instance_total", _number),
        _Field("runningInstanceCount", "running_count", _number),
        _Field("resultsCount", "results_count", _number),
        _Field("priority", "priority", _number),
        _Field("executionTime", "execution_microseconds", _span),
        _Field("poolUuid", Special.NOTHING, _text),
        _Field("jobUuid", Special.NOTHING, _text),
    )
}
# States are compared as they are spelled; clients spell them in any case.
_STATES: Final = {state.value.lower(): state.value for state in TaskState}


def read_filter(told: Mapping[str, Any] | None) -> Filter | None:
    """Return the filter; raise `Invalid` naming the part that is wrong."""
    if told is None or told == {}:
        return None
    return _Reader().read(told, "filter", 0)


class _Reader:
    def __init__(self) -> None:
        self._parts = 0

    def read(self, told: Any, place: str, depth: int) -> Filter:
        self._parts += 1
        if depth > _DEPTH or self._parts > _PARTS:
            raise Invalid(place, f"is too large: at most {_PARTS} parts, {_DEPTH} deep")
        if not isinstance(told, Mapping):
            raise Invalid(place, f"expected an object, got {type(told).__name__}")
        parts = {str(key).lower(): value for key, value in told.items()}
        operator = parts.get("operator")
        if not isinstance(operator, str):
            raise Invalid(f"{place}.operator", "is missing")
        if operator.lower() in ("and", "or"):
            filters = parts.get("filters")
            if not isinstance(filters, list):
                raise Invalid(f"{place}.filters", f"expected a list of filters for {operator}")
            return Node(
                operator.lower() == "and",
                tuple(self.read(one, f"{place}.filters[{i}]", depth + 1) for i, one in enumerate(filters)),
            )
        return _leaf(parts, operator, place)


def _leaf(parts: Mapping[str, Any], told_operator: str, place: str) -> Leaf:
    operator = _OPERATORS.get(told_operator.lower())
    if operator is None:
        raise Invalid(
            f"{place}.operator",
            f"'{told_operator[:60]}' is none of And, Or, {', '.join(one.value for one in Operator)}",
        )
    told_field = parts.get("field")
    if not isinstance(told_field, str):
        raise Invalid(f"{place}.field", "is missing")
    field = _field(told_field, f"{place}.field")
    where = f"{place}.value"
    if operator in (Operator.IN, Operator.NOT_IN):
        values = parts.get("values", parts.get("value"))
        if not isinstance(values, list):
            raise Invalid(f"{place}.values", f"expected a list for {operator.value}")
        if len(values) > _PARTS:
            raise Invalid(f"{place}.values", f"there are {len(values)}, at most {_PARTS} are possible")
        return Leaf(
            field.column, operator, tuple(_value(field, f"{place}.values[{i}]", v) for i, v in enumerate(values))
        )
    if "value" not in parts:
        raise Invalid(where, "is missing")
    if operator is Operator.MATCHES:
        if field.column is Special.TAGS or field.read not in (_text, _uuid):
            raise Invalid(f"{place}.operator", f"Like is possible for text, and {field.name} is not text")
        pattern = read_pattern(_text(where, parts["value"]), where)
        return Leaf(field.column, operator, (pattern,))
    value = _value(field, where, parts["value"])
    if value is None and operator not in (Operator.EQUAL, Operator.NOT_EQUAL):
        raise Invalid(where, f"may not be null for {operator.value}")
    if field.column is Special.TAGS and operator not in (Operator.EQUAL, Operator.NOT_EQUAL):
        raise Invalid(f"{place}.operator", f"{operator.value} is not possible for tags; Equal means that one is there")
    return Leaf(field.column, operator, (value,))


def _field(told: str, place: str) -> _Field:
    field = _FIELDS.get(told.lower())
    if field is not None:
        return field
    close = get_close_matches(told.lower()[:100], _FIELDS, n=1)
    hint = f"; did you mean '{_FIELDS[close[0]].name}'?" if close else ""
    names = ", ".join(sorted(one.name for one in _FIELDS.values()))
    raise Invalid(place, f"'{told[:60]}' cannot be filtered by{hint}; possible are {names}")


def _value(field: _Field, place: str, value: Any) -> Any:
    if value is None:
        return None
    if field.column in ("state", "previous_state"):
        text = _text(place, value)
        return _STATES.get(text.lower(), text)
    return field.read(place, value)


def read_pattern(text: str, place: str) -> Pattern:
    r"""Return a regular expression of the kind that is possible: `^`, `$`, `.`, `.*` and literal text.

    Others could keep the server busy for minutes with one short text. `\` makes the next character literal.
    """
    pieces: list[str | None] = []
    literal: list[str] = []
    rest = text
    anchored = rest.startswith("^")
    rest = rest[1:] if anchored else rest
    at = 0
    ends = False
    while at < len(rest):
        char = rest[at]
        if char == "\\" and at + 1 < len(rest) and not rest[at + 1].isalnum():
            literal.append(rest[at + 1])
            at += 2
            continue
        if char == "$" and at == len(rest) - 1:
            ends = True
        elif rest.startswith(".*", at):
            pieces.extend(("".join(literal), None))
            literal = []
            at += 1
        elif char == ".":
            literal.append("\0")
        elif char in "\\^$*+?()[]{}|":
            raise Invalid(
                place, f"'{text[:60]}': of regular expressions only ^, $, . and .* are possible; write \\{char}"
            )
        else:
            literal.append(char)
        at += 1
    pieces.append("".join(literal))
    if not anchored:
        pieces.insert(0, None)
    if not ends:
        pieces.append(None)
    if sum(piece is None for piece in pieces) > _GAPS:
        raise Invalid(place, f"'{text[:60]}' has too many '.*': at most {_GAPS - 2}")
    return Pattern(tuple(piece for piece in pieces if piece != ""))
