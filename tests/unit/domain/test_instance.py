"""The life of one instance, event by event."""

import pytest

from hearth.domain.errors import StaleLease, TransitionRefused
from hearth.domain.instance import (
    Cancelled,
    Claimed,
    Ended,
    Event,
    Exited,
    Failure,
    Instance,
    InstanceState,
    Lost,
    Published,
    Retried,
    RetryRule,
    Started,
    StopWanted,
    advance,
)
from tests.unit.domain.builders import (
    BOOT,
    FAILED,
    NODE_A,
    NODE_B,
    after,
    an_instance,
    cancelling,
    dispatched,
    failed,
    lost,
    running,
    succeeded,
    uploading,
)

LIVE = [dispatched, running, uploading, cancelling]
OVER = [succeeded, failed, lambda i: after(i, Cancelled(5))]


def test_a_claim_makes_the_next_attempt_and_names_its_node():
    instance, effects = advance(an_instance(number=4), Claimed(NODE_A, BOOT, 10))
    assert instance == Instance(1, 4, InstanceState.DISPATCHED, attempt=1, node_id=NODE_A, boot=BOOT, dispatched_at=10)
    assert effects == []


def test_a_claim_of_something_claimed_is_refused():
    with pytest.raises(TransitionRefused, match="instance 0 is DISPATCHED, not WAITING"):
        advance(dispatched(an_instance()), Claimed(NODE_B, BOOT, 11))


def test_a_second_claim_keeps_nothing_of_the_first_attempt_but_the_counts():
    first = after(running(an_instance()), Ended(1, 40, exit_code=3, failure=FAILED, cpu_microseconds=9, retry=True))
    assert dispatched(first, node=NODE_B, at=60) == Instance(
        1, 0, InstanceState.DISPATCHED, attempt=2, failures=1, node_id=NODE_B, boot=BOOT, dispatched_at=60
    )


def test_a_report_from_a_lost_node_is_refused():
    again = dispatched(lost(dispatched(an_instance())), node=NODE_B)
    with pytest.raises(StaleLease, match="attempt 1 of instance 0 of task 1 is over: 2 is current"):
        advance(again, Exited(attempt=1, exit_code=0, at=70))


@pytest.mark.parametrize("word", [Started(1, 9), Exited(1, 0, 9), Ended(1, 9), Lost(1, 9, "gone", 3)])
@pytest.mark.parametrize("make", OVER)
def test_nothing_that_a_node_says_after_the_end_counts(make, word: Event):
    with pytest.raises(StaleLease):
        advance(make(an_instance()), word)


@pytest.mark.parametrize("word", [Started(0, 9), Exited(0, 0, 9), Ended(0, 9), Lost(0, 9, "gone", 3)])
def test_attempt_zero_was_never_given_to_anybody(word: Event):
    with pytest.raises(StaleLease):
        advance(an_instance(), word)


@pytest.mark.parametrize("make", OVER)
def test_cancelling_what_is_over_changes_nothing(make):
    over = make(an_instance())
    assert advance(over, Cancelled(99)) == (over, [])


@pytest.mark.parametrize("make", LIVE)
def test_a_start_that_is_told_late_or_twice_changes_nothing(make):
    instance = make(an_instance())
    if instance.state is InstanceState.DISPATCHED:
        instance = after(instance, Started(1, 20))
    assert advance(instance, Started(1, 99)) == (instance, [])


@pytest.mark.parametrize("make", [uploading, cancelling])
def test_an_exit_that_is_told_late_or_twice_changes_nothing(make):
    instance = make(an_instance())
    assert advance(instance, Exited(1, 5, 99)) == (instance, [])


def test_an_exit_may_overtake_the_start():
    instance = after(dispatched(an_instance()), Exited(1, 0, 30), Started(1, 20))
    assert instance.state is InstanceState.UPLOADING


@pytest.mark.parametrize("make", [dispatched, running, uploading])
def test_success_publishes_and_says_what_it_used(make):
    instance, effects = advance(
        make(an_instance()),
        Ended(1, 40, exit_code=0, started_at=21, exited_at=31, cpu_microseconds=8, peak_memory=9),
    )
    assert effects == [Published(1)]
    assert instance == Instance(
        1,
        0,
        InstanceState.SUCCEEDED,
        attempt=1,
        dispatched_at=10,
        started_at=21,
        exited_at=31,
        ended_at=40,
        exit_code=0,
        cpu_microseconds=8,
        peak_memory=9,
    )


def test_an_end_that_tells_no_times_keeps_those_that_were_told():
    instance = after(uploading(an_instance()), Ended(1, 40, exit_code=0))
    assert (instance.started_at, instance.exited_at) == (20, 30)


def test_the_last_failure_is_the_end_and_publishes_what_was_good():
    instance, effects = advance(running(an_instance()), Ended(1, 40, exit_code=3, failure=FAILED))
    assert (instance.state, instance.failures, instance.failure) == (InstanceState.FAILED, 1, FAILED)
    assert effects == [Published(1)]


def test_a_failure_with_a_retry_left_waits_again_and_publishes_nothing():
    instance, effects = advance(running(an_instance()), Ended(1, 40, exit_code=3, failure=FAILED, retry=True))
    assert (instance.state, instance.failures, instance.losses) == (InstanceState.WAITING, 1, 0)
    assert (instance.node_id, instance.boot, instance.ended_at) == (None, None, None)
    assert effects == [Retried(1, FAILED, counts=True)]


