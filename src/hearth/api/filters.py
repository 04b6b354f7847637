"""Filters of requests in the store's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import isfinite
from typing import Any, Final

from hearth.domain.errors import Invalid
from hearth.domain.pattern import Pattern, PatternRefused
from hearth.domain.task import TaskState
from hearth.store.queries.task_fields import FIELDS, PROJECT, Field, Kind, field_named
from hearth.store.queries.task_filter import ONE_OF, Filter, Leaf, Node, Operator, checker
from hearth_client.messages.times import NEVER, parse_date
from hearth_client.timespan import SECOND, parse_timespan

DEPTH: Final = 20
PARTS: Final = 500
VALUES: Final = 1000

_OPERATORS: Final = {operator.value.lower(): operator for operator in Operator}
_EQUALITIES: Final = (*ONE_OF, Operator.NOT_EQUAL, Operator.NOT_IN)
# States are compared as they are spelled; clients spell them in any case.
_STATES: Final = {state.value.lower(): state.value for state in TaskState}
_SHOWN_ONLY: Final = (
    "status",
    "errors",
    "completedInstances",
    "clusterInfo",
    "forcedConstants",
    "forcedNetworkRules",
    "secretsAccessRights",
)
_GROUPS: Final = {
    "dependencies": "dependencies.dependsOn",
    "privileges": "privileges.exportApiAndStorageCredentialsInEnvironment",
    "retrysettings": "retrySettings.maxTotalRetries' or 'retrySettings.maxPerInstanceRetries",
    "advancedresourcebuckets": "advancedResourceBuckets.bucketName",
}
_NEVER: Final = parse_date(NEVER)


@dataclass(frozen=True, slots=True)
class Projects:
    """The projects of the caller by number; of tasks without one the default is shown."""

    uuids: Mapping[int, str]
    default: str | None = None


def read_filter(told: Mapping[str, Any] | None, projects: Projects) -> Filter | None:
    """Return the filter; raise `Invalid` naming the part that is wrong."""
    if told is None or told == {}:
        return None
    return _Reader(projects).read(told, "filter", 0)


class _Reader:
    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self._parts = 0
        self._values = 0

    def read(self, told: Any, place: str, depth: int) -> Filter:
        self._parts += 1
        if depth > DEPTH:
            raise Invalid(place, f"is nested too deeply: at most {DEPTH} levels are possible")
        if self._parts > PARTS:
            raise Invalid(place, f"is one part too many: a filter has at most {PARTS}; In takes many values in one")
        if not isinstance(told, Mapping):
            raise Invalid(place, f'expected an object such as {{"operator": "Equal", ...}}, got {_shown(told)}')
        parts = {str(key).lower(): value for key, value in told.items()}
        operator = parts.get("operator")
        if not isinstance(operator, str):
            raise Invalid(f"{place}.operator", "is missing" if operator is None else f"expected text, got {operator!r}")
        if operator.lower() not in ("and", "or"):
            return self._leaf(parts, operator, place)
        filters = parts.get("filters")
        if not isinstance(filters, list):
            raise Invalid(f"{place}.filters", f"expected a list of filters for {operator}, got {_shown(filters)}")
        return Node(
            operator.lower() == "and",
            tuple(self.read(one, f"{place}.filters[{i}]", depth + 1) for i, one in enumerate(filters)),
        )

    def _leaf(self, parts: Mapping[str, Any], told_operator: str, place: str) -> Filter:
        operator = _OPERATORS.get(told_operator.lower())
        if operator is None:
            names = ", ".join(one.value for one in Operator)
            raise Invalid(f"{place}.operator", f"'{told_operator[:60]}' is none of And, Or, {names}")
        field = self._field(parts.get("field"), f"{place}.field")
        if operator in (Operator.IN, Operator.NOT_IN):
            return self._coded(Leaf(field, operator, self._several(field, parts, operator, place)))
        where = f"{place}.value"
        if "value" not in parts:
            raise Invalid(where, "is missing")
        told = parts["value"]
        if operator is Operator.MATCHES:
            return self._coded(Leaf(field, operator, (_pattern(field, told, place),)))
        if operator not in _EQUALITIES:
            if field.kind in (Kind.TEXTS, Kind.FLAG):
                raise Invalid(
                    f"{place}.operator",
                    f"{operator.value} is not possible for {field.name}, which is {field.kind.value}; possible are "
                    + (
                        "Equal (one is it), NotEqual, In, NotIn, Like"
                        if field.kind is Kind.TEXTS
                        else "Equal, NotEqual"
                    ),
                )
            if told is None:
                raise Invalid(where, f"may not be null for {operator.value}; Equal and NotEqual compare with null")
            return self._coded(Leaf(field, operator, (_value(field, where, told),)))
        return self._coded(Leaf(field, operator, (_or_never(_value(field, where, told)),)))

    def _several(self, field: Field, parts: Mapping[str, Any], operator: Operator, place: str) -> tuple[Any, ...]:
        name = "values" if parts.get("values") is not None or "value" not in parts else "value"
        values = parts.get(name)
        if not isinstance(values, list):
            raise Invalid(f"{place}.{name}", f"expected a list for {operator.value}, got {_shown(values)}")
        self._values += len(values)
        if self._values > VALUES:
            raise Invalid(f"{place}.{name}", f"at most {VALUES} values are possible in one filter; ask several times")
        return tuple(
            dict.fromkeys(_or_never(_value(field, f"{place}.{name}[{i}]", value)) for i, value in enumerate(values))
        )

    def _field(self, told: Any, place: str) -> Field:
        if not isinstance(told, str):
            raise Invalid(place, "is missing" if told is None else f"expected text, got {_shown(told)}")
        field = field_named(told)
        if field is None:
            raise Invalid(place, _no_field(told))
        if field.name == PROJECT:
            uuids = self._projects.uuids
            return replace(field, codes={**uuids, None: self._projects.default}, spellings=_Lower())
        if field.column in ("state", "previous_state"):
            return replace(field, spellings=_STATES)
        if field.column == "uuid":
            return replace(field, spellings=_Lower())
        if field.codes is not None:
            return replace(field, spellings={str(text).lower(): str(text) for text in field.codes.values()})
        return field

    def _coded(self, leaf: Leaf) -> Filter:
        """Replace a comparison of what is shown by one of the values that are shown so."""
        field = leaf.field
        if field.codes is None:
            return leaf if field.spellings is None else replace(leaf, field=replace(field, spellings=None))
        seen = Field(field.name, field.kind, columns=("shown",))
        check = checker(replace(leaf, field=seen), {"shown": 0}, 0)
        passing = tuple(code for code, text in field.codes.items() if check((text,)))
        return Leaf(replace(field, kind=Kind.NUMBER, codes=None, spellings=None), Operator.IN, passing)


class _Lower(dict[str, str]):
    """Spells every text in lower case."""

    def get(self, key: str, default: Any = None) -> str:
        return key


def _no_field(told: str) -> str:
    shown = told[:60]
    if told.lower() in _GROUPS:
        return f"'{shown}' cannot be filtered by as a whole: write '{_GROUPS[told.lower()]}'"
    if told.lower() in {name.lower() for name in _SHOWN_ONLY}:
        return f"'{shown}' can be selected, and not filtered by"
    close = get_close_matches(told.lower()[:100], FIELDS, n=1)
    hint = f"; did you mean '{FIELDS[close[0]].name}'?" if close else ""
    names = ", ".join(sorted(field.name for field in FIELDS.values()))
    return f"'{shown}' cannot be filtered by{hint}; possible are {names}, constants.KEY, constraints.KEY, labels.KEY"


# --- values --------------------------------------------------------------------------------------------------


def _value(field: Field, place: str, told: Any) -> Any:
    if told is None:
        return None
    value = _READ[field.kind](place, told)
    if field.spellings is not None:
        return field.spellings.get(value.lower(), value)
    return value


def _or_never(value: Any) -> Any:
    """Return null for the date that stands for it in answers."""
    return None if value == _NEVER else value


def _text(place: str, told: Any) -> str:
    if not isinstance(told, str):
        raise Invalid(place, f'expected text such as "abc", got {_shown(told)}')
    if "\0" in told:
        raise Invalid(place, "may not have the character NUL in it")
    return told


def _member(place: str, told: Any) -> str:
    """Read what may be in a list; of constants and labels also a pair as answers show it."""
    if isinstance(told, Mapping):
        pair = {str(key).lower(): value for key, value in told.items()}
        if isinstance(pair.get("key"), str) and isinstance(pair.get("value"), str):
            return _text(place, f"{pair['key']}={pair['value']}")
    return _text(place, told)


def _number(place: str, told: Any) -> float:
    value: int | float | None = told
    if isinstance(told, str):
        try:
            value = int(told)
        except ValueError:
            try:
                value = float(told)
            except ValueError:
                value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(place, f"expected a number such as 3, got {_shown(told)}")
    if abs(value) >= 1 << 31:  # no field is as large; the databases' numbers end somewhere
        try:
            value = float(value)
        except OverflowError:
            value = float("inf")
    if not isfinite(value):
        raise Invalid(place, f"expected a number such as 3, got {_shown(told)}")
    return value


def _date(place: str, told: Any) -> int:
    try:
        return parse_date(_text(place, told))
    except ValueError as error:
        raise Invalid(place, str(error)) from None


def _span(place: str, told: Any) -> int:
    if isinstance(told, int | float) and not isinstance(told, bool):
        return int(_number(place, told) * SECOND)
    if not isinstance(told, str):
        raise Invalid(place, f'expected a time span such as "00:05:00" or seconds, got {_shown(told)}')
    try:
        return parse_timespan(told)
    except ValueError as error:
        raise Invalid(place, str(error)) from None


def _flag(place: str, told: Any) -> bool:
    value = {"true": True, "false": False}.get(told.lower()) if isinstance(told, str) else told
    if not isinstance(value, bool):
        raise Invalid(place, f"expected true or false, got {_shown(told)}")
    return value


_READ: Final[dict[Kind, Callable[[str, Any], Any]]] = {
    Kind.TEXT: _text,
    Kind.TEXTS: _member,
    Kind.NUMBER: _number,
    Kind.DATE: _date,
    Kind.SPAN: _span,
    Kind.FLAG: _flag,
}


def _pattern(field: Field, told: Any, place: str) -> Pattern:
    if field.kind not in (Kind.TEXT, Kind.TEXTS):
        raise Invalid(f"{place}.operator", f"Like is possible for text, and {field.name} is {field.kind.value}")
    text = _text(f"{place}.value", told)
    try:
        return Pattern(text)
    except PatternRefused as error:
        raise Invalid(f"{place}.value", f"the pattern '{text[:60]}' {error}") from None


def _shown(told: Any) -> str:
    if told is None:
        return "nothing"
    if isinstance(told, dict):
        return "an object"
    if isinstance(told, list):
        return "a list"
    text = repr(told)
    return text if len(text) <= 60 else f"{text[:60]}..."
