"""Make a task of another one: its failed or cancelled instances once more, or all of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from hearth.control import find
from hearth.domain.errors import Conflict, Invalid
from hearth.domain.ranges import RangeSet
from hearth.domain.task import TaskState
from hearth.store.queries.tasks import TaskRow


class Again(StrEnum):
    """Which instances of a task the new one has."""

    RETRY = "retry"  # those that failed
    RESUME = "resume"  # those that were cancelled
    RECOVER = "recover"  # both
    CLONE = "clone"  # all


_WANTED = {
    Again.RETRY: "failed",
    Again.RESUME: "been cancelled",
    Again.RECOVER: "failed or been cancelled",
}


@dataclass(frozen=True, slots=True)
class Source:
    """The task that another one is made of, and the numbers of the new one's instances."""

    row: TaskRow
    numbers: RangeSet


def source(connection: Connection, account_id: int, ident: str, again: Again) -> Source:
    """Return what a new task is made of; raise when there is nothing to do again, or not yet."""
    row = find.task(connection, account_id, ident)
    if again is Again.CLONE:
        return Source(row, RangeSet.parse(row.numbers))
    if not TaskState(row.state).is_final:
        raise Conflict(
            f"the task is {row.state}: {again.value} is possible when it has ended; wait for its end, or abort it"
        )
    failed, cancelled = RangeSet.parse(row.failed), RangeSet.parse(row.cancelled)
    numbers = {Again.RETRY: failed, Again.RESUME: cancelled, Again.RECOVER: failed | cancelled}[again]
    if not numbers:
        raise Invalid("", f"there is nothing to {again.value}: no instance of the task has {_WANTED[again]}")
    return Source(row, numbers)
