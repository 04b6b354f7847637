"""Rows of nodes: machines that agents offer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, select, update

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
    machine_id: int | None
    created_at: int


_ALL = (
    nodes.c.id,
    nodes.c.name,
    nodes.c.boot,
    nodes.c.counter,
    nodes.c.seen_at,
    nodes.c.lease_until,
    nodes.c.offer,
    nodes.c.machine_id,
    nodes.c.created_at,
)
_machines = select(nodes.c.id, nodes.c.machine_id).where(nodes.c.id.in_(bindparam("ids", expanding=True)))


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


def machines(connection: Connection, ids: Iterable[int]) -> dict[int, int | None]:
    """Return what kind of machine each of these nodes is."""
    rows = connection.execute(_machines, {"ids": sorted(ids)})
    return {row[0]: row[1] for row in rows}


def add(
    connection: Connection,
    name: str,
    boot: int,
    counter: int,
    now: int,
    lease_until: int,
    offer: str,
    machine_id: int | None = None,
) -> NodeRow:
    """Add a node that was never heard before."""
    key = connection.execute(
        insert(nodes).values(
            name=name,
            boot=boot,
            counter=counter,
            seen_at=now,
            lease_until=lease_until,
            offer=offer,
            machine_id=machine_id,
            created_at=now,
        )
    ).inserted_primary_key
    assert key is not None
    return NodeRow(key[0], name, boot, counter, now, lease_until, offer, machine_id, now)


def heard(
    connection: Connection,
    node_id: int,
    *,
    boot: int,
    counter: int,
    now: int,
    lease_until: int,
    offer: str | None,
    machine_id: int | None,
) -> None:
    """Note that a node spoke, and until when its leases last."""
    values: dict[str, object] = {"boot": boot, "counter": counter, "seen_at": now, "lease_until": lease_until}
    if offer is not None:
        values["offer"] = offer
        values["machine_id"] = machine_id
    connection.execute(update(nodes).where(nodes.c.id == node_id).values(values))
