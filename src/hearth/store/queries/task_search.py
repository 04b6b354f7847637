"""Find tasks of an account by filters, a page at a time.

A page begins behind a position, so it neither skips nor repeats a task when others come or go. How it is read:

1. a part of the filter that an index knows to pass few tasks: those are read, and nothing else;
2. any of some tags, states or names, the newest first: along the index of each, merged;
3. else along the index of the order. What is not on the way of an index is compared in a bounded number of rows:
   a page may then be short, even empty, although there is more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select, tuple_

from hearth.domain.pattern import Pattern
from hearth.store.queries.task_fields import TAGS
from hearth.store.queries.task_filter import (
    ALL,
    ONE_OF,
    Filter,
    Leaf,
    Node,
    Operator,
    begins_with,
    checker,
    columns_of,
    condition,
    conjuncts,
    is_exact,
    patterns_of,
    simplified,
)
from hearth.store.queries.tasks import COLUMNS, TaskRow
from hearth.store.tables import accounts, task_tags, tasks

# Rows that the database may compare for one page, and rows that we may look at ourselves.
WINDOW: Final = 10_000
CHECKED: Final = 4000
# What patterns may cost for one page, in steps of their automata.
PATTERN_WORK: Final = 1_000_000
# As many tasks are few: they are read by their ids.
FEW: Final = 2000
# Indexes that are asked for few tasks, and values whose tasks are merged.
PROBES: Final = 40
MERGED: Final = 32
# Where several indexes could be read, so much of each is counted to take the shortest.
WEIGHED: Final = 50_000
# What is counted for `total`.
COUNTED: Final = 10_000
# An order without an index sorts all tasks of the account: up to so many.
SORTABLE: Final = 100_000

_BATCH: Final = 500
_INDEXED: Final = ("name", "state", "created_at")
_BY_ID: Final = "ix_tasks_account_id_id"


@dataclass(frozen=True, slots=True)
class Order:
    """How results are sorted: by a column, and by id where that is the same."""

    column: str = "id"
    descending: bool = True


NEWEST_FIRST: Final = Order()


@dataclass(frozen=True, slots=True)
class Position:
    """The last task of a page: the next one begins behind it."""

    id: int
    value: str | int | float | None = None  # of the column that is sorted by; the id's is None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of tasks, and where the next one begins; None: there is no more."""

    rows: list[TaskRow]
    after: Position | None


def natural_order(where: Filter | None, *, descending: bool = True) -> Order:
    """Return the order of creation: by date when the filter names dates, so that the index of dates is used."""
    by_date = where is not None and any(_bounds(part, "created_at") for part in conjuncts(simplified(where)))
    return Order("created_at" if by_date else "id", descending)


def page(
    connection: Connection,
    account_id: int,
    where: Filter | None,
    *,
    limit: int,
    after: Position | None = None,
    order: Order = NEWEST_FIRST,
    now: int = 0,
) -> Found:
    """Return up to `limit` tasks that pass, behind `after`."""
    search = _Search(connection, account_id, simplified(where or ALL), order, limit, now)
    ids, onward = search.run(after)
    return Found(_rows(connection, ids), onward)


def count(connection: Connection, account_id: int) -> int:
    """Return how many tasks the account has."""
    found: int = connection.execute(select(accounts.c.tasks).where(accounts.c.id == account_id)).scalar_one()
    return found


def count_passing(connection: Connection, account_id: int, where: Filter) -> int | None:
    """Return how many tasks pass if one index knows, at most `COUNTED`; None when none does."""
    where = simplified(where)
    if not isinstance(where, Leaf) or not is_exact(where):
        return None
    ids = _ids(connection, account_id, where)
    if ids is None or (where.field is TAGS and len(where.values) > 1):
        return None
    if where.field is TAGS:  # tasks that are being deleted have their tags still
        ids = ids.join(tasks, tasks.c.id == task_tags.c.task_id).where(tasks.c.deleted_at.is_(None))
    return connection.execute(select(func.count()).select_from(ids.limit(COUNTED).subquery())).scalar_one()


_ROWS: Final = select(*COLUMNS).where(tasks.c.id.in_(bindparam("ids", expanding=True)))


def _rows(connection: Connection, ids: Sequence[int]) -> list[TaskRow]:
    if not ids:
        return []
    found = {row[0]: TaskRow(*row) for row in connection.execute(_ROWS, {"ids": list(ids)})}
    return [found[task_id] for task_id in ids]