def test_a_success_is_not_retried():
    instance, _ = advance(running(an_instance()), Ended(1, 40, exit_code=0, retry=True))
    assert instance.state is InstanceState.SUCCEEDED


@pytest.mark.parametrize("make", [dispatched, running, uploading])
def test_a_loss_is_not_the_users_failure(make):
    instance, effects = advance(make(an_instance()), Lost(1, 50, "the node is gone", 3))
    assert (instance.state, instance.failures, instance.losses) == (InstanceState.WAITING, 0, 1)
    assert effects == [Retried(1, Failure("NODE_LOST", "the node is gone"), counts=False)]


@pytest.mark.parametrize(("before", "state"), [(2, InstanceState.WAITING), (3, InstanceState.FAILED)])
def test_losses_have_a_cap_of_their_own(before: int, state: InstanceState):
    instance = lost(dispatched(an_instance(losses=before)), allowed=3)
    assert (instance.state, instance.losses, instance.failures) == (state, before + 1, 0)


def test_one_loss_too_many_says_so_and_publishes_nothing():
    instance, effects = advance(dispatched(an_instance(losses=3)), Lost(1, 50, "the node is gone", 3))
    assert instance.failure == Failure(
        "NODE_LOST_TOO_OFTEN", "the node is gone; this was node loss number 4 of this instance"
    )
    assert instance.ended_at == 50
    assert effects == []


def test_cancelling_something_that_waits_ends_it():
    instance, effects = advance(an_instance(), Cancelled(25))
    assert (instance.state, instance.ended_at) == (InstanceState.CANCELLED, 25)
    assert effects == []


@pytest.mark.parametrize("make", [dispatched, running, uploading])
def test_cancelling_something_on_a_node_waits_for_the_node(make):
    instance, effects = advance(make(an_instance()), Cancelled(25))
    assert (instance.state, instance.node_id, instance.ended_at) == (InstanceState.CANCELLING, NODE_A, None)
    assert effects == [StopWanted(NODE_A, 1)]


def test_cancelling_twice_stops_once():
    instance = cancelling(an_instance())
    assert advance(instance, Cancelled(26)) == (instance, [])


@pytest.mark.parametrize(
    "end",
    [
        Ended(1, 40, exit_code=0),
        Ended(1, 40, exit_code=3, failure=FAILED, retry=True),
        Lost(1, 40, "the node is gone", 3),
    ],
)
def test_a_cancelled_instance_ends_cancelled_however_its_command_ended(end: Event):
    instance, effects = advance(cancelling(an_instance()), end)
    assert (instance.state, instance.node_id, instance.ended_at) == (InstanceState.CANCELLED, None, 40)
    assert effects == []


def test_results_of_a_cancelled_instance_are_shown_when_they_are_wanted():
    instance, effects = advance(cancelling(an_instance()), Ended(1, 40, exit_code=137, results_wanted=True))
    assert instance.state is InstanceState.CANCELLED
    assert effects == [Published(1)]


@pytest.mark.parametrize(
    ("rule", "failures", "task_retries", "allowed"),
    [
        (RetryRule(), 1, 0, False),
        (RetryRule(total=0, per_instance=0), 1, 0, False),
        (RetryRule(per_instance=1), 1, 10**6, True),
        (RetryRule(per_instance=1), 2, 0, False),
        (RetryRule(total=1), 10**6, 0, True),
        (RetryRule(total=1), 1, 1, False),
        (RetryRule(total=2, per_instance=1), 1, 1, True),
        (RetryRule(total=2, per_instance=1), 2, 1, False),
        (RetryRule(total=2, per_instance=1), 1, 2, False),
        (RetryRule(total=0, per_instance=2), 2, 50, True),
        (RetryRule(total=2, per_instance=0), 50, 1, True),
    ],
)
def test_a_rule_allows_retries_by_instance_by_task_or_by_the_stricter(rule, failures, task_retries, allowed):
    assert rule.allows(failures, task_retries) is allowed


def test_an_attempt_that_a_node_gave_back_before_it_began_waits_again_at_no_cost():
    given_back = Lost(1, 50, "the disk is full", 3, counts=False)
    instance, effects = advance(dispatched(an_instance(losses=3)), given_back)
    assert (instance.state, instance.failures, instance.losses) == (InstanceState.WAITING, 0, 3)
    assert effects == [Retried(1, Failure("NODE_FAULT", "the disk is full"), counts=False)]


def test_what_has_begun_cannot_be_given_back():
    instance, effects = advance(running(an_instance()), Lost(1, 50, "the disk is full", 3, counts=False))
    assert (instance.state, instance.losses) == (InstanceState.WAITING, 1)
    assert effects == [Retried(1, Failure("NODE_LOST", "the disk is full"), counts=False)]


def test_an_attempt_that_is_given_back_when_nobody_wants_it_any_more_is_cancelled():
    instance, _ = advance(cancelling(an_instance()), Lost(1, 50, "the disk is full", 3, counts=False))
    assert instance.state is InstanceState.CANCELLED
