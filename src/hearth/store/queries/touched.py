"""Which tasks a transaction changed in a way that somebody who follows them would see."""

from __future__ import annotations

from sqlalchemy import Connection

_KEY = "hearth_touched"


def touch(connection: Connection, task_id: int) -> None:
    """Note that followers of the task have something to look at once this transaction is committed."""
    connection.info.setdefault(_KEY, set()).add(task_id)


def take(connection: Connection) -> set[int]:
    """Return the tasks that were touched since the last time."""
    found: set[int] = connection.info.pop(_KEY, set())
    return found
