"""What this server knows of the nodes that talk to it: room, unseen grants, and what to tell them next.

All of it is in memory and can be lost: the database says which node holds what, and the next sync of a node
says all that it holds. Nothing here awaits; `wake` is called when a node's parked request has something to hear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hearth.control.claim import Grant
from hearth.control.hardware import machine_of
from hearth.domain.ranges import RangeSet
from hearth.scheduler.fit import NodeRoom
from hearth.wire import agent as wire

_Key = tuple[int, int, int]  # task, number, attempt


@dataclass(slots=True)
class Session:
    """One boot of one node, as heard by this server."""

    node_id: int
    name: str
    boot: int
    counter: int  # of its newest sync
    offer: wire.Offer
    room: wire.Room
    room_counter: int
    heard_at: int
    parked: bool = False
    sequence: int = 0
    seen: int = 0
    checked_at: int = 0  # when its holds were last compared with the database; 0: never
    comparisons: int = 0
    written_at: int = 0  # when its row was last written
    # Grants by the sequence of the orders that carried them; None: not sent yet.
    grants: list[tuple[int | None, Grant]] = field(default_factory=list)
    stops: dict[_Key, bool] = field(default_factory=dict)
    snapshots: list[wire.Snapshot] = field(default_factory=list)
    updates: dict[int, int] = field(default_factory=dict)  # task: version of its resources

    def free(self, *, any_takes_images: bool = False) -> NodeRoom:
        """Return the room that is left when the agent has taken all that was granted to it."""
        room = NodeRoom(
            self.node_id,
            self.room.cores,
            self.room.memory_bytes,
            self.room.ahead,
            takes_images=self.offer.takes_images or not any_takes_images,
            machine=machine_of(self.offer),
        )
        for _, grant in self.grants:
            room = room.without(len(grant.numbers), grant.task.demand_cores, grant.task.demand_memory)
        return room

    def has_news(self) -> bool:
        """Answer whether there is something that no orders carried yet."""
        if self.stops or self.snapshots or self.updates:
            return True
        return any(sequence is None for sequence, _ in self.grants)


class StaleSync(Exception):
    """An older message than one that was heard already."""


class Fleet:
    """The sessions of this server."""

    def __init__(self, wake: Callable[[int], None]) -> None:
        self._wake = wake
        self.sessions: dict[int, Session] = {}
        self._planned: dict[int, tuple[int, int]] = {}  # node: its boot and comparisons when its room was taken

    def meet(self, node_id: int, sync: wire.Sync, now: int) -> Session:
        """Take in a sync; raise `StaleSync` when it is older than what was heard."""
        session = self.sessions.get(node_id)
        if session is not None and (sync.boot, sync.counter) <= (session.boot, session.counter):
            raise StaleSync
        if session is None or session.boot != sync.boot:
            session = Session(
                node_id, sync.node, sync.boot, sync.counter, sync.offer, sync.room, sync.counter, now, seen=sync.seen
            )
            # The agent numbers what it saw per boot; a server that starts again goes on from there.
            session.sequence = sync.seen
            self.sessions[node_id] = session
        elif sync.seen != session.sequence:
            # Orders were lost, or another server gave some: the comparison that follows brings what is not held.
            session.grants.clear()
        session.parked = False  # nothing is planned for it until it was compared
        session.counter = sync.counter
        session.offer = sync.offer
        session.heard_at = now
        self._take_room(session, sync.room, sync.counter, sync.seen)
        return session

    def hear_report(self, node_id: int, report: wire.Report, now: int) -> None:
        """Take in the room that a report tells."""
        session = self.sessions.get(node_id)
        if session is not None and session.boot == report.boot:
            session.heard_at = now
            self._take_room(session, report.room, report.counter, report.seen)

    def _take_room(self, session: Session, room: wire.Room, counter: int, seen: int) -> None:
        if counter < session.room_counter:
            return
        session.room_counter = counter
        session.room = room
        session.seen = max(session.seen, seen)
        session.grants = [(n, grant) for n, grant in session.grants if n is None or n > session.seen]

    def rooms(self, *, heard_since: int = 0) -> list[NodeRoom]:
        """Return the nodes that wait for work and have room for some.

        Tasks that name an image are for nodes which take images, where any was heard of lately.
        """
        parked = [session for session in self.sessions.values() if session.parked]
        self._planned = {session.node_id: (session.boot, session.comparisons) for session in parked}
        any_takes_images = any(s.offer.takes_images and s.heard_at >= heard_since for s in self.sessions.values())
        frees = (session.free(any_takes_images=any_takes_images) for session in parked)
        return [free for free in frees if free.is_open]

    def boots(self) -> dict[int, int]:
        """Return the boot of each node."""
        return {session.node_id: session.boot for session in self.sessions.values()}

    def grant(self, grants: Iterable[Grant]) -> None:
        """Queue grants for the next orders of their nodes."""
        for grant in grants:
            session = self.sessions.get(grant.node_id)
            if session is None:
                continue  # the node's next sync finds them in the database
            if self._planned.get(grant.node_id) == (session.boot, session.comparisons):
                session.grants.append((None, grant))
            else:
                # A comparison may have sent them already, and the node may have ended them: another one decides.
                session.checked_at = 0
            self._wake(grant.node_id)

    def stop(self, stops: Iterable[tuple[int, int, int, int]]) -> None:
        """Queue stops (node, task, number, attempt) of cancelled attempts."""
        for node_id, task_id, number, attempt in stops:
            session = self.sessions.get(node_id)
            if session is not None:
                session.stops[(task_id, number, attempt)] = True
                self._wake(node_id)

    def snapshot(self, orders: Iterable[tuple[int, wire.Snapshot]]) -> None:
        """Queue snapshots that nodes are to make."""
        for node_id, order in orders:
            session = self.sessions.get(node_id)
            if session is not None:
                session.snapshots.append(order)
                self._wake(node_id)

    def update(self, task_id: int, version: int, node_ids: Iterable[int]) -> None:
        """Queue the news that a task's resources have a new version."""
        for node_id in node_ids:
            session = self.sessions.get(node_id)
            if session is not None:
                session.updates[task_id] = max(version, session.updates.get(task_id, 0))
                self._wake(node_id)

    def orders(
        self, session: Session, *, incarnation: str, lease_seconds: float, heartbeat_seconds: float
    ) -> tuple[wire.Orders, list[Grant]]:
        """Return the orders of this moment, and the grants in them (whose works the caller adds).

        Grants stay until the agent has seen the orders that carried them; the rest is said once here and again by
        each comparison with the database.
        """
        session.sequence += 1
        session.grants = [(session.sequence if n is None else n, grant) for n, grant in session.grants]
        grants = [grant for _, grant in session.grants]
        stops = [wire.Stop(*key, cancelled) for key, cancelled in session.stops.items()]
        snapshots, updates = session.snapshots, session.updates
        session.stops.clear()
        session.snapshots, session.updates = [], {}
        orders = wire.Orders(
            incarnation=incarnation,
            answers=session.counter,
            sequence=session.sequence,
            lease_seconds=lease_seconds,
            heartbeat_seconds=heartbeat_seconds,
            leases=[wire.Leased(grant.task.id, grant.attempt, str(grant.numbers)) for grant in grants],
            stops=stops,
            snapshots=snapshots,
            updates=[wire.Update(task_id, version) for task_id, version in updates.items()],
        )
        return orders, grants


def held_keys(holds: Iterable[wire.Held]) -> set[_Key]:
    """Return (task, number, attempt) of all that is held."""
    return {(held.task, number, held.attempt) for held in holds for number in RangeSet.parse(held.numbers)}
