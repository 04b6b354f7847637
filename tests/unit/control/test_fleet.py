"""What a server remembers of its nodes: grants reach each node once, or not at all."""

from hearth.control.claim import Grant
from hearth.control.fleet import Fleet, Session
from hearth.domain.ranges import RangeSet
from hearth.store.queries.tasks import TaskRow
from hearth.wire import agent as wire

NODE = 1
OFFER = wire.Offer(4.0, 1 << 30, "process", isolated=False, takes_images=False)
ROOM = wire.Room(4.0, 1 << 30)


def a_sync(counter: int, seen: int, boot: int = 1) -> wire.Sync:
    return wire.Sync(wire.PROTOCOL, "node", boot, counter, seen, "here", OFFER, ROOM, [])


def a_grant() -> Grant:
    task = object.__new__(TaskRow)
    for name, value in (("id", 7), ("demand_cores", 1.0), ("demand_memory", 0)):
        object.__setattr__(task, name, value)
    return Grant(NODE, task, 1, RangeSet.of([0, 1]))


def parked(fleet: Fleet, counter: int = 1, seen: int = 0, boot: int = 1) -> Session:
    session = fleet.meet(NODE, a_sync(counter, seen, boot), now=0)
    session.parked = True
    return session


def leases(fleet: Fleet, session: Session) -> list[wire.Leased]:
    orders, _ = fleet.orders(session, incarnation="here", lease_seconds=60, heartbeat_seconds=3)
    return orders.leases


def test_a_grant_leaves_with_the_next_orders_until_they_were_seen():
    fleet = Fleet(lambda node: None)
    session = parked(fleet)
    assert [room.cores for room in fleet.rooms()] == [4.0]
    fleet.grant([a_grant()])
    assert session.free().cores == 2.0
    assert leases(fleet, session) == [wire.Leased(7, 1, "0-1")]
    parked(fleet, counter=2, seen=1)
    assert leases(fleet, session) == []


def test_grants_in_orders_that_were_lost_are_left_to_the_comparison():
    fleet = Fleet(lambda node: None)
    session = parked(fleet)
    fleet.rooms()
    fleet.grant([a_grant()])
    leases(fleet, session)
    parked(fleet, counter=2, seen=0)
    assert leases(fleet, session) == []


def test_a_grant_that_a_comparison_may_have_sent_already_is_left_to_the_next_one():
    woken: list[int] = []
    fleet = Fleet(woken.append)
    session = parked(fleet)
    fleet.rooms()
    session.comparisons += 1
    session.checked_at = 5
    fleet.grant([a_grant()])
    assert (leases(fleet, session), session.checked_at, woken) == ([], 0, [NODE])


def test_a_grant_for_an_older_boot_is_not_given_to_the_newer():
    fleet = Fleet(lambda node: None)
    parked(fleet)
    fleet.rooms()
    newer = parked(fleet, counter=1, boot=2)
    fleet.grant([a_grant()])
    assert leases(fleet, newer) == []


def test_nothing_is_planned_for_a_node_whose_sync_is_being_answered():
    fleet = Fleet(lambda node: None)
    parked(fleet)
    fleet.meet(NODE, a_sync(2, 0), now=0)
    assert fleet.rooms() == []
