"""Find an account's task, or say that there is none."""

from __future__ import annotations

from sqlalchemy import Connection

from hearth.domain.errors import Missing
from hearth.store.queries import tasks
from hearth.store.queries.tasks import TaskRow


def task(connection: Connection, account_id: int, ident: str) -> TaskRow:
    """Return the task with this uuid or shortname; raise `Missing` when it is not there or is another's."""
    # PostgreSQL has no text with the character NUL, and refuses to look for it.
    row = None if "\0" in ident else tasks.find(connection, account_id, ident)
    if row is None:
        raise Missing("task", ident)
    return row
