"""Rows of nodes: machines that agents offer."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from hearth.store.tables import nodes


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One row of `nodes`."""

    id: int
    name: str
    boot: int
    counter: int
    seen_at: int
    lease_until: int
    offer: str
    created_at: int


_ALL = (
    nodes.c.id,
    nodes.c.name,
    nodes.c.boot,
    nodes.c.counter,
    nodes.c.seen_at,
    nodes.c.lease_until,
    nodes.c.offer,
    nodes.c.created_at,
)


def by_name(connection: Connection, name: str) -> NodeRow | None:
    """Return the node of this name."""
    row = connection.execute(select(*_ALL).where(nodes.c.name == name).with_for_update(key_share=True)).first()
    return None if row is None else NodeRow(*row)


def everyone(connection: Connection) -> list[NodeRow]:
    """Return all nodes, by id."""
    return [NodeRow(*row) for row in connection.execute(select(*_ALL).order_by(nodes.c.id))]


def with_lease_over(connection: Connection, now: int) -> list[NodeRow]:
    """Return nodes whose leases are over by the clock."""
    return [NodeRow(*row) for row in connection.execute(select(*_ALL).where(nodes.c.lease_until < now))]


def add(connection: Connection, name: str, boot: int, counter: int, now: int, lease_until: int, offer: str) -> NodeRow:
    """Add a node that was never heard before."""
    key = connection.execute(
        insert(nodes).values(
            name=name,
            boot=boot,
            counter=counter,
            seen_at=now,
            lease_until=lease_until,
            offer=offer,
            created_at=now,
        )
    ).inserted_primary_key
    assert key is not None
    return NodeRow(key[0], name, boot, counter, now, lease_until, offer, now)


def heard(
    connection: Connection, node_id: int, *, boot: int, counter: int, now: int, lease_until: int, offer: str | None
) -> None:
    """Note that a node spoke, and until when its leases last."""
    values: dict[str, object] = {"boot": boot, "counter": counter, "seen_at": now, "lease_until": lease_until}
    if offer is not None:
        values["offer"] = offer
    connection.execute(update(nodes).where(nodes.c.id == node_id).values(values))
