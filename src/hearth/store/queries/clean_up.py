"""Tasks whose time is over: those that waited too long, and ended ones that may go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, select, text, update

from hearth.store.queries import accounts_counters
from hearth.store.tables import tasks

# Said as the index says it, or the databases would not know that it is meant.
_MAY_GO = text("auto_delete = 1 AND ended_at IS NOT NULL AND deleted_at IS NULL")


def past_deadline(connection: Connection, now: int, limit: int) -> list[int]:
    """Return tasks of which an instance should have been given to a node by now, the most overdue first."""
    query = select(tasks.c.id).where(tasks.c.queue_deadline_at <= now).order_by(tasks.c.queue_deadline_at)
    return list(connection.execute(query.limit(limit)).scalars())


def is_any_due(connection: Connection, now: int) -> bool:
    """Answer whether there is a task past its deadline, or one that was to go by now."""
    to_go = select(tasks.c.id).where(_is_to_go(now)).limit(1)
    return bool(past_deadline(connection, now, 1)) or connection.execute(to_go).first() is not None


def forget_deadlines(connection: Connection, ids: Sequence[int]) -> None:
    """Note that a deadline was kept or is over: it is looked at once."""
    connection.execute(update(tasks).where(tasks.c.id.in_(ids)).values(queue_deadline_at=None))


def _is_to_go(now: int) -> ColumnElement[bool]:
    return and_(tasks.c.expires_at <= now, tasks.c.deleted_at.is_(None))


def expired(connection: Connection, now: int, limit: int) -> list[int]:
    """Return and lock ended tasks that were to go by now."""
    query = (
        select(tasks.c.id)
        .where(_is_to_go(now))
        .order_by(tasks.c.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(query).scalars())


def oldest_that_may_go(connection: Connection, account_id: int, limit: int) -> list[int]:
    """Return and lock ended tasks of the account that may go when it has too many, oldest first."""
    query = (
        select(tasks.c.id)
        .where(tasks.c.account_id == account_id, _MAY_GO)
        .order_by(tasks.c.ended_at, tasks.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)  # whoever holds one may wait for this transaction
    )
    return list(connection.execute(query).scalars())


def remove(connection: Connection, ids: Sequence[int], now: int) -> None:
    """Let nobody see these ended tasks any more; their rows go bit by bit."""
    if not ids:
        return
    connection.execute(
        update(tasks).where(tasks.c.id.in_(ids)).values(delete_requested_at=now, deleted_at=now, expires_at=None)
    )
    owners = Counter(connection.execute(select(tasks.c.account_id).where(tasks.c.id.in_(ids))).scalars())
    accounts_counters.apply(
        connection, {account: accounts_counters.Change(tasks=-count) for account, count in owners.items()}
    )
