"""What the agent decides at the edges: room, orders that come twice or late, ends and reports."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.agent import logic as module
from hearth.agent import outbox
from hearth.agent.attempt import Collect, Discard, Effect, Kill, Phase, Prepare, Resume, RunEnd, Start
from hearth.agent.logic import BUSY_DELAY, BUSY_ENDS, LEASE_MARGIN, Logic
from hearth.agent.room import AHEAD_LIMIT
from hearth.wire import agent as wire

OFFER = wire.Offer(2.0, 1000, "process", isolated=False, takes_images=False)
KEY, SECOND, THIRD = (1, 0, 1), (1, 1, 1), (1, 2, 1)
LEASE = 600.0


def a_logic() -> Logic:
    return Logic("node", 1, OFFER)


def a_work(task: int = 1, **more: Any) -> wire.Work:
    return wire.Work(task, f"u{task}", 9, {}, {}, **({"network": False, "cores": 1.0, "memory_bytes": 0} | more))


def order(logic: Logic, mono: float = 1.0, **what: Any) -> list[Effect]:
    """Let the newest sync be answered."""
    sync = logic.next_sync(mono)
    return logic.orders(answer(sync, **what))


def answer(sync: wire.Sync, incarnation: str = "here", **what: Any) -> wire.Orders:
    return wire.Orders(incarnation, sync.counter, sync.seen + 1, LEASE, 3.0, **what)


def lease(logic: Logic, numbers: str = "0", **more: Any) -> list[Effect]:
    return order(logic, works=[a_work(**more)], leases=[wire.Leased(1, 1, numbers)])


def running(logic: Logic, numbers: str = "0", **more: Any) -> None:
    """Lease attempts and start those that there is room for."""
    for effect in lease(logic, numbers, **more):
        assert isinstance(effect, Prepare)
        logic.prepared(effect.key, 1.0)


def ended(logic: Logic, key: tuple[int, int, int] = KEY, mono: float = 2.0, **how: Any) -> None:
    assert logic.exited(key, RunEnd(20, **({"exit_code": 0} | how)), mono)[:1] == [Collect(key, upload=False)]
    logic.collected(key, [], [], None, mono)


def acknowledged(logic: Logic, mono: float = 3.0, **receipt: Any) -> list[Effect]:
    return logic.receipt(logic.next_report(mono), wire.Receipt(**receipt))


# Room and order


def test_as_many_run_as_there_are_cores_and_the_oldest_first():
    logic = a_logic()
    assert lease(logic, "0-2") == [Prepare(KEY), Prepare(SECOND), Prepare(THIRD)]
    assert logic.prepared(SECOND, 1.0) == [Start(SECOND)]
    assert logic.prepared(THIRD, 1.0) == [Start(THIRD)]
    assert logic.prepared(KEY, 1.0) == []
    assert logic.exited(THIRD, RunEnd(20, 0), 2.0) == [Collect(THIRD, upload=False), Start(KEY)]


def test_memory_is_room_too_and_what_is_larger_than_the_node_runs_alone():
    logic = a_logic()
    running(logic, "0-1", cores=0.5, memory_bytes=600)
    assert [a.phase for a in logic.attempts.values()] == [Phase.RUNNING, Phase.READY]
    larger = a_logic()
    running(larger, "0", cores=64.0)
    assert larger.attempts[KEY].phase is Phase.RUNNING


def test_room_is_what_is_left_beyond_all_that_is_held():
    logic = a_logic()
    lease(logic, "0", memory_bytes=100)
    assert logic.next_sync(1.0).room == wire.Room(1.0, 900, 0)
    logic.prepared(KEY, 1.0)
    assert logic.next_sync(1.0).room == wire.Room(1.0, 900, 0)
    logic.exited(KEY, RunEnd(20, 0), 2.0)
    assert logic.next_sync(10.0).room == wire.Room(2.0, 1000, 0)


def test_an_attempt_that_never_started_gives_its_room_back():
    logic = a_logic()
    lease(logic, "0-1")
    logic.failed(KEY, RunEnd(5, error_code="RESOURCE_MISSING"), 1.0)
    order(logic, stops=[wire.Stop(*SECOND, cancelled=False)])
    assert logic.next_sync(10.0).room == wire.Room(2.0, 1000, 0)


# Orders


def test_orders_are_taken_once_and_only_for_the_newest_question():
    logic = a_logic()
    old = logic.next_sync(1.0)
    new = logic.next_sync(2.0)
    given = {"works": [a_work()], "leases": [wire.Leased(1, 1, "0")]}
    assert logic.orders(answer(old, **given)) == []
    assert logic.orders(answer(new, **given)) == [Prepare(KEY)]
    assert logic.orders(answer(new, **given)) == []


def test_a_lease_that_is_said_again_is_the_same_lease():
    logic = a_logic()
    assert lease(logic) == [Prepare(KEY)]
    assert lease(logic) == []
    assert logic.next_sync(1.0).holds == [wire.Held(1, 1, "0")]


def test_a_lease_whose_task_is_not_told_is_not_held():
    logic = a_logic()
    assert order(logic, leases=[wire.Leased(1, 1, "0")]) == []
    assert logic.next_sync(1.0).holds == []


def test_tasks_are_forgotten_with_their_last_attempt():
    logic = a_logic()
    running(logic, "0-1")
    for key in (KEY, SECOND):
        ended(logic, key)
    assert acknowledged(logic) == [Discard(KEY), Discard(SECOND)]
    assert logic.works == {}
    order(logic, works=[a_work(), a_work(2)], stops=[wire.Stop(2, 0, 1, cancelled=True)])
    assert logic.works == {}


def test_a_database_that_was_restored_makes_all_leases_void():
    logic = a_logic()
    running(logic)
    assert logic.orders(answer(logic.next_sync(2.0), incarnation="restored")) == [Kill(KEY)]
    assert logic.exited(KEY, RunEnd(20, 137), 3.0) == [Discard(KEY)]
    assert logic.report_due(3.0) is None


# Cancels


def test_a_cancel_that_comes_before_its_lease_wins():
    logic = a_logic()
    order(logic, stops=[wire.Stop(*KEY, cancelled=True)])
    assert lease(logic) == []
    [end] = logic.next_report(1.0).ended
    assert (end.number, end.error_code) == (0, "CANCELLED")


def test_cancels_of_leases_that_never_came_do_not_pile_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "BURIED_LIMIT", 3)
    logic = a_logic()
    for number in range(5):
        order(logic, stops=[wire.Stop(1, number, 1, cancelled=True)])
    assert lease(logic, "2-4") == []
    assert lease(logic, "0-1") == [Prepare(KEY), Prepare(SECOND)]


def test_a_cancel_kills_once_and_is_told_when_the_run_is_gone():
    logic = a_logic()
    running(logic)
    stop = [wire.Stop(*KEY, cancelled=True)]
    assert order(logic, stops=stop) == [Kill(KEY)]
    assert order(logic, stops=stop) == []
    assert logic.report_due(2.0) is None
    ended(logic, exit_code=137)
    [end] = logic.next_report(3.0).ended
    assert (end.exit_code, end.error_code, end.error_message) == (None, "CANCELLED", "it was cancelled")


def test_a_cancelled_run_uploads_only_if_its_task_wants_that():
    for wanted in (False, True):
        logic = a_logic()
        running(logic, has_results=True, upload_on_cancel=wanted)
        order(logic, stops=[wire.Stop(*KEY, cancelled=True)])
        assert logic.exited(KEY, RunEnd(20, 137), 2.0) == [Collect(KEY, upload=wanted)]


def test_what_is_not_ours_any_more_is_ended_without_a_word():
    logic = a_logic()
    running(logic)
    logic.output(KEY, 0, 0, b"x\n")
    logic.next_report(1.0)
    assert order(logic, stops=[wire.Stop(*KEY, cancelled=False)]) == [Kill(KEY)]
    logic.output(KEY, 0, 2, b"more\n")
    assert logic.exited(KEY, RunEnd(20, 137), 2.0) == [Discard(KEY)]
    assert logic.report_due(5.0) is None


# Leases that are over, and ends of the node


def test_when_the_lease_is_over_everything_stops_and_nothing_starts():
    logic = a_logic()
    running(logic, "0-3")
    until = 1.0 + LEASE * (1 - LEASE_MARGIN)
    assert logic.tick(until - 0.1, 5) == []
    assert logic.tick(until, 5) == [Kill(KEY), Kill(SECOND)]
    assert logic.tick(until + 1, 6) == []
    for key in (KEY, SECOND):
        assert logic.exited(key, RunEnd(7, 137), until + 2) == []
    assert {(end.number, end.lost) for end in logic.next_report(until + 3).ended} == {(n, True) for n in range(4)}


def test_the_lease_counts_from_the_question_not_from_the_answer():
    logic = a_logic()
    running(logic)
    sync = logic.next_sync(100.0)
    logic.orders(answer(sync))
    assert logic.tick(100.0 + LEASE * (1 - LEASE_MARGIN) - 0.1, 5) == []
    assert logic.tick(100.0 + LEASE * (1 - LEASE_MARGIN), 5) == [Kill(KEY)]


def test_a_node_that_ends_starts_nothing_more_and_says_so():
    logic = a_logic()
    running(logic, "0-2")
    assert logic.shut_down(9) == [Kill(KEY), Kill(SECOND)]
    assert order(logic, works=[a_work()], leases=[wire.Leased(1, 1, "3")]) == []
    for key in (KEY, SECOND):
        assert logic.exited(key, RunEnd(10, 137), 2.0) == []
    assert logic.next_sync(3.0).room == wire.Room()
    report = logic.next_report(3.0)
    assert sorted((end.number, end.lost) for end in report.ended) == [(number, True) for number in range(4)]
    logic.receipt(report, wire.Receipt())
    assert logic.attempts == {}


def test_a_found_run_that_ends_with_its_node_is_told_as_lost_though_nobody_confirmed_it():
    logic = a_logic()
    logic.recover(KEY, 10, None)
    assert logic.shut_down(9) == [Kill(KEY)]
    logic.exited(KEY, RunEnd(10, 137), 2.0)
    [end] = logic.next_report(3.0).ended
    assert end.lost


# Reports


def test_a_report_that_did_not_arrive_is_told_again_in_the_same_order():
    logic = a_logic()
    running(logic)
    logic.started(KEY, 10)
    logic.output(KEY, 0, 0, b"a\n")
    first = logic.next_report(1.0)
    logic.output(KEY, 0, 2, b"b\n")
    logic.report_failed(first)
    second = logic.next_report(2.0)
    assert second.started == first.started
    assert [piece.data for piece in second.outputs] == [b"a\n", b"b\n"]
    logic.receipt(second, wire.Receipt())
    assert logic.pending_output_bytes == 0


def test_an_end_waits_for_its_output(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox, "REPORT_ITEMS", 1)
    logic = a_logic()
    running(logic)
    logic.output(KEY, 0, 0, b"a\n")
    logic.output(KEY, 0, 2, b"b\n")
    ended(logic)
    first, second = logic.next_report(3.0), logic.next_report(3.0)
    assert ([p.data for p in first.outputs], first.ended) == ([b"a\n"], [])
    assert ([p.data for p in second.outputs], len(second.ended)) == ([b"b\n"], 1)


def test_ends_with_many_files_share_reports_that_a_server_takes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox, "REPORT_BYTES", 10_000)
    logic = Logic("node", 1, wire.Offer(64.0, 1000, "process", isolated=False, takes_images=False))
    running(logic, "0-5", has_results=True)
    files = [wire.ResultFile("f" * 60, n, 1, "etag") for n in range(50)]
    for number in range(6):
        logic.exited((1, number, 1), RunEnd(20, 0), 2.0)
        logic.collected((1, number, 1), files, [], None, 2.0)
    told = []
    while logic.report_due(100.0) is not None:
        told.append(len(logic.next_report(100.0).ended))
    assert sum(told) == 6
    assert max(told) == 2


def test_output_that_does_not_join_on_is_sent_again_before_the_end():
    logic = a_logic()
    running(logic)
    logic.output(KEY, 0, 0, b"a\n")
    ended(logic)
    report = logic.next_report(3.0)
    effects = logic.receipt(report, wire.Receipt(known=[wire.Known(*KEY, 0, 0)]))
    assert effects == [Resume(KEY, 0, 0), Collect(KEY, upload=False)]
    assert logic.report_due(4.0) is None
    logic.output(KEY, 0, 0, b"a\n")
    logic.collected(KEY, [], [], None, 4.0)
    again = logic.next_report(5.0)
    assert ([p.data for p in again.outputs], again.ended) == ([b"a\n"], report.ended)
    assert logic.receipt(again, wire.Receipt()) == [Discard(KEY)]


def test_an_end_that_is_refused_is_dropped():
    logic = a_logic()
    running(logic)
    ended(logic)
    assert acknowledged(logic, refused=[wire.Refusal(*KEY)]) == [Discard(KEY)]
    assert logic.next_sync(5.0).holds == []


def test_a_few_ends_are_told_at_once_and_many_wait_for_company():
    logic = Logic("node", 1, wire.Offer(1000.0, 1000, "process", isolated=False, takes_images=False))
    running(logic, f"0-{BUSY_ENDS}")
    ended(logic, (1, 0, 1), 2.0)
    assert logic.report_due(2.0) == 2.0
    for number in range(1, BUSY_ENDS + 1):
        ended(logic, (1, number, 1), 2.0)
    acknowledged(logic, 2.0)
    running(logic, "100")
    ended(logic, (1, 100, 1), 2.1)
    assert logic.report_due(2.1) == pytest.approx(2.1 + BUSY_DELAY)
    assert 0 < logic.next_sync(2.1).room.ahead <= AHEAD_LIMIT


def test_room_that_was_told_for_a_burst_is_taken_back():
    logic = a_logic()
    running(logic)
    ended(logic, mono=2.0)
    assert logic.next_sync(2.0).room.ahead == 1
    acknowledged(logic, 2.0)
    assert logic.report_due(2.0) is None
    assert logic.report_due(9.0) == 9.0
    assert logic.next_report(9.0).room.ahead == 0
    assert logic.report_due(9.0) is None


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"exit_code": 0}, ""),
        ({"exit_code": 3}, "the command ended with exit code 3"),
        ({"exit_code": 137}, "the command was ended by signal 9 (exit code 137)"),
        ({"exit_code": 137, "error_code": "OUT_OF_MEMORY", "error_message": "too large"}, "too large"),
    ],
)
def test_an_end_says_in_words_what_an_exit_code_means(how: dict[str, Any], told: str):
    logic = a_logic()
    running(logic)
    ended(logic, **how)
    [end] = logic.next_report(3.0).ended
    assert end.error_message == told
    assert bool(end.error_code) == bool(told)


def test_results_that_could_not_be_stored_are_a_failure_unless_the_command_failed_itself():
    for exit_error, told in (("", "TOO_MANY_RESULTS"), ("OUT_OF_MEMORY", "OUT_OF_MEMORY")):
        logic = a_logic()
        running(logic, has_results=True)
        logic.exited(KEY, RunEnd(20, 137 if exit_error else 0, exit_error), 2.0)
        logic.collected(KEY, [], [], RunEnd(21, None, "TOO_MANY_RESULTS"), 2.0)
        [end] = logic.next_report(3.0).ended
        assert end.error_code == told


def test_an_end_that_waits_for_its_output_is_told_when_the_node_shuts_down():
    logic = a_logic()
    running(logic)
    logic.started(KEY, 5)
    logic.output(KEY, 0, 0, b"line\n")
    logic.exited(KEY, RunEnd(9, 0), 2.0)
    logic.collected(KEY, [], [], None, 2.0)
    report = logic.next_report(3.0)
    logic.receipt(report, wire.Receipt(known=[wire.Known(*KEY, 0, 0)]))
    logic.shut_down(10)
    assert logic.report_due(4.0) is not None
    assert [end.lost for end in logic.next_report(4.0).ended] == [True]
