"""Many tasks in one answer: pages, searches and whole lists, rendered where they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from hearth.api.filters import Projects, read_filter
from hearth.api.page_tokens import Onward, Question, read_token, write_token
from hearth.api.render_task import Rendering, render_summary, render_task
from hearth.control.keys import SiteKeys
from hearth.domain.errors import Invalid
from hearth.store.queries import task_search, task_view
from hearth.store.queries.task_fields import TAGS
from hearth.store.queries.task_filter import Filter, Leaf, Operator
from hearth.store.queries.task_search import NEWEST_FIRST, Found, Order, Position
from hearth.store.queries.tasks import TaskRow
from hearth_client.messages.pages import Listing, PageRequest, SearchRequest, Select
from hearth_client.messages.tasks import Task, TaskSummary

PAGE: Final = 100
LARGEST_PAGE: Final = 1000
# What an answer that has no pages may hold: clients that want more ask for pages.
WHOLE_LIST: Final = 2000
WHOLE_SUMMARIES: Final = 10_000
# Short pages in a row that such an answer is made of.
WHOLE_PAGES: Final = 20
# Ended instances that all tasks of one answer show together.
INSTANCES_TOGETHER: Final = 20_000

_ORDERS: Final = {"name": "name", "state": "state", "executiontime": "execution_microseconds"}


@dataclass(frozen=True, slots=True)
class _Shown:
    """A field of answers: how it is called there, and here."""

    name: str
    attribute: str
    in_summaries: bool


def _shown_fields() -> dict[str, _Shown]:
    # Of running tasks the execution time of a summary is not the whole one.
    short = {field.name for field in msgspec.structs.fields(TaskSummary)} - {"execution_time"}
    found: dict[str, _Shown] = {}
    for field in msgspec.structs.fields(Task):
        found.setdefault(field.encode_name.lower(), _Shown(field.encode_name, field.name, field.name in short))
    return found


_TASK_FIELDS: Final = _shown_fields()


@dataclass(frozen=True, slots=True)
class Ask:
    """Which tasks, how many, in which order and how much of each."""

    where: Filter | None = None
    limit: int = PAGE
    order: Order = NEWEST_FIRST
    summaries: bool = False
    fields: tuple[_Shown, ...] = ()  # empty: all
    question: Question | None = None  # of pages
    onward: Onward | None = None
    keys: SiteKeys | None = None

    @property
    def after(self) -> Position | None:
        return None if self.onward is None else self.onward.after


@dataclass(frozen=True, slots=True)
class Whole:
    """A list without pages, encoded; `left_off` says that it is not all."""

    body: bytes
    shown: int
    left_off: bool


def projects_of(how: Rendering) -> Projects:
    """Return the projects of who asks, as filters know them."""
    return Projects(how.projects, how.default_project)


def ask_for_page(told: PageRequest, account_id: int, how: Rendering, keys: SiteKeys, *, summaries: bool) -> Ask:
    """Return what a page request asks for."""
    where = read_filter(told.filter, projects_of(how))
    order = _order(told.order_by, told.order_type, where)
    question = Question(account_id, told.filter, order)
    return Ask(
        where=where,
        limit=min(_limit(told.maximum_results, PAGE), LARGEST_PAGE),
        order=order,
        summaries=summaries,
        question=question,
        onward=read_token(keys, question, told.token) if told.token else None,
        keys=keys,
    )


def ask_for_search(told: SearchRequest, how: Rendering) -> Ask:
    """Return what a search asks for."""
    where = read_filter(told.filter, projects_of(how))
    return Ask(
        where=where,
        limit=min(_limit(told.maximum_results, WHOLE_LIST), WHOLE_LIST),
        order=task_search.natural_order(where),
        fields=_fields(told.select),
    )


def ask_for_tags(tags: Sequence[str], *, summaries: bool) -> Ask:
    """Return what a plain list asks for; a comma parts tags, or is part of one."""
    limit = WHOLE_SUMMARIES if summaries else WHOLE_LIST
    if not tags:
        return Ask(limit=limit, summaries=summaries)
    wanted = [part for tag in tags for part in (tag, *(tag.split(",") if "," in tag else ())) if part]
    wanted = [tag for tag in wanted if "\0" not in tag]  # which no tag has, and PostgreSQL does not look for
    leaf = Leaf(TAGS, Operator.IN, tuple(dict.fromkeys(wanted)))
    return Ask(where=leaf, limit=limit, summaries=summaries)


def read_page(connection: Connection, account_id: int, ask: Ask, token: str | None, how: Rendering) -> Listing:
    """Return a page, its data encoded."""
    assert ask.question is not None and ask.keys is not None
    _require_sortable(connection, account_id, ask)
    found = _find(connection, account_id, ask, ask.limit, ask.after, how.now)
    seen = len(found.rows) + (ask.onward.seen if ask.onward is not None else 0)
    return Listing(
        data=msgspec.Raw(_encoded(connection, found.rows, ask, how)),
        count=len(found.rows),
        total=_total(connection, account_id, ask, seen, is_all=found.after is None),
        is_truncated=found.after is not None,
        next_token=None if found.after is None else write_token(ask.keys, ask.question, Onward(found.after, seen)),
        token=token,
    )


def read_whole(connection: Connection, account_id: int, ask: Ask, how: Rendering) -> Whole:
    """Return a list without pages."""
    rows: list[TaskRow] = []
    after: Position | None = None
    for _ in range(WHOLE_PAGES):
        # A page that had to stop short is no end: what has no pages is read on, for a while.
        part = _find(connection, account_id, ask, ask.limit - len(rows), after, how.now)
        rows.extend(part.rows)
        after = part.after
        if after is None or len(rows) >= ask.limit:
            break
    return Whole(_encoded(connection, rows, ask, how), len(rows), after is not None)


def _find(connection: Connection, account_id: int, ask: Ask, limit: int, after: Position | None, now: int) -> Found:
    return task_search.page(connection, account_id, ask.where, limit=limit, after=after, order=ask.order, now=now)


def _require_sortable(connection: Connection, account_id: int, ask: Ask) -> None:
    if ask.order.column != "execution_microseconds":
        return
    have = task_search.count(connection, account_id)
    if have > task_search.SORTABLE:
        raise Invalid(
            "orderBy",
            f"with {have} tasks creationDate, name and state can be sorted by; executionTime up to "
            f"{task_search.SORTABLE} tasks",
        )


def _total(connection: Connection, account_id: int, ask: Ask, seen: int, *, is_all: bool) -> int:
    if ask.where is None:
        return task_search.count(connection, account_id)
    if is_all:
        return seen
    return max(task_search.count_passing(connection, account_id, ask.where) or 0, seen)


def _encoded(connection: Connection, rows: Sequence[TaskRow], ask: Ask, how: Rendering) -> bytes:
    if ask.summaries:
        return msgspec.json.encode([render_summary(row, how) for row in rows])
    if ask.fields and all(field.in_summaries for field in ask.fields):
        return _selected([render_summary(row, how) for row in rows], ask.fields)
    shown = max(1, min(INSTANCES_TOGETHER // max(1, len(rows)), 1000))
    tasks = [render_task(view, how) for view in task_view.views(connection, rows, shown, how.now)]
    return _selected(tasks, ask.fields) if ask.fields else msgspec.json.encode(tasks)


def _selected(tasks: Sequence[TaskSummary], fields: Sequence[_Shown]) -> bytes:
    return msgspec.json.encode([{field.name: getattr(task, field.attribute) for field in fields} for task in tasks])


def _limit(told: int | None, default: int) -> int:
    if told is None:
        return default
    if told < 1:
        raise Invalid("maximumResults", f"{told} is too few: ask for one at least")
    return told


def _order(by: str | None, kind: str | None, where: Filter | None) -> Order:
    if kind and kind.lower() not in ("asc", "desc"):
        raise Invalid("orderType", f"'{kind}' is none of ASC, DESC")
    # The newest come first, unless a column to sort by is named: that is read from A to Z.
    descending = kind.lower() == "desc" if kind else not by
    if not by or by.lower() == "creationdate":
        return task_search.natural_order(where, descending=descending)
    column = _ORDERS.get(by.lower())
    if column is None:
        raise Invalid("orderBy", f"'{by}' is none of creationDate, name, state, executionTime")
    return Order(column, descending)


def _fields(select: Select | list[str] | None) -> tuple[_Shown, ...]:
    told: Any = select.fields if isinstance(select, Select) else select
    wanted: dict[str, _Shown] = {}
    for index, name in enumerate(told or ()):
        known = _TASK_FIELDS.get(str(name).lower())
        if known is None:
            raise Invalid(f"select.fields[{index}]", f"'{name}' is no field of a task")
        wanted[known.name] = known
    return tuple(wanted.values())
