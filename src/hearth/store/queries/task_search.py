"""Find tasks of an account by filters, a page at a time.

A page begins behind a position, so it neither skips nor repeats a task when others come or go. What no index
answers is read from a bounded number of rows: a page may then be short although there is more.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, false, func, not_, or_, select, true

from hearth.store.queries.tasks import COLUMNS, TaskRow, many
from hearth.store.tables import accounts, task_tags, tasks

# Rows that one page may read to find those that pass.
WINDOW: Final = 20_000
# An order without an index sorts all tasks of the account: up to so many.
SORTABLE: Final = 100_000


class Operator(Enum):
    """How a column is compared."""

    EQUAL = "Equal"
    NOT_EQUAL = "NotEqual"
    LESS = "LessThan"
    LESS_OR_EQUAL = "LessThanOrEqual"
    GREATER = "GreaterThan"
    GREATER_OR_EQUAL = "GreaterThanOrEqual"
    MATCHES = "Like"
    IN = "In"
    NOT_IN = "NotIn"


_COMPARED: Final[dict[Operator, Any]] = {
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}


class Special(Enum):
    """What can be compared and is no column of tasks."""

    TAGS = "tags"
    NOTHING = "nothing"  # always null


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text with gaps: None stands for any text, `any_one` for any one character."""

    pieces: tuple[str | None, ...]
    any_one: str = "\0"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One comparison; `column` is the name of a column of tasks."""

    column: str | Special
    operator: Operator
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """All of the parts, or any of them."""

    every: bool
    parts: tuple[Leaf | Node, ...]


Filter = Leaf | Node


@dataclass(frozen=True, slots=True)
class Order:
    """How results are sorted; `id` is the order of creation."""

    column: str = "id"
    descending: bool = True


NEWEST_FIRST: Final = Order()


@dataclass(frozen=True, slots=True)
class Position:
    """The last task of a page: the next one begins behind it."""

    id: int
    value: str | int | float | None = None  # of the column that is sorted by


@dataclass(frozen=True, slots=True)
class Found:
    """A page of tasks, and where the next one begins; None: there is no more."""

    rows: list[TaskRow]
    after: Position | None


def page(
    connection: Connection,
    account_id: int,
    where: Filter | None,
    *,
    limit: int,
    after: Position | None = None,
    order: Order = NEWEST_FIRST,
) -> Found:
    """Return up to `limit` tasks that pass, behind `after`."""
    if where is not None and order.column == "id" and not _is_unique(where):
        tags = _driving_tags(where)
        edge = _edge(connection, account_id, tags, after, order.descending)
        if tags is not None:
            ids = _tagged_ids(connection, account_id, where, tags, limit=limit, after=after, edge=edge, order=order)
            rows = many(connection, ids)
            return _found([rows[task_id] for task_id in ids], limit, order, edge)
    else:
        edge = None
    query = select(*COLUMNS).where(tasks.c.account_id == account_id, tasks.c.deleted_at.is_(None))
    if order.column == "id":
        query = query.where(*_between(tasks.c.id, after, edge, order.descending)).order_by(_sorted(tasks.c.id, order))
    else:
        column = tasks.c[order.column]
        if after is not None:
            query = query.where(_behind(column, after, order.descending))
        query = query.order_by(_sorted(column, order), _sorted(tasks.c.id, order))
    if where is not None:
        query = query.where(condition(connection, account_id, where))
    return _found([TaskRow(*row) for row in connection.execute(query.limit(limit + 1))], limit, order, edge)


def _found(rows: list[TaskRow], limit: int, order: Order, edge: int | None) -> Found:
    if len(rows) > limit:
        last = rows[limit - 1]
        return Found(rows[:limit], Position(last.id, None if order.column == "id" else getattr(last, order.column)))
    return Found(rows, None if edge is None else Position(edge))


def _tagged_ids(
    connection: Connection,
    account_id: int,
    where: Filter,
    tags: Sequence[str],
    *,
    limit: int,
    after: Position | None,
    edge: int | None,
    order: Order,
) -> list[int]:
    """Return the first ids that pass, read along the index of each tag."""
    passes = condition(connection, account_id, where)
    driving = task_tags.alias()
    column = driving.c.task_id
    found: set[int] = set()
    for tag in tags:
        query = (
            select(column)
            .join(tasks, tasks.c.id == column)
            .where(driving.c.account_id == account_id, driving.c.tag == tag, tasks.c.deleted_at.is_(None), passes)
            .where(*_between(column, after, edge, order.descending))
            .order_by(_sorted(column, order))
            .limit(limit + 1)
        )
        found.update(connection.execute(query).scalars())
    return sorted(found, reverse=order.descending)[: limit + 1]


def _between(column: ColumnElement[int], after: Position | None, edge: int | None, descending: bool) -> list[Any]:
    """Say that ids lie behind a position and not beyond an edge."""
    limits: list[Any] = []
    if after is not None:
        limits.append(column < after.id if descending else column > after.id)
    if edge is not None:
        limits.append(column >= edge if descending else column <= edge)
    return limits


def _sorted(column: ColumnElement[Any], order: Order) -> Any:
    return column.desc() if order.descending else column


def count(connection: Connection, account_id: int) -> int:
    """Return how many tasks the account has."""
    found: int = connection.execute(select(accounts.c.tasks).where(accounts.c.id == account_id)).scalar_one()
    return found


def count_passing(connection: Connection, account_id: int, where: Filter) -> int:
    """Return how many of the newest tasks pass; of older ones than the window nothing is known."""
    tags = _driving_tags(where)
    if isinstance(where, Leaf) and tags is not None and len(tags) == 1:
        counted = _tagged(account_id, tags, None).limit(WINDOW).subquery()
        return connection.execute(select(func.count()).select_from(counted)).scalar_one()
    edge = None if _is_unique(where) else _edge(connection, account_id, tags, None, True)
    query = select(func.count()).where(tasks.c.account_id == account_id, tasks.c.deleted_at.is_(None))
    if tags is not None:
        query = query.where(tasks.c.id.in_(_tagged(account_id, tags, edge)))
    elif edge is not None:
        query = query.where(tasks.c.id >= edge)
    return connection.execute(query.where(condition(connection, account_id, where))).scalar_one()


def condition(connection: Connection, account_id: int, where: Filter) -> ColumnElement[bool]:
    """Return the filter in SQL."""
    if isinstance(where, Node):
        parts = [condition(connection, account_id, part) for part in where.parts]
        return and_(true(), *parts) if where.every else or_(false(), *parts)
    if where.column is Special.TAGS:
        return _tag_condition(account_id, where)
    if where.column is Special.NOTHING:
        return _compare(None, where)
    assert isinstance(where.column, str)
    column = tasks.c[where.column]
    if where.operator is Operator.MATCHES:
        [pattern] = where.values
        return _matches(column, pattern, is_sqlite=connection.dialect.name == "sqlite")
    return _compare(column, where)


def _compare(column: ColumnElement[Any] | None, where: Leaf) -> ColumnElement[bool]:
    values = where.values
    value: Any = values[0] if values else None
    if column is None:
        passes = {
            Operator.EQUAL: None in values,
            Operator.IN: None in values,
            Operator.NOT_EQUAL: None not in values,
            Operator.NOT_IN: None not in values,
        }
        return true() if passes.get(where.operator, False) else false()
    match where.operator:
        case Operator.EQUAL:
            return column.is_(None) if value is None else column == value
        case Operator.NOT_EQUAL:
            return column.is_not(None) if value is None else or_(column != value, column.is_(None))
        case Operator.IN:
            given = [one for one in values if one is not None]
            return or_(column.in_(given), column.is_(None)) if None in values else column.in_(given)
        case Operator.NOT_IN:
            given = [one for one in values if one is not None]
            other = column.not_in(given)
            return and_(other, column.is_not(None)) if None in values else or_(other, column.is_(None))
        case _:
            compare = _COMPARED[where.operator]
            passing: ColumnElement[bool] = compare(column, value)
            return passing


def _tag_condition(account_id: int, where: Leaf) -> ColumnElement[bool]:
    has = exists().where(
        task_tags.c.account_id == account_id,
        task_tags.c.task_id == tasks.c.id,
        task_tags.c.tag.in_([value for value in where.values if value is not None]),
    )
    return not_(has) if where.operator in (Operator.NOT_EQUAL, Operator.NOT_IN) else has


def _matches(column: ColumnElement[Any], pattern: Pattern, *, is_sqlite: bool) -> ColumnElement[bool]:
    """Compare with case: SQLite's LIKE does not, its GLOB does; PostgreSQL's LIKE does."""
    if is_sqlite:
        return column.op("GLOB", is_comparison=True)(
            _written(pattern, "*", "?", lambda c: f"[{c}]" if c in "*?[" else c)
        )
    return column.like(_written(pattern, "%", "_", lambda c: f"\\{c}" if c in "%_\\" else c), escape="\\")


def _written(pattern: Pattern, gap: str, one: str, escaped: Any) -> str:
    return "".join(
        gap if piece is None else "".join(one if c == pattern.any_one else escaped(c) for c in piece)
        for piece in pattern.pieces
    )


def _behind(column: ColumnElement[Any], after: Position, descending: bool) -> ColumnElement[bool]:
    if descending:
        return or_(column < after.value, and_(column == after.value, tasks.c.id < after.id))
    return or_(column > after.value, and_(column == after.value, tasks.c.id > after.id))


def _is_unique(where: Filter) -> bool:
    """Answer whether an index finds the few tasks that can pass."""
    if isinstance(where, Leaf):
        return where.column in ("uuid", "shortname") and where.operator in (Operator.EQUAL, Operator.IN)
    return bool(where.parts) and (any if where.every else all)(_is_unique(part) for part in where.parts)


def _driving_tags(where: Filter) -> tuple[str, ...] | None:
    """Return tags of which every task that passes has one; None when there are no such tags."""
    if isinstance(where, Leaf):
        has = where.column is Special.TAGS and where.operator in (Operator.EQUAL, Operator.IN)
        return tuple(value for value in where.values if value is not None) if has else None
    found = [_driving_tags(part) for part in where.parts]
    if where.every:
        return next((tags for tags in found if tags is not None), None)
    if not found or None in found:
        return None
    return tuple(dict.fromkeys(tag for tags in found if tags is not None for tag in tags))


def _edge(
    connection: Connection, account_id: int, tags: Sequence[str] | None, after: Position | None, descending: bool
) -> int | None:
    """Return the last id that this page looks at; None when it looks at all that are left."""
    if tags is None:
        ids = [(tasks.c.id, tasks.c.account_id == account_id)]
    else:
        ids = [(task_tags.c.task_id, and_(task_tags.c.account_id == account_id, task_tags.c.tag == t)) for t in tags]
    edges: list[int] = []
    for column, theirs in ids:
        query = select(column).where(theirs, *_between(column, after, None, descending))
        query = query.order_by(column.desc() if descending else column).offset(WINDOW - 1).limit(1)
        edge = connection.execute(query).scalar()
        if edge is not None:
            edges.append(edge)
    if not edges:
        return None
    return max(edges) if descending else min(edges)


def _tagged(account_id: int, tags: Sequence[str], edge: int | None) -> Select[tuple[int]]:
    query = select(task_tags.c.task_id).where(task_tags.c.account_id == account_id, task_tags.c.tag.in_(tags))
    return query if edge is None else query.where(task_tags.c.task_id >= edge)
