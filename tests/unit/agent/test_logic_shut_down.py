"""What an agent does from the moment on at which it was told to end."""

from hearth.agent.attempt import Kill, RunEnd, Start
from hearth.agent.logic import Logic
from hearth.wire import agent as wire

OFFER = wire.Offer(2.0, 1 << 30, "process", isolated=False, takes_images=False)
WORK = wire.Work(1, "uuid-1", 3, {}, {}, network=False, cores=1.0, memory_bytes=0)


def lease(logic: Logic, attempt: int) -> list[object]:
    """Let the server lease instance 0 of task 1."""
    sync = logic.next_sync(1.0)
    leases = [wire.Leased(1, attempt, "0")]
    return list(logic.orders(wire.Orders("here", sync.counter, sync.seen + 1, 60.0, 3.0, works=[WORK], leases=leases)))


def running() -> Logic:
    """Return an agent that runs the first attempt."""
    logic = Logic("node", 1, OFFER)
    lease(logic, 1)
    assert logic.prepared((1, 0, 1), 1.0) == [Start((1, 0, 1))]
    logic.started((1, 0, 1), 10)
    return logic


def test_what_runs_is_killed_and_told_as_lost_once_it_is_gone():
    logic = running()
    assert logic.shut_down(20) == [Kill((1, 0, 1))]
    logic.exited((1, 0, 1), RunEnd(21, 137), 2.0)
    [ended] = logic.next_report(2.0).ended
    assert (ended.attempt, ended.lost, ended.error_message) == (1, True, "the node was shut down")


def test_it_offers_no_room_any_more():
    logic = running()
    logic.shut_down(20)
    logic.exited((1, 0, 1), RunEnd(21, 137), 2.0)
    assert logic.next_report(2.0).room == wire.Room()
    assert logic.next_sync(2.0).room == wire.Room()


def test_a_lease_that_was_on_its_way_is_given_back_and_not_held():
    logic = running()
    logic.shut_down(20)
    logic.exited((1, 0, 1), RunEnd(21, 137), 2.0)
    report = logic.next_report(2.0)
    assert lease(logic, 2) == []
    logic.receipt(report, wire.Receipt())
    assert logic.attempts == {}
    [ended] = logic.next_report(3.0).ended
    assert (ended.attempt, ended.lost) == (2, True)
