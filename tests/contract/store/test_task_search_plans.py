"""Common searches are answered along an index, and sort nothing: asked of the databases themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, insert, text

from hearth.domain.pattern import Pattern
from hearth.store.queries import task_search
from hearth.store.queries.task_fields import FIELDS, TAGS
from hearth.store.queries.task_filter import Filter, Leaf, Node, Operator
from hearth.store.queries.task_search import Order, Position
from hearth.store.tables import task_tags, tasks
from tests.contract.store.stored_tasks import BEGIN, MINE, OTHERS, SECOND, a_row, add_accounts

COUNT = 3000


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(hearth_write=True) as opened, opened.begin() as transaction:
        add_accounts(opened)
        whose = {number: MINE if number % 25 == 0 else OTHERS for number in range(1, COUNT)}
        rows = [{**a_row(n, account), "name": f"job-{n % 50}-{n}"} for n, account in whose.items()]
        opened.execute(insert(tasks), rows)
        tags = [{"account_id": account, "tag": f"t{n // 25 % 7}", "task_id": n} for n, account in whose.items()]
        opened.execute(insert(task_tags), tags)
        if opened.dialect.name == "postgresql":
            opened.execute(text("ANALYZE tasks"))
            opened.execute(text("ANALYZE task_tags"))
            # Of so few rows a scan would be cheaper: what counts is whether there is another way.
            for way in ("seqscan", "sort", "bitmapscan"):
                opened.execute(text(f"SET LOCAL enable_{way} = off"))
        yield opened
        transaction.rollback()


def where(field: str, operator: Operator, *values: Any) -> Leaf:
    return Leaf(FIELDS[field.lower()], operator, values)


def tagged(*tags: str) -> Leaf:
    return Leaf(TAGS, Operator.IN, tags)


def beginning(prefix: str) -> Leaf:
    return where("name", Operator.MATCHES, Pattern(f"^{prefix}"))


DATES = Node(
    True,
    (
        where("creationDate", Operator.GREATER_OR_EQUAL, BEGIN + 100 * SECOND),
        where("creationDate", Operator.LESS, BEGIN + 900 * SECOND),
    ),
)
UUIDS = [a_row(number)["uuid"] for number in range(25, 500, 50)]

# What is asked, in which order, and the index that the page is read by.
QUESTIONS: dict[str, tuple[Filter | None, Order, str]] = {
    "the newest": (None, Order(), "ix_tasks_account_id_id"),
    "the oldest": (None, Order("id", descending=False), "ix_tasks_account_id_id"),
    "by name": (None, Order("name", descending=False), "ix_tasks_name"),
    "by state": (None, Order("state"), "ix_tasks_state"),
    "a tag": (tagged("t1"), Order(), "pk_task_tags"),
    "any of some tags": (Node(False, (tagged("t1"), tagged("t2"))), Order(), "pk_task_tags"),
    "two tags": (Node(True, (tagged("t1"), tagged("t2"))), Order(), "pk_task_tags"),
    "a state": (where("state", Operator.EQUAL, "Success"), Order(), "ix_tasks_state"),
    "some states": (where("state", Operator.IN, "Failure", "Submitted"), Order(), "ix_tasks_state"),
    "a name": (where("name", Operator.EQUAL, "job-3-3"), Order(), "ix_tasks_name"),
    "the beginning of a name": (beginning("job-25-"), Order(), "ix_tasks_name"),
    "the beginning of a name, by name": (beginning("job-2"), Order("name"), "ix_tasks_name"),
    "a shortname": (where("shortname", Operator.EQUAL, "short-3"), Order(), "uq_tasks_account_id_shortname"),
    "some uuids": (where("uuid", Operator.IN, *UUIDS), Order(), "uq_tasks_uuid"),
    "dates": (DATES, Order("created_at"), "ix_tasks_created_at"),
    "a state and a tag": (
        Node(True, (where("state", Operator.EQUAL, "Failure"), tagged("t1"))),
        Order(),
        "ix_tasks_state",
    ),
    "nothing with an index": (where("profile", Operator.EQUAL, "x"), Order(), "ix_tasks_account_id_id"),
}


@pytest.mark.parametrize("few", [0, 2000], ids=["many", "few"])
def test_pages_are_read_along_an_index(connection: Connection, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_search, "FEW", few)
    wrong = {}
    for name, (asked, order, index) in QUESTIONS.items():
        if few == 0 and index in _UNIQUE:
            continue  # a filter has not as many values as there are few tasks
        if few == 0 and name == "the beginning of a name":
            index = "ix_tasks_account_id_id"  # of very many the newest are wanted
        told = _told(connection, asked, order)
        if not any(known in told for known in (index, *_ALSO.get(index, ()))) or any(bad in told for bad in _BAD):
            wrong[name] = told
    assert not wrong, "\n\n".join(f"{name}:\n{told}" for name, told in wrong.items())


_UNIQUE = ("uq_tasks_uuid", "uq_tasks_account_id_shortname")
_ALSO = {  # names that SQLite gives
    "uq_tasks_uuid": ("sqlite_autoindex_tasks_1",),
    "pk_task_tags": ("task_tags USING PRIMARY KEY",),
}
_BAD = ("TEMP B-TREE", "SCAN tasks", "SCAN task_tags", "Seq Scan", "Sort Key")


def _told(connection: Connection, asked: Filter | None, order: Order) -> str:
    """Return how the first page is read, and one in the middle."""
    values = {"id": None, "name": "job-25-5", "state": "Submitted", "created_at": BEGIN + 500 * SECOND}
    plans: list[str] = []
    for begin in (None, Position(COUNT // 2, values[order.column])):
        with _explained(connection, plans):
            task_search.page(connection, MINE, asked, limit=50, order=order, after=begin)
    return "\n".join(plans)


def test_summaries_ask_the_same(connection: Connection) -> None:
    """One statement for the ids and one for the rows: what is shown of them is asked for later, or not at all."""
    plans: list[str] = []
    with _explained(connection, plans):
        found = task_search.page(connection, MINE, None, limit=50)
    assert (len(found.rows), len(plans)) == (50, 2)


@contextmanager
def _explained(connection: Connection, plans: list[str]) -> Iterator[None]:
    """Note how the database reads each SELECT."""
    explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "

    def note(_: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        if statement.startswith("SELECT"):
            driver = connection.connection.driver_connection
            assert driver is not None
            rows = driver.execute(explain + statement, parameters).fetchall()
            plans.append("\n".join([statement[-300:], *(str(row[-1]) for row in rows)]))

    event.listen(connection, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", note)
