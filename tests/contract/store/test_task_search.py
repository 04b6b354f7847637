"""Searches find what a plain reading of the answers finds, in order, a page at a time, whatever happens meanwhile.

Mutants caught: `<=` for `<` behind a position, the edge of a window left out, a tag's index taken for two tags.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, update

from hearth.api.listing import ask_for_page, projects_of, read_page
from hearth.api.render_task import Rendering
from hearth.control.keys import SiteKeys
from hearth.control.usage import Usages
from hearth.domain.errors import Invalid
from hearth.store.queries import task_search
from hearth.store.tables import tasks
from hearth_client.messages.pages import PageRequest
from tests.contract.store.stored_tasks import (
    MINE,
    NAMES,
    NOW,
    OTHERS,
    PROJECTS,
    SECOND,
    STATES,
    TAGS,
    a_row,
    add,
    add_accounts,
    hide,
    remove,
)

KEYS = SiteKeys("k", {"k": b"k" * 32})
HOW = Rendering(
    now=NOW,
    storage_host="storage.test",
    site_uuid="site",
    usages=Usages(),
    projects=PROJECTS,
    default_project=PROJECTS[1],
    names_advanced_buckets=True,
)
Page = dict[str, Any]


def ask(connection: Connection, **told: Any) -> Page:
    """Return a page as the door answers it."""
    request = PageRequest(**told)
    asked = ask_for_page(request, MINE, HOW, KEYS, summaries=False)
    answer: Page = json.loads(msgspec.json.encode(read_page(connection, MINE, asked, request.token, HOW)))
    return answer


def read_all(connection: Connection, between: Callable[[], None] = lambda: None, **told: Any) -> list[Page]:
    """Return all tasks of all pages; `between` two of them something may happen."""
    found: list[Page] = []
    token = None
    for _ in range(500):
        page = ask(connection, token=token, **told)
        found += page["data"]
        assert page["count"] == len(page["data"]) <= told.get("maximum_results", 100)
        assert page["isTruncated"] is (page["nextToken"] is not None)
        token = page["nextToken"]
        if token is None:
            return found
        between()
    raise AssertionError("the pages have no end")


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(hearth_write=True) as opened:
        with opened.begin() as transaction:
            add_accounts(opened)
            add(opened, [a_row(number) for number in range(1, 61)])
            add(opened, [a_row(number, OTHERS) for number in range(61, 71)])
            for number in (5, 20, 21):
                hide(opened, number)
            yield opened
            transaction.rollback()


@pytest.fixture
def everything(connection: Connection) -> list[Page]:
    """All tasks, the newest first, as they are answered."""
    return read_all(connection)


# --- what passes ---------------------------------------------------------------------------------------------


def _moment(text: str) -> str | None:
    return None if text.startswith("0001") else text.replace("Z", "").ljust(26, ".").replace("..", ".0").ljust(26, "0")


def _span(text: str) -> int:
    days, _, clock = text.rpartition(".") if "." in text else ("", "", text)
    hours, minutes, seconds = map(int, clock.split(":"))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def _pairs(pairs: list[dict[str, str]]) -> list[str]:
    return [f"{pair['key']}={pair['value']}" for pair in pairs]


def _value_of(pairs: list[dict[str, str]], key: str) -> str | None:
    return {pair["key"]: pair["value"] for pair in pairs}.get(key)


_texts = [*NAMES, "out", "results", "day/", "fast", "docker-batch", "red", "run", "[SECRET]", "hunter2", "north", "b|c"]
_dates = [f"2026-05-01T12:00:{second:02}{fraction}Z" for second in (0, 3, 9, 15) for fraction in ("", ".142857")]
_patterns = [
    "a",
    "^a",
    "^a$",
    "^ab?c*$",
    "[a-c]{2}",
    "b|z",
    "^zz-",
    "-[12]$",
    r"\[",
    "%",
    "^.$",
    "",
    "(?i)^B",
    "ä",
    "run",
]


def field(name: str, kind: str, values: list[Any], read: Callable[[Page], Any] | None = None) -> tuple[Any, ...]:
    key = name[:1].lower() + name[1:]
    return name, kind, values, read or (lambda task: task[key])


FIELDS = [
    field("Uuid", "text", [a_row(number)["uuid"] for number in (1, 5, 30, 61)]),
    field("Name", "text", list(NAMES)),
    field("Shortname", "text", ["short-1", "short-30", "short-6"]),
    field("Profile", "text", ["docker-batch", "docker-network"]),
    field("State", "text", list(STATES)),
    field("PreviousState", "text", ["Submitted", "FullyExecuting"]),
    field("Tags", "list", list(TAGS)),
    field("CreationDate", "date", _dates, lambda task: _moment(task["creationDate"])),
    field("EndDate", "date", _dates, lambda task: _moment(task["endDate"])),
    field("LastModified", "date", _dates, lambda task: _moment(task["lastModified"])),
    field("StateTransitionTime", "date", _dates, lambda task: _moment(task["stateTransitionTime"])),
    field("PreviousStateTransitionTime", "date", _dates, lambda task: _moment(task["previousStateTransitionTime"])),
    field("InstanceCount", "number", [0, 1, 2.5, 3, "2"]),
    field("RunningInstanceCount", "number", [0, 1, 3]),
    field("RunningCoreCount", "number", [0, 1, 2, 4]),
    field("Progress", "number", [0, 100.0]),
    field("ExecutionTime", "span", ["00:00:00", "00:00:01", "00:00:00.5"], lambda one: _span(one["executionTime"])),
    field("WallTime", "span", ["00:00:01", "00:00:08", "02:46:00"], lambda task: _span(task["wallTime"])),
    field("MaxTimeQueueSeconds", "number", [60, 3600]),
    field("PoolUuid", "text", ["p"]),
    field("ProjectUuid", "text", list(PROJECTS.values())),
    field("ResultBucket", "text", ["out", "results"]),
    field("ResultsBucketPrefix", "text", ["day/"]),
    field("ResultsWhitelist", "text", ["[.]txt$"]),
    field("ResultsCount", "number", [0, 1, 1.5]),
    field("SnapshotBucket", "text", ["out"]),
    field("SnapshotInterval", "number", [0, 60]),
    field("Dependencies.DependsOn", "list", ["d1", "d2"], lambda task: task["dependencies"]["dependsOn"]),
    field("ResourceBuckets", "list", ["in", "more"]),
    field("Constants", "list", ["CMD=run", "QARNOT_SECRET__KEY=hunter2"], lambda task: _pairs(task["constants"])),
    field("Constants.CMD", "text", ["run", "walk"], lambda task: _value_of(task["constants"], "CMD")),
    field(
        "constants.QARNOT_SECRET__KEY",
        "text",
        ["run", "[SECRET]"],
        lambda task: _value_of(task["constants"], "QARNOT_SECRET__KEY"),
    ),
    field("Constraints.zone", "text", ["north"], lambda task: _value_of(task["constraints"], "zone")),
    field("Labels", "list", ["team=red", "Empty="], lambda task: [f"{k}={v}" for k, v in task["labels"].items()]),
    field("Labels.team", "text", ["red", "blue"], lambda task: task["labels"].get("team")),
    field("Labels.empty", "text", [""], lambda task: task["labels"].get("empty")),
    field("RetrySettings.MaxTotalRetries", "number", [0, 3], lambda task: task["retrySettings"]["maxTotalRetries"]),
    field("MaxRetriesPerInstance", "number", [2]),
    field("UploadResultsOnCancellation", "flag", [True, False]),
    field(
        "Privileges.ExportApiAndStorageCredentialsInEnvironment",
        "flag",
        [True, False],
        lambda task: task["privileges"]["exportApiAndStorageCredentialsInEnvironment"],
    ),
    field(
        "HardwareConstraints",
        "list",
        ["GpuHardwareConstraint"],
        lambda task: [one["discriminator"] for one in task["hardwareConstraints"]],
    ),
    field("DefaultResourcesCacheTTLSec", "number", [7, 8]),
    field("SchedulingType", "text", ["flex", "onDemand", "reserved"]),
    field("TargetedReservationName", "text", ["fast"]),
    field("Priority", "number", [-1, 0, 1]),
]
READ = {name: (kind, read) for name, kind, _, read in FIELDS}


@st.composite
def comparisons(draw: st.DrawFn) -> dict[str, Any]:
    name, kind, values, _ = draw(st.sampled_from(FIELDS))
    operators = ["Equal", "NotEqual", "In", "NotIn"]
    if kind in ("text", "list"):
        operators.append("Like")
    if kind not in ("list", "flag"):
        operators += ["LessThan", "LessThanOrEqual", "GreaterThan", "GreaterThanOrEqual"]
    operator = draw(st.sampled_from(operators))
    known = st.sampled_from([*values, *_texts] if kind in ("text", "list") else values)
    if operator in ("In", "NotIn"):
        several = draw(st.lists(known | st.none(), max_size=4))
        return {"operator": operator, "field": name, draw(st.sampled_from(["values", "value"])): several}
    if operator == "Like":
        return {"operator": operator, "field": name, "value": draw(st.sampled_from(_patterns))}
    value = draw(known | st.none() if operator in ("Equal", "NotEqual") else known)
    return {"operator": operator, "field": name, "value": value}


filters = st.recursive(
    comparisons(),
    lambda inner: st.builds(
        lambda operator, parts: {"operator": operator, "filters": parts},
        st.sampled_from(["And", "Or"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=6,
)


def passes(told: dict[str, Any], task: Page) -> bool:
    """Answer by a plain reading of the task as it is answered."""
    operator = told["operator"]
    if "filters" in told:
        return (all if operator == "And" else any)(passes(part, task) for part in told["filters"])
    kind, read = READ[told["field"]]
    have = read(task)
    given = told.get("values", told.get("value"))
    if operator == "Like":
        texts: list[str] = have if kind == "list" else [] if have is None else [have]
        return any(re.search(str(given), text) for text in texts)
    values = [_read_value(kind, value) for value in (given if operator in ("In", "NotIn") else [given])]  # type: ignore[union-attr]
    if operator in ("Equal", "In", "NotEqual", "NotIn"):
        members = (have or [None]) if kind == "list" else [have]
        return any(value in values for value in members) is (operator in ("Equal", "In"))
    if have is None:
        return False
    [bound] = values
    result: bool = {
        "LessThan": have < bound,
        "LessThanOrEqual": have <= bound,
        "GreaterThan": have > bound,
        "GreaterThanOrEqual": have >= bound,
    }[operator]
    return result


def _read_value(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "date":
        return _moment(value)
    if kind == "span":
        return 0.5 if value.endswith(".5") else _span(value)
    return float(value) if kind == "number" else value


@pytest.fixture(params=[(10_000, 4000, 2000), (7, 5, 3), (3, 2, 0)], ids=["wide", "narrow", "tiny"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let searches stop and choose where only large ones do."""
    for name, value in zip(("WINDOW", "CHECKED", "FEW"), request.param, strict=True):
        monkeypatch.setattr(task_search, name, value)
    monkeypatch.setattr(task_search, "_BATCH", 4)


