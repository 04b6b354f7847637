"""Nodes counted by what they offer: many nodes are few kinds."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, case, func, select

from hearth.store.tables import nodes


@dataclass(frozen=True, slots=True)
class NodeKind:
    """The nodes of one offer whose leases are not over."""

    offer: str  # JSON of wire.agent.Offer
    heard: int  # those that spoke lately
    silent: int
    seen_at: int  # when one of them spoke last


_heard = func.sum(case((nodes.c.seen_at >= bindparam("heard_since"), 1), else_=0))
_kinds = (
    select(nodes.c.offer, _heard, func.count(), func.max(nodes.c.seen_at))
    .where(nodes.c.lease_until >= bindparam("now"))
    .group_by(nodes.c.offer)
    .order_by(nodes.c.offer)
)


def kinds(connection: Connection, *, now: int, heard_since: int) -> list[NodeKind]:
    """Return the kinds of nodes that there are."""
    rows = connection.execute(_kinds, {"now": now, "heard_since": heard_since})
    return [NodeKind(offer, int(heard), int(all_) - int(heard), seen_at) for offer, heard, all_, seen_at in rows]


def last_heard(connection: Connection) -> int | None:
    """Return when any node spoke last; None when there never was one."""
    found: int | None = connection.execute(select(func.max(nodes.c.seen_at))).scalar()
    return found


def offers(connection: Connection) -> list[str]:
    """Return the different offers of all nodes that were ever here."""
    return list(connection.execute(select(nodes.c.offer).distinct()).scalars())
