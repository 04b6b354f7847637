"""Compare what a node says it holds with what the database says it holds; the difference is what to tell it."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection

from hearth.control.changes import Changes
from hearth.control.fleet import StaleSync, held_keys
from hearth.control.snapshot_parts import orders_of
from hearth.domain.instance import InstanceState, Lost
from hearth.store.queries import instances, machines, nodes
from hearth.store.queries.nodes import NodeRow
from hearth.wire import agent as wire


@dataclass(slots=True)
class Difference:
    """What the node must be told, and what it has lost."""

    resend: list[tuple[int, int, int]] = field(default_factory=list)
    stops: list[wire.Stop] = field(default_factory=list)
    lost: list[tuple[int, int, int]] = field(default_factory=list)
    known: list[wire.Known] = field(default_factory=list)
    snapshots: list[wire.Snapshot] = field(default_factory=list)
    updates: list[wire.Update] = field(default_factory=list)

    @property
    def is_told(self) -> bool:
        """Answer whether there is something that the node must be told."""
        return bool(self.resend or self.stops or self.known or self.snapshots or self.updates)


def greet(connection: Connection, sync: wire.Sync, now: int, lease_until: int) -> NodeRow:
    """Note that the node spoke; raise `StaleSync` when a newer boot of it was heard."""
    offer = msgspec.json.encode(sync.offer).decode()
    row = nodes.by_name(connection, sync.node)
    if row is None:
        machine = machines.ensure(connection, sync.offer)
        return nodes.add(connection, sync.node, sync.boot, sync.counter, now, lease_until, offer, machine)
    if (sync.boot, sync.counter) < (row.boot, row.counter):
        raise StaleSync
    is_told = offer == row.offer and row.machine_id is not None
    nodes.heard(
        connection,
        row.id,
        boot=sync.boot,
        counter=sync.counter,
        now=now,
        lease_until=lease_until,
        offer=None if is_told else offer,
        machine_id=row.machine_id if is_told else machines.ensure(connection, sync.offer),
    )
    return row


def compare(connection: Connection, node_id: int, sync: wire.Sync) -> Difference:
    """Return the difference. Reads only.

    A lease of this boot that the agent does not hold never arrived: it is sent again. One of an older boot is
    lost: the agent forgot it when it died, and nobody knows how far it came.
    """
    difference = Difference()
    held = held_keys(sync.holds)
    all_held = frozenset(held)
    for stored in instances.live_on(connection, node_id):
        instance = stored.instance
        key = (instance.task_id, instance.number, instance.attempt)
        is_held = key in held
        held.discard(key)
        if instance.state is InstanceState.CANCELLING:
            if is_held or instance.boot == sync.boot:
                difference.stops.append(wire.Stop(*key, cancelled=True))
            else:
                difference.lost.append(key)
        elif not is_held:
            (difference.resend if instance.boot == sync.boot else difference.lost).append(key)
        elif instance.boot != sync.boot:
            difference.known.append(wire.Known(*key, stored.stdout_bytes, stored.stderr_bytes))
    difference.stops.extend(wire.Stop(*key, cancelled=False) for key in sorted(held))
    if all_held:
        tasks = {task for task, _, _ in all_held}
        difference.snapshots = orders_of(connection, node_id, all_held)
        difference.updates = [
            wire.Update(task_id, version)
            for task_id, version in instances.resource_versions_on(connection, node_id).items()
            if version > sync.versions.get(task_id, 0) and task_id in tasks
        ]
    return difference


def lose(
    connection: Connection, keys: list[tuple[int, int, int]], now: int, *, reason: str, losses_allowed: int
) -> Changes:
    """End attempts that a node lost: they wait again, up to a cap that is not the user's."""
    changes = Changes(connection, now)
    changes.load_tasks(task for task, _, _ in keys)
    changes.load_instances((task, number) for task, number, _ in keys)
    for task_id, number, attempt in keys:
        instance = changes.stored(task_id, number).instance
        if instance.attempt == attempt and instance.state.is_live:
            changes.advance(task_id, number, Lost(attempt, now, reason, losses_allowed))
    changes.save()
    return changes


def expire(connection: Connection, now: int, *, not_before: int, losses_allowed: int) -> Changes | None:
    """End the leases of nodes that were silent for a whole lease; nothing before `not_before`.

    `not_before` is one lease after this server's start: while it was away nobody could renew.
    """
    if now < not_before:
        return None
    keys: list[tuple[int, int, int]] = []
    names: list[str] = []
    for node in nodes.with_lease_over(connection, now):
        live = instances.live_on(connection, node.id)
        keys.extend((s.instance.task_id, s.instance.number, s.instance.attempt) for s in live)
        if live:
            names.append(node.name)
    if not keys:
        return None
    reason = f"the node {', '.join(names)} was not heard of for a whole lease"
    return lose(connection, keys, now, reason=reason, losses_allowed=losses_allowed)