@pytest.mark.usefixtures("small")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    told=filters,
    limit=st.integers(1, 30),
    by=st.sampled_from([None, "creationDate", "name", "state", "executionTime"]),
    kind=st.sampled_from([None, "ASC", "DESC"]),
)
def test_every_filter_passes_what_a_plain_reading_passes(
    connection: Connection, everything: list[Page], told: dict[str, Any], limit: int, by: str | None, kind: str | None
) -> None:
    assert [task["uuid"][:8] for task in everything] == [f"{n:08x}" for n in range(60, 0, -1) if n not in (5, 20, 21)]
    wanted = [task for task in everything if passes(told, task)]
    found = read_all(connection, filter=told, maximum_results=limit, order_by=by, order_type=kind)
    assert [task["uuid"] for task in found] == [task["uuid"] for task in _sorted(wanted, by, kind)]


def _sorted(newest_first: list[Page], by: str | None, kind: str | None) -> list[Page]:
    descending = kind == "DESC" if kind else by is None
    key: dict[str | None, Callable[[Page], Any]] = {
        "name": lambda task: task["name"].encode(),
        "state": lambda task: task["state"],
        # What is shown is cut to seconds; the rows know more.
        "executionTime": lambda task: a_row(int(task["uuid"][:8], 16))["execution_microseconds"],
    }
    order, oldest_first = key.get(by, lambda task: 0), newest_first[::-1]
    return sorted(newest_first, key=order, reverse=True) if descending else sorted(oldest_first, key=order)


