"""A list under one key makes each of its tasks once, however its copies run across each other and die."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, StaticPool, create_engine, select, update

from hearth.control.hardware import NO_RULES
from hearth.control.once import KEPT, Once, Outcome, nth_slice
from hearth.control.submit import NewTask, _insert_once
from hearth.domain.errors import HearthError, Invalid
from hearth.domain.profile import Profile
from hearth.domain.quota import Limits
from hearth.domain.ranges import RangeSet
from hearth.domain.spec import TaskSpec
from hearth.store.queries import accounts, tasks
from hearth.store.tables import accounts as account_table
from hearth.store.tables import metadata
from hearth.store.tables import tasks as task_table
from tests.property import laws  # noqa: F401

SLICE = 3
PROFILE = Profile("docker-batch")
BEGIN = 10**15


@dataclass
class Copy:
    """One server that carries the list out; it knows what the slices before told it."""

    items: list[bool]  # whether each is a task; others are refused before they come here
    now: int
    began: int = 0
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = self.now

    @property
    def is_over(self) -> bool:
        return len(self.outcomes) == len(self.items)

    def step(self, connection: Connection, uuids: Iterator[str]) -> None:
        """Carry out the next slice."""
        at = len(self.outcomes)
        request = nth_slice(Once("key", "digest", is_list=True), at // SLICE)
        items = [
            (_task(next(uuids)), PROFILE) if is_task else Invalid("name", "is missing")
            for is_task in self.items[at : at + SLICE]
        ]
        done = _insert_once(connection, 1, items, self.now, request, self.began, NO_RULES)
        self.began = done.began
        self.outcomes += done.outcomes


def _task(uuid: str) -> NewTask:
    return NewTask("t", None, PROFILE.name, RangeSet.count(1), TaskSpec(), uuid)


@contextmanager
def site(most: int) -> Iterator[Connection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    with engine.connect() as connection:
        accounts.create(connection, uuid="a", email="a@b", limits=Limits(max_tasks=most), project_uuid="p", now=BEGIN)
        yield connection
    engine.dispose()


def told(copy: Copy) -> list[str | tuple[int, str]]:
    return [(o.status, o.message) if isinstance(o, HearthError) else o for o in copy.outcomes]


@given(
    items=st.lists(st.booleans(), min_size=1, max_size=10),
    most=st.integers(1, 12),
    moves=st.lists(
        st.one_of(
            st.tuples(st.just("step"), st.integers(0, 2)),
            st.tuples(st.just("die"), st.integers(0, 2)),
            st.tuples(st.just("quota"), st.integers(1, 12)),
            st.tuples(st.just("wait"), st.integers(1, 3600)),
        ),
        max_size=30,
    ),
)
def test_each_task_is_made_once_and_every_copy_is_told_the_same(
    items: list[bool], most: int, moves: list[tuple[str, int]]
) -> None:
    numbers = (f"00000000-0000-7000-8000-{n:012x}" for n in itertools.count())
    now = BEGIN
    copies: dict[int, Copy] = {}
    answers: list[list[str | tuple[int, str]]] = []
    with site(most) as connection:
        for move, value in [*moves, *[("step", 0)] * (len(items) + 1)]:
            match move:
                case "wait":
                    now += value * 1_000_000  # all of them together are far from a day
                case "quota":
                    limits = f'{{"max_tasks":{value}}}'
                    connection.execute(update(account_table).values(limits=limits))
                case "die":
                    copies.pop(value, None)
                case _:
                    copy = copies.setdefault(value, Copy(items, now))
                    copy.now = now
                    copy.step(connection, numbers)
                    if copy.is_over:
                        answers.append(told(copies.pop(value)))
        made = sorted(connection.execute(select(task_table.c.uuid)).scalars())
        assert answers and all(answer == answers[0] for answer in answers)
        # What was made is what was told: nothing twice, nothing unsaid.
        assert made == sorted(one for one in answers[0] if isinstance(one, str))
        assert [isinstance(one, tuple) and one[0] == 400 for one in answers[0]] == [not is_task for is_task in items]


def test_after_a_day_the_same_list_is_another_one() -> None:
    numbers = (f"00000000-0000-7000-8000-{n:012x}" for n in itertools.count())
    with site(100) as connection:
        found = []
        for now in (BEGIN, BEGIN + KEPT - 1, BEGIN + KEPT, BEGIN + 2 * KEPT - 1):
            copy = Copy([True] * 7, now)
            while not copy.is_over:
                copy.step(connection, numbers)
            found.append(copy.outcomes)
        assert found[0] == found[1] != found[2] == found[3]
        assert not set(found[0]) & set(found[2])
        assert tasks.count(connection, 1) == 14
