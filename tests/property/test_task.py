"""A task is what its instances are: counted by moves, and recounted one by one."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from hearth.domain.errors import StaleLease, TransitionRefused
from hearth.domain.instance import Instance, InstanceState, advance
from hearth.domain.ranges import RangeSet
from hearth.domain.task import Moves, Progress, task_state
from tests.property import laws  # noqa: F401
from tests.property.test_instance import KINDS, event_of

S = InstanceState
SIZE = 5


def mixed(seed: int) -> list[tuple[int, str, bool, bool]]:
    """Steps: the instance, what happens to it, whether a retry is allowed, whether the batch is applied then."""
    chance = Random(seed)
    kinds = [*KINDS[: 6 + seed % 5], "start"]  # some stories have no losses, some no cancels
    return [
        (chance.randrange(SIZE), chance.choice(kinds), chance.random() < 0.5, chance.random() < 0.4) for _ in range(50)
    ]


STEPS = st.integers(0, 1 << 32).map(mixed)


def naive_state(states: list[InstanceState], *, cancel: bool, delete: bool) -> str:
    """The state of a task in plain words, from a list of its instances' states."""
    if all(state.is_final for state in states):
        if S.CANCELLED in states:
            return "Cancelled"
        return "Failure" if S.FAILED in states else "Success"
    if delete:
        return "PendingDelete"
    if cancel:
        return "PendingCancel"
    not_yet = [state for state in states if state in (S.WAITING, S.DISPATCHED)]
    if S.RUNNING in states:
        return "PartiallyExecuting" if not_yet else "FullyExecuting"
    if not not_yet:
        return "UploadingResults"
    if any(state.is_final or state is S.UPLOADING for state in states):
        return "PartiallyExecuting"
    if S.DISPATCHED not in states:
        return "Submitted"
    return "PartiallyDispatched" if S.WAITING in states else "FullyDispatched"


def recount(instances: list[Instance], started: set[int]) -> Progress:
    def numbers(state: InstanceState) -> RangeSet:
        return RangeSet.of(i.number for i in instances if i.state is state)

    def count(state: InstanceState) -> int:
        return len([i for i in instances if i.state is state])

    return Progress(
        total=len(instances),
        waiting=numbers(S.WAITING),
        dispatched=count(S.DISPATCHED),
        running=count(S.RUNNING),
        uploading=count(S.UPLOADING),
        cancelling=count(S.CANCELLING),
        succeeded=numbers(S.SUCCEEDED),
        failed=numbers(S.FAILED),
        cancelled=numbers(S.CANCELLED),
        started=RangeSet.of(started),
    )


@given(STEPS, st.booleans())
def test_moves_in_batches_make_the_progress_that_a_recount_finds(
    steps: list[tuple[int, str, bool, bool]], delete: bool
):
    instances = [Instance(1, number) for number in range(SIZE)]
    progress, moves, started, cancelled = recount(instances, set()), Moves(), set[int](), False
    for at, (number, kind, retry, apply) in enumerate(steps, start=1):
        before = instances[number]
        try:
            after, _ = advance(before, event_of(before, kind, 0, retry, at))
        except (StaleLease, TransitionRefused):
            continue
        instances[number] = after
        cancelled |= kind == "cancel"
        moves.add(number, before.state, after.state)
        if after.started_at is not None and before.started_at is None:
            moves.started(number)
            started.add(number)
        if apply:
            progress, moves = moves.apply(progress), Moves()
            progress.check()
            assert progress == recount(instances, started)
            states = [instance.state for instance in instances]
            for delete_asked in (False, delete):
                assert task_state(progress, cancel_requested=cancelled, delete_requested=delete_asked) == naive_state(
                    states, cancel=cancelled, delete=delete_asked
                )
    assert moves.apply(progress) == recount(instances, started)


@given(st.lists(st.sampled_from(list(S)), min_size=1, max_size=8), st.booleans(), st.booleans())
def test_the_state_of_any_mixture_is_the_one_in_plain_words(states: list[InstanceState], cancel: bool, delete: bool):
    instances = [Instance(1, number, state) for number, state in enumerate(states)]
    progress = recount(instances, set())
    progress.check()
    assert (progress.live, progress.ended) == (
        len([state for state in states if state.is_live]),
        len([state for state in states if state.is_final]),
    )
    assert task_state(progress, cancel_requested=cancel, delete_requested=delete) == naive_state(
        states, cancel=cancel, delete=delete
    )
