"""The history checker catches lies: a true story has nothing to say, and each tampering breaks its law."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hearth.domain.instance import InstanceState as S
from hearth.domain.ranges import EMPTY, RangeSet
from tests.history import LAWS
from tests.history.evidence import Key, Ran, read_evidence
from tests.history.laws import Story, check
from tests.history.record import Completed, Exchange, Shown, TaskShown
from tests.history.truth import Row, Truth

SECOND = 1_000_000
ME, YOU = "me@example.org", "you@example.org"
MINE, YOURS, UNKNOWN = (f"00000000-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))


@dataclass
class Tale:
    """A story that a test may change: one task of two instances, the second of which needed a second attempt."""

    exchanges: list[Exchange] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    ran: dict[Key, Ran] = field(default_factory=dict)
    tasks: dict[str, Row] = field(default_factory=dict)
    instances: dict[tuple[int, int], Row] = field(default_factory=dict)
    attempts: dict[Key, Row] = field(default_factory=dict)
    limits: dict[str, Row] = field(default_factory=lambda: {ME: {"max_instances": 2, "max_tasks": 2}, YOU: {}})

    def story(self) -> Story:
        truth = Truth(self.tasks, self.instances, self.attempts, self.limits, {1: ME, 2: YOU})
        return Story(self.exchanges, self.shown, self.ran, truth)

    def broken(self) -> set[str]:
        """Return the laws that are broken."""
        return {sentence.partition(":")[0].removeprefix("law ") for sentence in check(self.story())}

    def asks(self, method: str, path: str, at: float, told: Any = None, **more: Any) -> Exchange:
        """Add a request that was answered after a tenth of a second."""
        sent = int(at * SECOND)
        exchange = Exchange(more.pop("account", ME), method, path, sent, heard=sent + SECOND // 10, status=200)
        exchange.told = told
        for name, value in more.items():
            setattr(exchange, name, value)
        self.exchanges.append(exchange)
        return exchange

    def sees(self, at: float, state: str, **more: Any) -> Exchange:
        """Add an answer to GET /tasks/{uuid}."""
        ends = {name: RangeSet.parse(more.pop(name, "")) for name in ("succeeded", "failed", "cancelled")}
        ended = sum(map(len, ends.values()))
        view = TaskShown(
            uuid=MINE,
            state=state,
            numbers=RangeSet.count(2),
            end_date="then" if state in ("Success", "Failure", "Cancelled") else None,
            progress=50.0 * ended,
            executed=ends["succeeded"] | ends["failed"] | ends["cancelled"],
            not_well=ends["failed"] | ends["cancelled"],
            started=more.pop("started", ends["succeeded"]),
            **ends,
        )
        return self.asks("GET", f"/tasks/{MINE}", at, replace(view, **more))

    def view(self, exchange: Exchange, **changes: Any) -> None:
        """Change what an answer said."""
        exchange.told = replace(exchange.told, **changes)


def a_row(**more: Any) -> Row:
    row = {"error_code": None, "exit_code": 0, "failures": 0, "losses": 0, "state": S.SUCCEEDED, "attempt": 1}
    return {**row, **more}


def a_task(uuid: str, number: int, account: int, **more: Any) -> Row:
    row = {
        "id": number,
        "uuid": uuid,
        "account_id": account,
        "state": "Success",
        "numbers": "0-1",
        "succeeded": "0-1",
        "failed": "",
        "cancelled": "",
        "retries": 1,
        "retry_total": None,
        "retry_per_instance": 1,
        "cancel_requested_at": None,
        "deleted_at": None,
    }
    return {**row, **more}


@pytest.fixture
def tale() -> Tale:
    """What happened, truly: instance 1 failed once, and was tried again."""
    tale = Tale()
    tale.asks("POST", "/tasks", 1, {"uuid": MINE}, body={"name": "mine"}, key="once", mentions=frozenset({MINE}))
    tale.sees(2, "Submitted")
    tale.asks("POST", f"/tasks/{MINE}/stdout", 3.5, "0> a\n")
    tale.sees(4, "PartiallyExecuting", succeeded="0", completed=((0, Completed("Success", 1, ("r-0",))),))
    tale.asks("GET", f"/tasks/{MINE}/stdout", 4.5, "0> a\n1> b\n")
    tale.sees(
        7, "Success", succeeded="0-1", completed=((0, Completed("Success", 1, ("r-0",))), (1, Completed("Success", 2)))
    )
    tale.asks("POST", f"/tasks/{MINE}/stdout", 8, "1> b\n1> b\n")
    tale.asks("GET", f"/tasks/{MINE}/stdout", 8.5, "0> a\n1> b\n1> b\n")
    tale.asks("POST", f"/tasks/{MINE}/stdout", 9, "")
    tale.asks("POST", "/tasks", 9, {"uuid": YOURS}, account=YOU, body={"name": "yours"}, mentions=frozenset({YOURS}))
    tale.asks("GET", f"/tasks/{YOURS}", 9.3, "no such task", status=404)
    tale.shown.append(Shown(ME, "results", 8 * SECOND, 9 * SECOND, {"r-0": "run 1.0.1\n", "r-1": "run 1.1.2\n"}))
    tale.ran = {
        (1, 0, 1): Ran(2 * SECOND, 3 * SECOND, 3 * SECOND, 0),
        (1, 1, 1): Ran(2 * SECOND, 4 * SECOND, 4 * SECOND, 7),
        (1, 1, 2): Ran(5 * SECOND, 6 * SECOND, 6 * SECOND, 0),
    }
    tale.tasks = {MINE: a_task(MINE, 1, 1), YOURS: a_task(YOURS, 2, 2, retries=0)}
    times = {"started_at": 2 * SECOND, "exited_at": 3 * SECOND, "ended_at": 3 * SECOND}
    later = {"started_at": 5 * SECOND, "exited_at": 6 * SECOND, "ended_at": 6 * SECOND}
    tale.instances = {(1, 0): a_row(**times), (1, 1): a_row(attempt=2, failures=1, **later)}
    tale.attempts = {(1, 1, 1): {"error_code": "EXIT_CODE", "exit_code": 7}}
    return tale


def test_a_true_story_has_no_contradictions(tale: Tale):
    assert check(tale.story()) == []


Lie = Callable[[Tale], Any]


def last_view(tale: Tale) -> Exchange:
    return [exchange for exchange in tale.exchanges if isinstance(exchange.told, TaskShown)][-1]


def ended_as(tale: Tale, *, code: int | None, told: str = "EXIT_CODE") -> None:
    """Make the first instance one that failed, although its evidence says otherwise."""
    tale.instances[(1, 0)].update(state=S.FAILED, error_code=told, exit_code=code, failures=1)
    tale.tasks[MINE].update(retry_per_instance=None)


def cancelled(tale: Tale) -> None:
    """Let the first instance write after somebody heard of its end."""
    tale.ran[(1, 0, 1)] = replace(tale.ran[(1, 0, 1)], last=8 * SECOND, end=None)


ONE, TWO, THREE = "1 acknowledged requests survive", "2 every instance ends or says why", "3 one attempt is published"
FOUR, FIVE, SIX = "4 losses cost no retries", "5 an end is final", "6 states match counts"
EIGHT, NINE, TEN = "8 shown output stays", "9 nobody sees what is another's", "10 quotas hold"

LIES: list[tuple[str, str, Lie]] = [
    (ONE, "a task is forgotten", lambda t: t.tasks.pop(MINE)),
    (ONE, "a task is gone for a while", lambda t: t.asks("GET", f"/tasks/{MINE}", 5, status=404)),
    (ONE, "one request makes two tasks", lambda t: t.asks("POST", "/tasks", 6, {"uuid": UNKNOWN}, key="once")),
    (
        ONE,
        "a cancel is forgotten",
        lambda t: (t.asks("POST", f"/tasks/{MINE}/abort", 6), t.tasks[MINE].update(state="Submitted")),
    ),
    (TWO, "an instance never ends", lambda t: t.tasks[MINE].update(succeeded="0")),
    (TWO, "an instance ends twice", lambda t: t.tasks[MINE].update(failed="1")),
    (TWO, "an instance that never was", lambda t: t.tasks[MINE].update(succeeded="0-2")),
    (THREE, "a success that did not run", lambda t: t.ran.pop((1, 1, 2))),
    (THREE, "a success that did not end", lambda t: t.ran.update({(1, 1, 2): Ran(5 * SECOND, 6 * SECOND)})),
    (THREE, "a success that failed", lambda t: t.ran.update({(1, 1, 2): replace(t.ran[(1, 1, 2)], exit_code=1)})),
    (THREE, "results of a late attempt", lambda t: t.shown.append(Shown(ME, "results", 1, 2, {"r-1": "run 1.1.1"}))),
    (THREE, "results before the end", lambda t: t.instances[(1, 1)].update(state=S.RUNNING)),
    (THREE, "times of another attempt", lambda t: t.instances[(1, 1)].update(started_at=2, exited_at=4 * SECOND)),
    (THREE, "one attempt started twice", lambda t: t.ran.update({(1, 1, 2): replace(t.ran[(1, 1, 2)], begins=2)})),
    (THREE, "an instance listed twice", lambda t: t.view(last_view(t), completed=last_view(t).told.completed * 2)),
    (FOUR, "a loss told as a failure", lambda t: t.ran.update({(1, 1, 1): Ran(2 * SECOND, 3 * SECOND)})),
    (FOUR, "a kill told as a failure", lambda t: ended_as(t, code=137)),
    (FOUR, "a loss that counts", lambda t: t.attempts[(1, 1, 1)].update(error_code="NODE_LOST")),
    (FOUR, "a failure that does not count", lambda t: t.instances[(1, 1)].update(failures=0)),
    (FOUR, "a retry that nobody counted", lambda t: t.tasks[MINE].update(retries=0)),
    (
        FOUR,
        "given up too early",
        lambda t: (
            t.instances[(1, 1)].update(state=S.FAILED, error_code="EXIT_CODE", exit_code=0, failures=2),
            t.tasks[MINE].update(retry_per_instance=2),
        ),
    ),
    (FIVE, "another end later", lambda t: t.sees(10, "Failure", succeeded="0", failed="1")),
    (FIVE, "no end later", lambda t: t.sees(10, "PartiallyExecuting", succeeded="0")),
    (
        FIVE,
        "another date of the end",
        lambda t: t.view(t.sees(10, "Success", succeeded="0-1"), end_date="another time"),
    ),
    (FIVE, "an end that changed", lambda t: t.view(last_view(t), completed=((0, Completed("Failure", 1)),))),
    (FIVE, "something runs on", cancelled),
    (FIVE, "two attempts at once", lambda t: t.ran.update({(1, 1, 1): Ran(2 * SECOND, 5 * SECOND + 1)})),
    (SIX, "a state that its counts do not make", lambda t: t.view(last_view(t), state="Failure")),
    (SIX, "a range shrinks", lambda t: t.view(last_view(t), succeeded=RangeSet.parse("1"))),
    (SIX, "who started is forgotten", lambda t: t.view(last_view(t), started=EMPTY)),
    (SIX, "progress that was not made", lambda t: t.view(last_view(t), progress=50.0)),
    (SIX, "a union that is none", lambda t: t.view(last_view(t), executed=RangeSet.parse("0"))),
    (SIX, "an end without a date", lambda t: t.view(last_view(t), end_date=None)),
    (SIX, "fewer results than before", lambda t: t.view(t.sees(3, "Submitted"), results_count=3)),
    (EIGHT, "a line is taken back", lambda t: t.asks("GET", f"/tasks/{MINE}/stdout", 9.5, "0> a\n")),
    (EIGHT, "a line is changed", lambda t: t.asks("GET", f"/tasks/{MINE}/stdout", 9.5, "0> x\n1> b\n1> b\n")),
    (EIGHT, "fresh output twice", lambda t: t.asks("POST", f"/tasks/{MINE}/stdout", 8.2, "1> b\n")),
    (EIGHT, "fresh output with a gap", lambda t: setattr(t.exchanges[6], "told", "1> b\n")),
    (EIGHT, "fresh output that is in no whole", lambda t: setattr(t.exchanges[6], "told", "1> c\n")),
    (NINE, "another's task in a list", lambda t: t.asks("GET", "/tasks", 9.5, [], mentions=frozenset({YOURS}))),
    (NINE, "another's task is shown", lambda t: t.asks("GET", f"/tasks/{YOURS}", 9.5, {})),
    (NINE, "another's results", lambda t: t.shown.append(Shown(YOU, "results", 1, 2, {"r-1": "run 1.1.2"}))),
    (TEN, "too many at once", lambda t: t.limits[ME].update(max_instances=1)),
    (TEN, "too many tasks", lambda t: t.tasks.update({n: a_task(n, int(n), 1, retries=0) for n in ("3", "4")})),
]  # fmt: skip


@pytest.mark.parametrize(("law", "lie"), [(law, lie) for law, _, lie in LIES], ids=[name for _, name, _ in LIES])
def test_a_lie_is_caught_by_its_law(tale: Tale, law: str, lie: Lie):
    before = deepcopy(tale.broken())
    lie(tale)
    assert before == set()
    assert law in tale.broken()


def test_every_law_has_a_lie():
    assert {law for law, _, _ in LIES} == set(LAWS)


def test_a_lost_answer_may_have_taken_fresh_output(tale: Tale):
    tale.exchanges[2].heard = None
    assert tale.broken() == set()


def test_a_task_that_was_to_be_deleted_may_be_gone(tale: Tale):
    lost = tale.asks("DELETE", f"/tasks/{MINE}", 9)
    lost.heard = None
    tale.asks("GET", f"/tasks/{MINE}", 10, status=404)
    del tale.tasks[MINE]
    assert ONE not in tale.broken()


def test_answers_that_overlap_have_no_order(tale: Tale):
    slow = tale.sees(3.9, "Submitted")
    slow.heard = 8 * SECOND
    assert tale.broken() == set()


def test_evidence_is_read_line_by_line():
    text = """begin 1.0.1 1000000
begin 1.1.1 1500000
work 1.0.1 2000000
end 1.0.1 3000000 7
begin 1.1.1 9000000
"""
    assert read_evidence(text) == {
        (1, 0, 1): Ran(1000, 3000, 3000, 7),
        (1, 1, 1): Ran(1500, 9000, begins=2),
    }