@dataclass(slots=True)
class _Search:
    """One page on its way. Narrow rows are (value of the order's column, id, columns that checks need)."""

    connection: Connection
    account_id: int
    where: Filter
    order: Order
    limit: int
    now: int
    edge: Position | None = field(default=None, init=False)  # beyond it this page does not look

    def run(self, after: Position | None) -> tuple[list[int], Position | None]:
        """Return the ids of a page, and where the next one begins."""
        parts = conjuncts(self.where)
        rest = simplified(Node(True, tuple(part for part in parts if not is_exact(part))))
        patterns = patterns_of(rest)
        needed = columns_of(rest)
        check = checker(rest, {name: place for place, name in enumerate(needed, 2)}, self.now) if rest != ALL else None
        found: list[Sequence[Any]] = []
        looked = 0
        for batch in self._batches(after, needed, one_by_one=check is not None):
            for row in batch:
                if check is None or check(row):
                    found.append(row)
                    if len(found) > self.limit:
                        return [one[1] for one in found[:-1]], self._position(found[-2])
                looked += 1
                if check is not None and (looked >= CHECKED or _work(patterns) > PATTERN_WORK):
                    return [one[1] for one in found], self._position(row)
        return [one[1] for one in found], self.edge

    def _position(self, row: Sequence[Any]) -> Position:
        return Position(row[1], None if self.order.column == "id" else row[0])

    def _batches(
        self, after: Position | None, needed: Sequence[str], *, one_by_one: bool
    ) -> Iterator[Sequence[Sequence[Any]]]:
        parts = conjuncts(self.where)
        wide = select(tasks.c[self.order.column], tasks.c.id, *(tasks.c[name] for name in needed))
        wide = wide.where(tasks.c.deleted_at.is_(None))
        few = _few(self.connection, self.account_id, parts)
        if few is not None:
            yield from self._of_few(wide, few, after)
            return
        driving = self._driving() if self.order.column == "id" else None
        ways = self._ways(driving)
        rest = [part for part in parts if part is not driving and not self._is_on_the_way(part)]
        if rest and any(not _says_nothing(part) for part in rest) and self.order.column in ("id", *_INDEXED):
            self.edge = self._edge(ways, after)
        fetch = _BATCH if one_by_one else self.limit + 1
        if self.order.column not in ("id", *_INDEXED):
            fetch = max(fetch, CHECKED)  # it is sorted anew for each batch
        passes = [condition(self.connection.dialect, self.account_id, part) for part in rest]
        while True:
            reads = [self._read(_from(wide, way).where(*passes), way, after, fetch) for way in ways]
            # A task with two of the tags comes twice.
            batch = list(islice(_distinct(merge(*reads, key=self._key, reverse=self.order.descending)), fetch))
            yield batch
            if len(batch) < fetch:
                return
            after = self._position(batch[-1])

    def _of_few(self, wide: Select[Any], few: set[int], after: Position | None) -> Iterator[Sequence[Sequence[Any]]]:
        """Read tasks by their ids; all of them at once when they must be sorted first."""
        passes = condition(self.connection.dialect, self.account_id, self.where)
        query = wide.where(tasks.c.account_id == self.account_id, passes).with_hint(tasks, "NOT INDEXED", "sqlite")
        ids = sorted(few, reverse=self.order.descending)
        if self.order.column == "id" and after is not None:
            ids = [i for i in ids if (i < after.id if self.order.descending else i > after.id)]
        size = min(max(self.limit + 1, 100), _BATCH)
        batches = (
            self.connection.execute(query.where(tasks.c.id.in_(ids[begin : begin + size]))).all()
            for begin in range(0, len(ids), size)
        )
        if self.order.column == "id":
            for batch in batches:
                yield sorted(batch, key=self._key, reverse=self.order.descending)
            return
        rows = [row for batch in batches for row in batch]
        if after is not None:
            behind = (after.value, after.id)
            rows = [
                row for row in rows if (self._key(row) < behind if self.order.descending else self._key(row) > behind)
            ]
        yield sorted(rows, key=self._key, reverse=self.order.descending)

    def _key(self, row: Sequence[Any]) -> Any:
        return (row[0], row[1])

    def _driving(self) -> Leaf | None:
        """Return a comparison with few values, the newest tasks of each of which an index has together."""
        found = [
            part
            for part in conjuncts(self.where)
            if isinstance(part, Leaf)
            and part.operator in ONE_OF
            and (part.field is TAGS or part.field.column in ("name", "state"))
            and None not in part.values
            and len(part.values) <= MERGED
        ]
        if len(found) < 2:
            return found[0] if found else None
        return min(found, key=self._size)

    def _size(self, leaf: Leaf) -> int:
        """Return how many tasks the index has for a comparison, as far as it is worth to know."""
        ids = _ids(self.connection, self.account_id, leaf)
        assert ids is not None
        size: int = self.connection.execute(
            select(func.count()).select_from(ids.limit(WEIGHED).subquery())
        ).scalar_one()
        return size

    def _ways(self, driving: Leaf | None) -> list[_Way]:
        if driving is None:
            name = self.order.column
            index = _BY_ID if name == "id" else f"ix_tasks_{name}" if name in _INDEXED else None
            bounds = [bound for part in conjuncts(self.where) for bound in _bounds(part, name)]
            return [_Way(tasks.c[name], tasks.c.id, (tasks.c.account_id == self.account_id, *bounds), index)]
        if driving.field is TAGS:
            return [
                _Way(task_tags.c.task_id, task_tags.c.task_id, _one_tag(self.account_id, tag), None)
                for tag in driving.values
            ]
        assert driving.field.column is not None
        column, index = tasks.c[driving.field.column], f"ix_tasks_{driving.field.column}"
        mine = tasks.c.account_id == self.account_id
        return [_Way(tasks.c.id, tasks.c.id, (mine, column == value), index) for value in driving.values]

    def _is_on_the_way(self, part: Filter) -> bool:
        return bool(_bounds(part, self.order.column)) and is_exact(part)

    def _read(self, query: Select[Any], way: _Way, after: Position | None, fetch: int) -> Sequence[Sequence[Any]]:
        query = query.where(*way.within, *self._between(way, after)).limit(fetch)
        return self.connection.execute(self._sorted(query, way)).all()

    def _sorted(self, query: Select[Any], way: _Way) -> Select[Any]:
        keys = [way.id] if way.column is way.id else [way.column, way.id]
        return query.order_by(*(key.desc() if self.order.descending else key.asc() for key in keys))

    def _between(self, way: _Way, after: Position | None) -> list[ColumnElement[bool]]:
        limits = []
        if after is not None:
            limits.append(self._compared(way, after, self.order.descending, or_equal=False))
        if self.edge is not None:
            limits.append(self._compared(way, self.edge, not self.order.descending, or_equal=True))
        return limits

    def _compared(self, way: _Way, place: Position, less: bool, *, or_equal: bool) -> ColumnElement[bool]:
        left: Any = way.id if way.column is way.id else tuple_(way.column, way.id)
        right: Any = (
            place.id
            if way.column is way.id
            else tuple_(
                bindparam(None, place.value, type_=way.column.type), bindparam(None, place.id, type_=way.id.type)
            )
        )
        if less:
            return left <= right if or_equal else left < right  # type: ignore[no-any-return]
        return left >= right if or_equal else left > right  # type: ignore[no-any-return]

    def _edge(self, ways: Sequence[_Way], after: Position | None) -> Position | None:
        """Return the last place that this page looks at; None when it looks at all that are left."""
        edges: list[tuple[Any, int]] = []
        size = max(WINDOW // len(ways), 1)
        for way in ways:
            query = select(way.column, way.id).where(*way.within, *self._between(way, after))
            if way.index is not None:
                # Deleted tasks are in that one index; to leave them out the rows would have to be read.
                query = _hinted(query if way.index == _BY_ID else query.where(tasks.c.deleted_at.is_(None)), way.index)
            row = self.connection.execute(self._sorted(query, way).offset(size - 1).limit(1)).first()
            if row is not None:
                edges.append((row[0], row[1]))
        if not edges:
            return None
        return self._position(max(edges) if self.order.descending else min(edges))


@dataclass(frozen=True, slots=True)
class _Way:
    """A range of an index that is read in order."""

    column: ColumnElement[Any]  # that is sorted by
    id: ColumnElement[int]
    within: tuple[ColumnElement[bool], ...]
    index: str | None  # of tasks


def _work(patterns: Sequence[Pattern]) -> int:
    """Return what patterns have cost so far."""
    return sum(pattern.work for pattern in patterns) if patterns else 0


def _from(wide: Select[Any], way: _Way) -> Select[Any]:
    if way.id is tasks.c.id:
        return wide if way.index is None else _hinted(wide, way.index)
    return wide.join(task_tags, task_tags.c.task_id == tasks.c.id)


def _hinted(query: Select[Any], index: str) -> Select[Any]:
    # Without statistics SQLite takes the first index that begins with the account.
    return query.with_hint(tasks, f"INDEXED BY {index}", "sqlite")


def _distinct(rows: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    last = None
    for row in rows:
        if row[1] != last:
            yield row
        last = row[1]


def _one_tag(account_id: int, tag: str) -> tuple[ColumnElement[bool], ...]:
    return task_tags.c.account_id == account_id, task_tags.c.tag == tag


def _says_nothing(part: Filter) -> bool:
    """Answer whether SQL has no part in it."""
    if isinstance(part, Node):
        return bool(part.parts) and (all if part.every else any)(map(_says_nothing, part.parts))
    return part.field.column is None and (part.field is not TAGS or part.operator is Operator.MATCHES)


# --- what indexes know ---------------------------------------------------------------------------------------


def _bounds(part: Filter, column: str) -> tuple[ColumnElement[bool], ...]:
    """Return the range of a column that a comparison with it leaves; none when it leaves no range."""
    if not isinstance(part, Leaf) or part.field.column != column or column not in _INDEXED or None in part.values:
        return ()
    target = tasks.c[column]
    match part.operator:
        case Operator.EQUAL:
            return (target == part.values[0],)
        case Operator.LESS:
            return (target < part.values[0],)
        case Operator.LESS_OR_EQUAL:
            return (target <= part.values[0],)
        case Operator.GREATER:
            return (target > part.values[0],)
        case Operator.GREATER_OR_EQUAL:
            return (target >= part.values[0],)
        case Operator.MATCHES if part.values[0].prefix:
            return (begins_with(target, part.values[0].prefix),)
        case _:
            return ()


def _ids(connection: Connection, account_id: int, leaf: Leaf) -> Select[Any] | None:
    """Return the query for the ids of all that can pass a comparison, if an index answers it."""
    if leaf.field is TAGS and leaf.operator in ONE_OF and None not in leaf.values:
        return select(task_tags.c.task_id).where(task_tags.c.account_id == account_id, task_tags.c.tag.in_(leaf.values))
    column = leaf.field.column
    if column == "uuid" and leaf.operator in ONE_OF and None not in leaf.values:
        # Without statistics SQLite takes an index of the account for better than the unique one: not of a sum.
        mine = tasks.c.account_id + 0 == account_id
        return select(tasks.c.id).where(tasks.c.uuid.in_(leaf.values), mine, tasks.c.deleted_at.is_(None))
    query = select(tasks.c.id).where(tasks.c.account_id == account_id, tasks.c.deleted_at.is_(None))
    if column in ("shortname", *_INDEXED) and leaf.operator in ONE_OF and None not in leaf.values:
        query = query.where(tasks.c[column].in_(leaf.values))
        return _hinted(query, "uq_tasks_account_id_shortname" if column == "shortname" else f"ix_tasks_{column}")
    if column in _INDEXED and is_exact(leaf):
        bounds = _bounds(leaf, column)
        return _hinted(query.where(*bounds), f"ix_tasks_{column}") if bounds else None
    if column in _INDEXED and leaf.operator is Operator.MATCHES and leaf.values[0].prefix:
        return _hinted(query.where(*_bounds(leaf, column)), f"ix_tasks_{column}")
    return None


@dataclass(slots=True)
class _Probing:
    connection: Connection
    account_id: int
    left: int = PROBES

    def few(self, part: Filter) -> set[int] | None:
        """Return the ids of all that can pass, when an index knows that they are few."""
        if isinstance(part, Leaf):
            query = _ids(self.connection, self.account_id, part)
            if query is None or self.left <= 0:
                return None
            self.left -= 1
            found = self.connection.execute(query.limit(FEW + 1)).scalars().all()
            return set(found) if len(found) <= FEW else None
        if part.every:
            known = [few for few in map(self.few, part.parts) if few is not None]
            return min(known, key=len, default=None)
        together: set[int] = set()
        for one in part.parts:
            few = self.few(one)
            if few is None or len(together | few) > FEW:
                return None
            together |= few
        return together


def _few(connection: Connection, account_id: int, parts: Sequence[Filter]) -> set[int] | None:
    return _Probing(connection, account_id).few(Node(True, tuple(parts)))
