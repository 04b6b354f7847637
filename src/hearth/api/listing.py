"""Many tasks in one answer: pages, searches and whole lists, rendered where they are read."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from hearth.api.filters import read_filter
from hearth.api.render_task import Rendering, render_summary, render_task
from hearth.domain.errors import Invalid
from hearth.store.queries import task_search, task_view
from hearth.store.queries.task_search import NEWEST_FIRST, Filter, Found, Order, Position
from hearth.store.queries.tasks import TaskRow
from hearth_client.messages.pages import Listing, PageRequest, SearchRequest, Select
from hearth_client.messages.tasks import Task

PAGE: Final = 100
LARGEST_PAGE: Final = 1000
# What an answer that has no pages may hold: clients that want more ask for pages.
WHOLE_LIST: Final = 2000
WHOLE_SUMMARIES: Final = 10_000
# Ended instances that all tasks of one answer show together.
INSTANCES_TOGETHER: Final = 20_000

_ORDERS: Final = {
    "creationdate": "id",
    "name": "name",
    "state": "state",
    "executiontime": "execution_microseconds",
}
_TASK_FIELDS: Final = {f.encode_name.lower(): f.encode_name for f in msgspec.structs.fields(Task)}


@dataclass(frozen=True, slots=True)
class Ask:
    """Which tasks, how many, in which order and how much of each."""

    where: Filter | None = None
    limit: int = PAGE
    after: Position | None = None
    order: Order = NEWEST_FIRST
    summaries: bool = False
    fields: tuple[str, ...] = ()  # empty: all


@dataclass(frozen=True, slots=True)
class Whole:
    """A list without pages, encoded; `left_off` says that it is not all."""

    body: bytes
    shown: int
    left_off: bool


class _Token(msgspec.Struct, array_like=True):
    column: str
    descending: bool
    id: int
    value: str | int | float | None


def ask_for_page(told: PageRequest, *, summaries: bool) -> Ask:
    """Return what a page request asks for."""
    order = _order(told.order_by, told.order_type)
    return Ask(
        where=read_filter(told.filter),
        limit=min(_limit(told.maximum_results, PAGE), LARGEST_PAGE),
        after=_position(told.token, order) if told.token else None,
        order=order,
        summaries=summaries,
    )


def ask_for_search(told: SearchRequest) -> Ask:
    """Return what a search asks for."""
    return Ask(
        where=read_filter(told.filter),
        limit=min(_limit(told.maximum_results, WHOLE_LIST), WHOLE_LIST),
        fields=_fields(told.select),
    )


def ask_for_tags(tags: Sequence[str], *, summaries: bool) -> Ask:
    """Return what a plain list asks for; a comma parts tags, or is part of one."""
    limit = WHOLE_SUMMARIES if summaries else WHOLE_LIST
    if not tags:
        return Ask(limit=limit, summaries=summaries)
    wanted = [part for tag in tags for part in (tag, *(tag.split(",") if "," in tag else ())) if part]
    leaf = task_search.Leaf(task_search.Special.TAGS, task_search.Operator.IN, tuple(dict.fromkeys(wanted)))
    return Ask(where=leaf, limit=limit, summaries=summaries)


def read_page(connection: Connection, account_id: int, ask: Ask, token: str | None, how: Rendering) -> Listing:
    """Return a page, its data encoded."""
    if ask.order.column != "id":
        have = task_search.count(connection, account_id)
        if have > task_search.SORTABLE:
            raise Invalid(
                "orderBy", f"with {have} tasks only creationDate can be sorted by; up to {task_search.SORTABLE} all can"
            )
    found = _find(connection, account_id, ask)
    return Listing(
        data=msgspec.Raw(_encoded(connection, found.rows, ask, how)),
        count=len(found.rows),
        total=_total(connection, account_id, ask, found),
        is_truncated=found.after is not None,
        next_token=None if found.after is None else _token(found.after, ask.order),
        token=token,
    )


def read_whole(connection: Connection, account_id: int, ask: Ask, how: Rendering) -> Whole:
    """Return a list without pages."""
    rows: list[TaskRow] = []
    after = ask.after
    while True:
        # A page that had to stop short is no end: what has no pages is read through.
        part = task_search.page(
            connection, account_id, ask.where, limit=ask.limit - len(rows), after=after, order=ask.order
        )
        rows.extend(part.rows)
        after = part.after
        if after is None or len(rows) >= ask.limit:
            break
    return Whole(_encoded(connection, rows, ask, how), len(rows), after is not None)


def _find(connection: Connection, account_id: int, ask: Ask) -> Found:
    return task_search.page(connection, account_id, ask.where, limit=ask.limit, after=ask.after, order=ask.order)


def _total(connection: Connection, account_id: int, ask: Ask, found: Found) -> int:
    if ask.where is None:
        return task_search.count(connection, account_id)
    if ask.after is None and found.after is None:
        return len(found.rows)
    return max(task_search.count_passing(connection, account_id, ask.where), len(found.rows))


def _encoded(connection: Connection, rows: Sequence[TaskRow], ask: Ask, how: Rendering) -> bytes:
    if ask.summaries:
        return msgspec.json.encode([render_summary(row, how) for row in rows])
    shown = max(1, min(INSTANCES_TOGETHER // max(1, len(rows)), 1000))
    tasks = [render_task(view, how) for view in task_view.views(connection, rows, shown)]
    if not ask.fields:
        return msgspec.json.encode(tasks)
    wanted = set(ask.fields)
    plain = msgspec.to_builtins(tasks)
    return msgspec.json.encode([{name: task[name] for name in task if name in wanted} for task in plain])


def _limit(told: int | None, default: int) -> int:
    if told is None:
        return default
    if told < 1:
        raise Invalid("maximumResults", f"{told} is too few: ask for one at least")
    return told


def _order(by: str | None, kind: str | None) -> Order:
    column = "id" if not by else _ORDERS.get(by.lower())
    if column is None:
        raise Invalid("orderBy", f"'{by}' is none of creationDate, name, state, executionTime")
    if kind and kind.lower() not in ("asc", "desc"):
        raise Invalid("orderType", f"'{kind}' is none of ASC, DESC")
    # The newest come first, unless a column to sort by is named: that is read from A to Z.
    descending = kind.lower() == "desc" if kind else not by
    return Order(column, descending)


def _token(position: Position, order: Order) -> str:
    token = _Token(order.column, order.descending, position.id, position.value)
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _position(text: str, order: Order) -> Position:
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        token = msgspec.json.decode(packed, type=_Token)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise Invalid("token", "is not the nextToken of a page") from None
    if (token.column, token.descending) != (order.column, order.descending):
        raise Invalid("token", "is of a page that was sorted otherwise")
    if not -(1 << 63) <= token.id < 1 << 63:
        raise Invalid("token", "is not the nextToken of a page")
    return Position(token.id, token.value)


def _fields(select: Select | list[str] | None) -> tuple[str, ...]:
    told: Any = select.fields if isinstance(select, Select) else select
    wanted = []
    for index, name in enumerate(told or ()):
        known = _TASK_FIELDS.get(str(name).lower())
        if known is None:
            raise Invalid(f"select.fields[{index}]", f"'{name}' is no field of a task")
        wanted.append(known)
    return tuple(wanted)
