"""Counters of accounts, changed in the transaction that changes what they count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter

import msgspec
from sqlalchemy import Connection, bindparam, select, update

from hearth.domain.quota import Limits
from hearth.store.bulk import Bulk
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


_NAMES = tuple(field.name for field in fields(Change))
_amounts = attrgetter(*_NAMES)
_add = Bulk(
    lambda: (
        update(accounts)
        .where(accounts.c.id == bindparam("key"))
        .values({name: accounts.c[name] + bindparam("v_" + name) for name in _NAMES})
    ),
    [*("v_" + name for name in _NAMES), "key"],
)


def apply(connection: Connection, changes: Mapping[int, Change]) -> None:
    """Add the changes, accounts in order of id (so that two transactions cannot wait for each other)."""
    amounts = ((_amounts(changes[account_id]), account_id) for account_id in sorted(changes))
    _add.run(connection, ((*added, account_id) for added, account_id in amounts if any(added)))


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
