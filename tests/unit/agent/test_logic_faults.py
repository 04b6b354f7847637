"""Faults of a node, runs that take too long, and ends that a user wanted."""

from __future__ import annotations

import pytest

from hearth.agent.attempt import Collect, Discard, Filled, Kill, RunEnd, Start, TakeSnapshot
from hearth.agent.room import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
from hearth.wire import agent as wire
from tests.unit.agent.test_logic import KEY, SECOND, a_logic, a_work, acknowledged, lease, order, running

FULL = "the node could not make its folder: the disk is full"
SECOND_US = 1_000_000


def test_a_node_that_cannot_prepare_gives_the_attempt_back_and_takes_no_more():
    logic = a_logic()
    lease(logic, "0-1")
    assert logic.fault(KEY, FULL, 50, 1.0) == []
    report = logic.next_report(1.0)
    assert report.ended == [wire.Ended(*KEY, 50, error_message=FULL, lost=True, returned=True)]
    assert report.room == wire.Room()
    assert logic.next_sync(1.0).holds == [wire.Held(1, 1, "0-1")]  # until the server knows
    assert logic.receipt(report, wire.Receipt()) == [Discard(KEY)]


def test_what_is_held_already_may_start_in_a_pause():
    logic = a_logic()
    lease(logic, "0-1")
    logic.fault(KEY, FULL, 50, 1.0)
    assert logic.prepared(SECOND, 1.0) == [Start(SECOND)]


def test_pauses_grow_until_something_starts():
    logic = a_logic()
    room, now, pauses = logic.room, 0.0, []
    for _ in range(9):
        logic.fault((9, 9, 9), FULL, 50, now)
        began = now
        while not room.should_look(now):
            now += 0.5
        pauses.append(now - began)
        room.mended()
        assert logic.next_sync(now).room == wire.Room(2.0, 1000, 0)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    running(logic)
    logic.started(KEY, 10)
    logic.fault((9, 9, 9), FULL, 50, now)
    assert room.should_look(now + FIRST_PAUSE_SECONDS)


def test_faults_of_one_moment_are_one_fault():
    logic = a_logic()
    lease(logic, "0-2")
    for key in (KEY, SECOND, (1, 2, 1)):
        logic.fault(key, FULL, 50, 1.0)
    assert logic.room.should_look(1.0 + FIRST_PAUSE_SECONDS)


def test_a_fault_that_stays_is_looked_at_less_and_less():
    room = a_logic().room
    room.fault(0.0)
    room.still_faulty(1.0)
    assert not room.should_look(2.9)
    assert room.should_look(3.0)


def test_what_had_begun_is_lost_and_not_given_back():
    logic = a_logic()
    running(logic)
    logic.started(KEY, 10)
    logic.fault(KEY, FULL, 50, 2.0)
    [end] = logic.next_report(3.0).ended
    assert (end.lost, end.returned) == (True, False)


def test_what_could_not_be_started_is_given_back():
    logic = a_logic()
    running(logic)
    logic.fault(KEY, "the node could not start it: no processes", 50, 2.0)
    [end] = logic.next_report(3.0).ended
    assert (end.lost, end.returned, end.started_at) == (True, True, None)


# Time limits


def test_a_run_that_takes_too_long_is_ended_and_its_results_are_collected():
    logic = a_logic()
    running(logic, run_seconds=60, has_results=True)
    logic.started(KEY, 10 * SECOND_US)
    assert logic.tick(2.0, 70 * SECOND_US - 1) == []
    assert logic.tick(2.0, 70 * SECOND_US) == [Kill(KEY)]
    assert logic.tick(2.0, 71 * SECOND_US) == []
    assert logic.exited(KEY, RunEnd(72 * SECOND_US, 137), 3.0) == [Collect(KEY, upload=True)]
    logic.collected(KEY, [wire.ResultFile("a", 1, 1, "e")], [], None, 4.0, "last words")
    [end] = logic.next_report(5.0).ended
    assert (end.exit_code, end.error_code, end.debug) == (None, "WALL_TIME", "last words")
    assert end.error_message == "it was ended because it ran for more than 60 s, as long as it may"
    assert len(end.files) == 1


