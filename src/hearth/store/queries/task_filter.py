"""Filters of tasks: what they say, in SQL as far as the database can tell, and in Python for the rest.

Null equals null alone; it is neither smaller nor larger than anything, and matches no pattern. A list equals
each of its members, and null when it has none.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, get_type_hints

import msgspec
from sqlalchemy import ColumnElement, Dialect, and_, exists, func, literal_column, not_, or_, true

from hearth.domain.pattern import Pattern
from hearth.domain.spec import TaskSpec
from hearth.store.queries.objects import after_prefix
from hearth.store.queries.task_fields import NOW, TAGS, Field, Kind, parts_of
from hearth.store.tables import task_tags, tasks


class Operator(Enum):
    """How a field is compared."""

    EQUAL = "Equal"
    NOT_EQUAL = "NotEqual"
    LESS = "LessThan"
    LESS_OR_EQUAL = "LessThanOrEqual"
    GREATER = "GreaterThan"
    GREATER_OR_EQUAL = "GreaterThanOrEqual"
    MATCHES = "Like"
    IN = "In"
    NOT_IN = "NotIn"


_COMPARED: Final[dict[Operator, Callable[[Any, Any], Any]]] = {
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}
_NEGATED: Final = (Operator.NOT_EQUAL, Operator.NOT_IN)
ONE_OF: Final = (Operator.EQUAL, Operator.IN)
_INTEGER_END: Final = 1 << 31
# Not `false()`: SQLAlchemy would leave out all other conditions, and with them the index that SQLite is told to use.
_NONE: Final[ColumnElement[bool]] = literal_column("0") == literal_column("1")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One comparison."""

    field: Field
    operator: Operator
    values: tuple[Any, ...]  # of Like a Pattern


@dataclass(frozen=True, slots=True)
class Node:
    """All of the parts, or any of them."""

    every: bool
    parts: tuple[Leaf | Node, ...]


Filter = Leaf | Node
ALL: Final = Node(True, ())


def simplified(where: Filter) -> Filter:
    """Return a filter that passes the same, without nodes in nodes of their kind; any of several values is one In."""
    if isinstance(where, Leaf):
        return where
    parts: list[Filter] = []
    for part in map(simplified, where.parts):
        parts.extend(part.parts if isinstance(part, Node) and part.every is where.every else (part,))
    if not where.every:
        wanted: dict[str, Leaf] = {}
        others: list[Filter] = []
        for part in parts:
            if isinstance(part, Leaf) and part.operator in ONE_OF:
                name = part.field.name
                before = wanted[name].values if name in wanted else ()
                wanted[name] = Leaf(part.field, Operator.IN, tuple(dict.fromkeys(before + part.values)))
            else:
                others.append(part)
        parts = [*wanted.values(), *others]
    return parts[0] if len(parts) == 1 else Node(where.every, tuple(parts))


def leaves(where: Filter) -> Iterable[Leaf]:
    """Return all comparisons of a filter."""
    if isinstance(where, Leaf):
        yield where
    else:
        for part in where.parts:
            yield from leaves(part)


def conjuncts(where: Filter) -> tuple[Filter, ...]:
    """Return parts that all must pass."""
    return where.parts if isinstance(where, Node) and where.every else (where,)


# --- in SQL --------------------------------------------------------------------------------------------------


def is_exact(where: Filter) -> bool:
    """Answer whether `condition` says all of the filter."""
    if isinstance(where, Node):
        return all(map(is_exact, where.parts))
    if where.operator is Operator.MATCHES and where.field.column is not None:
        [pattern] = where.values
        return bool(pattern.is_prefix or pattern.literal is not None)
    return where.field.column is not None or (where.field is TAGS and where.operator is not Operator.MATCHES)


def condition(dialect: Dialect, account_id: int, where: Filter) -> ColumnElement[bool]:
    """Return what the database can tell of a filter: all that pass meet it, and if `is_exact` nothing else does."""
    if isinstance(where, Node):
        parts = [condition(dialect, account_id, part) for part in where.parts]
        return and_(true(), *parts) if where.every else or_(_NONE, *parts)
    if where.field is TAGS and where.operator is not Operator.MATCHES:
        return _tagged(account_id, where)
    if where.field.column is None:
        return true()
    column = tasks.c[where.field.column]
    if where.operator is Operator.MATCHES:
        [pattern] = where.values
        if pattern.literal is not None:
            find = func.instr if dialect.name == "sqlite" else func.strpos
            return find(column, pattern.literal) > 0
        return begins_with(column, pattern.prefix) if pattern.prefix else column.is_not(None)
    return _compared(column, where)


def begins_with(column: ColumnElement[Any], prefix: str) -> ColumnElement[bool]:
    """Return the range of texts with that beginning, in the order of bytes."""
    end = after_prefix(prefix)
    return column >= prefix if end is None else and_(column >= prefix, column < end)