# --- what happens meanwhile ----------------------------------------------------------------------------------

_events = st.lists(
    st.tuples(st.sampled_from(["add", "hide", "remove", "end", "wait"]), st.integers(0, 59)), max_size=25
)
_questions = st.sampled_from(
    [
        {},
        {"order_type": "ASC"},
        {"order_by": "name"},
        {"order_by": "name", "order_type": "DESC"},
        {"filter": {"operator": "In", "field": "Tags", "values": ["x", "y"]}},
        {"filter": {"operator": "Like", "field": "Name", "value": "^a"}},
        {"filter": {"operator": "GreaterThan", "field": "CreationDate", "value": "2026-05-01T12:00:02Z"}},
        {"filter": {"operator": "NotEqual", "field": "Labels.team", "value": "red"}},
        {"filter": {"operator": "Equal", "field": "Profile", "value": "docker-batch"}},
        {"filter": {"operator": "Equal", "field": "State", "value": "Success"}},
    ]
)


@pytest.mark.usefixtures("small")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=_questions, limit=st.integers(1, 7), events=_events)
def test_pages_have_each_task_once_whatever_happens_between_them(
    connection: Connection, told: dict[str, Any], limit: int, events: list[tuple[str, int]]
) -> None:
    """Tasks that pass all the while are in the pages once; others at most once."""
    where = told.get("filter")
    savepoint = connection.begin_nested()
    try:
        before = {task["uuid"]: task for task in read_all(connection)}
        stays = {uuid for uuid, task in before.items() if where is None or passes(where, task)}
        left = list(events)
        new = iter(range(1000, 2000))

        def between() -> None:
            if not left:
                return
            what, number = left.pop(0)
            uuid = a_row(number + 1)["uuid"]
            if what == "add":
                add(connection, [a_row(next(new))])
                return
            if uuid not in before:
                return
            if what in ("hide", "remove"):
                (hide if what == "hide" else remove)(connection, number + 1)
                stays.discard(uuid)
            elif what == "end":
                changed = {"state": "Success", "ended_at": NOW, "execution_microseconds": SECOND}
                connection.execute(update(tasks).where(tasks.c.id == number + 1).values(changed))
                if where is not None and where["field"] == "State" and before[uuid]["state"] != "Success":
                    stays.discard(uuid)

        found = [task["uuid"] for task in read_all(connection, between, maximum_results=limit, **told)]
        assert len(found) == len(set(found))
        assert stays <= set(found)
    finally:
        savepoint.rollback()


