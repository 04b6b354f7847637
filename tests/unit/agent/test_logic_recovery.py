"""What an agent makes of runs that an earlier boot of it started, and of orders that undo each other."""

import pytest

from hearth.agent.attempt import Collect, Discard, Kill, Phase, Prepare, RunEnd
from hearth.agent.logic import ASK_FIRST_SECONDS, LEASE_MARGIN, Logic
from hearth.wire import agent as wire

OFFER = wire.Offer(2.0, 1 << 30, "process", isolated=False, takes_images=False)
KEY = (1, 0, 1)


def a_work(task: int = 1) -> wire.Work:
    return wire.Work(task, f"uuid-{task}", 3, {}, {}, network=False, cores=1.0, memory_bytes=0)


def orders_for(logic: Logic, **what: object) -> wire.Orders:
    """Orders that answer the newest sync."""
    sync = logic.next_sync(1.0)
    return wire.Orders("here", sync.counter, sync.seen + 1, 60.0, 3.0, **what)  # type: ignore[arg-type]


def with_a_found_run(end: RunEnd | None = None) -> Logic:
    logic = Logic("node", 2, OFFER)
    logic.recover(KEY, 10, end)
    return logic


def test_a_found_run_that_was_cancelled_is_killed_and_collected_by_its_tasks_rules():
    logic = with_a_found_run()
    stop = wire.Stop(*KEY, cancelled=True)
    assert logic.orders(orders_for(logic, works=[a_work()], stops=[stop])) == [Kill(KEY)]
    assert logic.exited(KEY, RunEnd(20, 137), 2.0) == [Collect(KEY, upload=False)]


def test_a_stop_of_a_found_run_waits_until_its_task_is_known():
    logic = with_a_found_run()
    stop = wire.Stop(*KEY, cancelled=True)
    assert logic.orders(orders_for(logic, stops=[stop])) == []
    assert logic.orders(orders_for(logic, works=[a_work()], stops=[stop])) == [Kill(KEY)]


def test_a_found_run_takes_its_room_until_it_is_gone():
    logic = with_a_found_run()
    logic.orders(orders_for(logic, works=[a_work()], stops=[wire.Stop(*KEY, cancelled=True)]))
    assert logic.next_sync(1.0).room.cores == 1.0
    logic.exited(KEY, RunEnd(20, 137), 2.0)
    assert logic.next_sync(1.0).room.cores == 2.0


def test_orders_may_take_a_tasks_last_attempt_away_and_bring_its_next_one():
    logic = Logic("node", 1, OFFER)
    assert logic.orders(orders_for(logic, works=[a_work()], leases=[wire.Leased(1, 1, "0")])) == [Prepare(KEY)]
    effects = logic.orders(
        orders_for(logic, works=[a_work()], stops=[wire.Stop(*KEY, cancelled=False)], leases=[wire.Leased(1, 2, "0")])
    )
    assert effects == [Discard(KEY), Prepare((1, 0, 2))]
    assert logic.attempts[(1, 0, 2)].phase is Phase.QUEUED


def test_a_found_run_ends_with_the_lease_of_the_earlier_boot():
    logic = with_a_found_run()
    logic.resume_lease(until=100.0, mono=1.0)
    assert logic.tick(99.0, 0) == []
    assert logic.tick(100.0, 0) == [Kill(KEY)]
    logic.exited(KEY, RunEnd(20, 137), 101.0)
    [end] = logic.next_report(101.0).ended
    assert (end.lost, end.error_message) == (True, "the node could not reach the server for a whole lease")


def test_a_lease_that_is_over_leaves_time_to_ask_the_server():
    logic = with_a_found_run()
    logic.resume_lease(until=0.5, mono=1.0)
    assert logic.tick(1.0 + ASK_FIRST_SECONDS - 0.1, 0) == []
    logic.orders(orders_for(logic, works=[a_work()], known=[wire.Known(*KEY, 0, 0)]))
    assert logic.tick(1.0 + ASK_FIRST_SECONDS, 0) == []
    assert logic.lease_until == 1.0 + 60.0 * (1 - LEASE_MARGIN)


@pytest.mark.parametrize("word", ["known", "stops"])
def test_a_found_run_that_was_given_up_takes_no_room_when_the_server_speaks_of_it(word: str):
    logic = with_a_found_run()
    logic.resume_lease(until=100.0, mono=1.0)
    assert logic.tick(100.0, 0) == [Kill(KEY)]
    logic.exited(KEY, RunEnd(20, 137), 101.0)
    told = wire.Known(*KEY, 0, 0) if word == "known" else wire.Stop(*KEY, cancelled=True)
    assert logic.orders(orders_for(logic, works=[a_work()], **{word: [told]})) == []
    assert logic.next_sync(102.0).room.cores == OFFER.cores
    report = logic.next_report(102.0)
    assert [(end.lost, end.number) for end in report.ended] == [(True, 0)]
    assert logic.receipt(report, wire.Receipt()) == [Discard(KEY)]
    assert logic.next_sync(103.0).room.cores == OFFER.cores