def _compared(column: ColumnElement[Any], where: Leaf) -> ColumnElement[bool]:
    given = [value for value in where.values if value is not None]
    if where.field.kind is Kind.NUMBER and where.operator in (*ONE_OF, *_NEGATED):
        # What no integer equals must not become one on the way.
        given = [int(value) for value in given if value == int(value) and -_INTEGER_END <= value < _INTEGER_END]
    if where.operator not in (*ONE_OF, *_NEGATED):
        passes: ColumnElement[bool] = _COMPARED[where.operator](column, given[0])
        return passes
    one_of = _NONE if not given else column == given[0] if len(given) == 1 else column.in_(given)
    with_null = None in where.values
    if where.operator in ONE_OF:
        return or_(one_of, column.is_(None)) if with_null else one_of
    other = true() if not given else column != given[0] if len(given) == 1 else column.not_in(given)
    if with_null:
        return and_(other, column.is_not(None))
    return or_(other, column.is_(None)) if column.nullable else other


def _tagged(account_id: int, where: Leaf) -> ColumnElement[bool]:
    given = [value for value in where.values if value is not None]
    theirs = task_tags.alias()  # the index of another tag may be what is read
    has = exists().where(theirs.c.account_id == account_id, theirs.c.task_id == tasks.c.id)
    any_of: ColumnElement[bool] = has.where(theirs.c.tag.in_(given)) if given else _NONE
    if None in where.values:
        any_of = or_(any_of, not_(has))
    return not_(any_of) if where.operator in _NEGATED else any_of


# --- in Python -----------------------------------------------------------------------------------------------

Row = Sequence[Any]
Check = Callable[[Row], bool]


def columns_of(where: Filter) -> tuple[str, ...]:
    """Return the columns that `checker` reads."""
    found = [leaf.field for leaf in leaves(where)]
    names = {name for field in found for name in field.columns} - {NOW}
    return tuple(sorted(names | ({"spec"} if parts_of(found) else set())))


def checker(where: Filter, columns: Mapping[str, int], now: int) -> Check:
    """Return the function that says whether a row passes; `columns` tells where in a row each is."""
    found = [leaf.field for leaf in leaves(where)]
    parts = parts_of(found)
    check = _check(where, columns, now)
    if not parts:
        return lambda row: check(row, None)
    decode, at = _decoder(parts).decode, columns["spec"]
    return lambda row: check(row, decode(row[at]))


def patterns_of(where: Filter) -> list[Pattern]:
    """Return the patterns of a filter, which count what they cost."""
    return [leaf.values[0] for leaf in leaves(where) if leaf.operator is Operator.MATCHES]


@lru_cache(maxsize=128)
def _decoder(parts: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Return a decoder of these parts of a specification, which is faster than one of all."""
    types = get_type_hints(TaskSpec)
    made: list[tuple[str, Any, Any]] = []
    for field in fields(TaskSpec):
        if field.name in parts:
            factory = None if field.default_factory is MISSING else field.default_factory
            default = msgspec.field(default_factory=factory) if factory else field.default
            made.append((field.name, types[field.name], default))
    return msgspec.json.Decoder(msgspec.defstruct("Parts", made))


def _check(where: Filter, columns: Mapping[str, int], now: int) -> Callable[[Row, Any], bool]:
    if isinstance(where, Node):
        parts = [_check(part, columns, now) for part in where.parts]
        if where.every:
            return lambda row, spec: all(part(row, spec) for part in parts)
        return lambda row, spec: any(part(row, spec) for part in parts)
    value, test = where.field.value, _test(where)
    places = [(None if name == NOW else columns[name]) for name in where.field.columns]
    names = where.field.parts
    if len(names) == 1 and not places:
        of = attrgetter(names[0])
        return lambda row, spec: test(value(of(spec)))
    if len(places) == 1 and not names:
        [at] = places
        return lambda row, spec: test(value(now if at is None else row[at]))

    def passes(row: Row, spec: Any) -> bool:
        found = [now if place is None else row[place] for place in places]
        found.extend(getattr(spec, name) for name in names)
        return test(value(*found))

    return passes


def _test(where: Leaf) -> Callable[[Any], bool]:
    values = where.values
    if where.operator is Operator.MATCHES:
        pattern: Pattern = values[0]
        if where.field.kind is Kind.TEXTS:
            return lambda found: any(map(pattern.search, found))
        return lambda found: found is not None and pattern.search(found)
    if where.operator in _COMPARED:
        compare, bound = _COMPARED[where.operator], values[0]
        return lambda found: found is not None and compare(found, bound)
    wanted = frozenset(values)
    negated = where.operator in _NEGATED
    if where.field.kind is Kind.TEXTS:
        return lambda found: (not wanted.isdisjoint(found or (None,))) is not negated
    return lambda found: (found in wanted) is not negated