def test_totals_are_exact_where_an_index_or_a_counter_knows(connection: Connection, everything: list[Page]) -> None:
    def total(**where: Any) -> int:
        answer: int = ask(connection, filter=where or None, maximum_results=2)["total"]
        return answer

    assert total() == 0  # the account's counter, which commands write and these rows did not
    assert total(operator="Equal", field="State", value="Success") == sum(t["state"] == "Success" for t in everything)
    assert total(operator="Like", field="Name", value="^a") == sum(t["name"].startswith("a") for t in everything)
    assert total(operator="Equal", field="Tags", value="x") == sum("x" in t["tags"] for t in everything)
    profile = {"operator": "Equal", "field": "Profile", "value": "docker-batch"}
    assert total(**profile) == 2  # those that are known so far
    assert ask(connection, filter=profile)["total"] == len(read_all(connection, filter=profile))


@given(st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_token_that_was_changed_is_refused(connection: Connection, data: st.DataObject) -> None:
    token = ask(connection, maximum_results=3)["nextToken"]
    at = data.draw(st.integers(0, len(token) - 1))
    char = data.draw(st.sampled_from("ABCxyz019_-"))
    forged = data.draw(st.sampled_from([token[:at] + char + token[at + 1 :], token[:at], token + char, char * 40]))
    assume(forged and forged != token)
    with pytest.raises(Invalid, match="token: is not the nextToken of a page") as refused:
        ask(connection, maximum_results=3, token=forged)
    assert refused.value.field == "token"


def test_projects_of_the_caller_are_known_by_their_uuid() -> None:
    assert projects_of(HOW).uuids == PROJECTS