def test_the_time_of_a_run_that_was_found_again_counts_from_its_start():
    logic = a_logic()
    logic.recover(KEY, 10 * SECOND_US, None)
    order(logic, works=[a_work(run_seconds=60)], known=[wire.Known(*KEY, 0, 0)])
    assert logic.tick(2.0, 69 * SECOND_US) == []
    assert logic.tick(2.0, 70 * SECOND_US) == [Kill(KEY)]


@pytest.mark.parametrize(
    ("ran", "code", "error"), [(60, 137, "WALL_TIME"), (59, 137, "EXIT_CODE"), (61, 1, "EXIT_CODE")]
)
def test_a_kill_for_its_length_is_known_for_one_after_the_agent_that_did_it_died(ran: int, code: int, error: str):
    logic = a_logic()
    logic.recover(KEY, 0, RunEnd(ran * SECOND_US, code))
    order(logic, works=[a_work(run_seconds=60)], known=[wire.Known(*KEY, 0, 0)])
    logic.collected(KEY, [], [], None, 3.0)
    [end] = logic.next_report(4.0).ended
    assert end.error_code == error


def test_a_run_that_ended_in_time_has_no_limit_left():
    logic = a_logic()
    running(logic, run_seconds=60)
    logic.started(KEY, 0)
    logic.exited(KEY, RunEnd(59 * SECOND_US, 0), 2.0)
    assert logic.tick(3.0, 99 * SECOND_US) == []


# Cancelled


def test_a_run_that_its_user_ended_has_no_exit_code_and_one_that_ended_by_itself_keeps_its_own():
    for killed, exit_code in ((True, None), (False, 3)):
        logic = a_logic()
        running(logic)
        logic.started(KEY, 10)
        if killed:
            order(logic, stops=[wire.Stop(*KEY, cancelled=True)])
            logic.exited(KEY, RunEnd(20, 137), 2.0)
        else:
            logic.exited(KEY, RunEnd(20, 3), 2.0)
            order(logic, stops=[wire.Stop(*KEY, cancelled=True)])
        logic.collected(KEY, [], [], None, 3.0)
        [end] = logic.next_report(4.0).ended
        assert (end.exit_code, end.error_code, end.error_message) == (exit_code, "CANCELLED", "it was cancelled")


# Times and snapshots


def test_the_time_that_fetching_took_is_told_with_start_and_end():
    logic = a_logic()
    lease(logic)
    logic.prepared(KEY, 1.0, Filled(1234))
    logic.started(KEY, 10)
    report = logic.next_report(2.0)
    assert report.started == [wire.Started(*KEY, 10, 1234)]
    logic.receipt(report, wire.Receipt())
    logic.exited(KEY, RunEnd(20, 0), 3.0)
    logic.collected(KEY, [], [], None, 3.0)
    [end] = logic.next_report(4.0).ended
    assert end.download_microseconds == 1234


def test_a_snapshot_that_is_ordered_is_taken_and_told_with_reports():
    logic = a_logic()
    running(logic, "0-1")
    for key in (KEY, SECOND):
        logic.started(key, 10)
    acknowledged(logic)
    wanted = wire.Snapshot(5, 1, 1, "0-1", "w", "b")
    assert order(logic, snapshots=[wanted]) == [TakeSnapshot(5, KEY, "w", "b"), TakeSnapshot(5, SECOND, "w", "b")]
    assert order(logic, snapshots=[wanted]) == []
    assert logic.report_due(5.0) is None
    logic.snapshot_over(5, KEY, [], "no")
    assert logic.report_due(5.0) == 5.0
    report = logic.next_report(5.0)
    assert report.snapshots == [wire.SnapshotPart(5, *KEY, over=True, error="no")]
    logic.report_failed(report)
    assert logic.next_report(6.0).snapshots == report.snapshots
