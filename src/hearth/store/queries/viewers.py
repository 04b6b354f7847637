"""Which accounts may look at what is another account's."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from hearth.store.queries import accounts as account_rows
from hearth.store.queries.accounts import AccountRow
from hearth.store.tables import accounts, viewers


def allow(connection: Connection, account_id: int, viewer_id: int, now: int) -> None:
    """Let the viewer look; once more changes nothing."""
    if _row(connection, account_id, viewer_id) is None:
        connection.execute(insert(viewers).values(account_id=account_id, viewer_id=viewer_id, created_at=now))


def revoke(connection: Connection, account_id: int, viewer_id: int) -> bool:
    """End that; return whether the viewer was allowed to."""
    ended = connection.execute(
        delete(viewers).where(viewers.c.account_id == account_id, viewers.c.viewer_id == viewer_id)
    )
    return bool(ended.rowcount)


def owner(connection: Connection, viewer_id: int, named: str) -> AccountRow | None:
    """Return the account of this e-mail or uuid, if the viewer may look at it."""
    row = account_rows.by_name(connection, named)
    return None if row is None or _row(connection, row.id, viewer_id) is None else row


def viewers_of(connection: Connection, account_id: int) -> list[str]:
    """Return the e-mails of those who may look at the account."""
    query = select(accounts.c.email).join(viewers, viewers.c.viewer_id == accounts.c.id)
    return list(
        connection.execute(query.where(viewers.c.account_id == account_id).order_by(accounts.c.email)).scalars()
    )


def _row(connection: Connection, account_id: int, viewer_id: int) -> object | None:
    return connection.execute(
        select(viewers.c.created_at).where(viewers.c.account_id == account_id, viewers.c.viewer_id == viewer_id)
    ).scalar()
