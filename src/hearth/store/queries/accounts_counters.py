"""Counters of accounts, changed in the transaction that changes what they count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, select, update

from hearth.domain.quota import Limits
from hearth.store.tables import accounts


@dataclass(slots=True)
class Change:
    """What is added to an account's counters."""

    tasks: int = 0
    active_tasks: int = 0
    running_tasks: int = 0
    live_instances: int = 0
    live_cores: float = 0.0


@dataclass(frozen=True, slots=True)
class Counters:
    """What an account has now, and may have."""

    limits: Limits
    tasks: int
    active_tasks: int
    running_tasks: int
    live_instances: int
    live_cores: float
    bucket_bytes: int


def apply(connection: Connection, changes: Mapping[int, Change]) -> None:
    """Add the changes, accounts in order of id (so that two transactions cannot wait for each other)."""
    for account_id in sorted(changes):
        change = changes[account_id]
        values = {
            accounts.c[name]: accounts.c[name] + amount
            for name in ("tasks", "active_tasks", "running_tasks", "live_instances", "live_cores")
            if (amount := getattr(change, name))
        }
        if values:
            connection.execute(update(accounts).where(accounts.c.id == account_id).values(values))


def lock(connection: Connection, account_ids: Iterable[int]) -> dict[int, Counters]:
    """Return the counters of these accounts, held until the transaction ends."""
    query = (
        select(
            accounts.c.id,
            accounts.c.limits,
            accounts.c.tasks,
            accounts.c.active_tasks,
            accounts.c.running_tasks,
            accounts.c.live_instances,
            accounts.c.live_cores,
            accounts.c.bucket_bytes,
        )
        .where(accounts.c.id.in_(sorted(set(account_ids))))
        .order_by(accounts.c.id)
        .with_for_update(key_share=True)
    )
    return {
        row[0]: Counters(msgspec.json.decode(row[1] or "{}", type=Limits), *row[2:])
        for row in connection.execute(query)
    }
