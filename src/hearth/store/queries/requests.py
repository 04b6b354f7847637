"""What creating requests led to, by the key that their client gave them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, tuple_

from hearth.store.tables import requests


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a request was, and what it led to."""

    digest: str
    answer: bytes
    created_at: int


def find(connection: Connection, account_id: int, key: str) -> Remembered | None:
    """Return what is remembered under the account's key."""
    row = connection.execute(
        select(requests.c.digest, requests.c.answer, requests.c.created_at).where(
            requests.c.account_id == account_id, requests.c.key == key
        )
    ).first()
    return None if row is None else Remembered(*row)


def put(connection: Connection, account_id: int, key: str, told: Remembered) -> None:
    """Remember it, in place of what was under the key."""
    connection.execute(delete(requests).where(requests.c.account_id == account_id, requests.c.key == key))
    connection.execute(
        insert(requests).values(
            account_id=account_id, key=key, digest=told.digest, answer=told.answer, created_at=told.created_at
        )
    )


def forget_before(connection: Connection, moment: int, limit: int) -> int:
    """Forget up to `limit` requests older than that; return how many."""
    old = connection.execute(
        select(requests.c.account_id, requests.c.key)
        .where(requests.c.created_at < moment)
        .order_by(requests.c.created_at)
        .limit(limit)
    ).all()
    if old:
        connection.execute(
            delete(requests).where(tuple_(requests.c.account_id, requests.c.key).in_([(r[0], r[1]) for r in old]))
        )
    return len(old)
