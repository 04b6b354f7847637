"""Whatever happens to an instance, in whatever order, its promises hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

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
from tests.property import laws  # noqa: F401

S = InstanceState
LOSSES_ALLOWED = 1
FAILURE = Failure("EXIT_CODE", "it failed")

# A word is what is said, and of which attempt: 0 the current one, -1 the one before, 1 one that never was.
KINDS = ["claim", "claim", "start", "exit", "end", "fail", "fail", "lose", "lose", "cancel"]


def mixed(seed: int) -> list[tuple[str, int, bool]]:
    """A long mixture: hypothesis alone likes to repeat itself."""
    chance = Random(seed)
    return [(chance.choice(KINDS), chance.choice([0] * 8 + [-1, 1]), chance.random() < 0.7) for _ in range(40)]


WORDS = st.integers(0, 1 << 32).map(mixed) | st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from([0, -1, 1]), st.booleans()), max_size=20
)


def event_of(instance: Instance, kind: str, shift: int, retry: bool, at: int) -> Event:
    attempt = instance.attempt + shift
    match kind:
        case "claim":
            return Claimed(at % 5, 1, at)
        case "start":
            return Started(attempt, at)
        case "exit":
            return Exited(attempt, 0, at)
        case "end":
            return Ended(attempt, at, exit_code=0, retry=retry)
        case "fail":
            return Ended(attempt, at, exit_code=3, failure=FAILURE, retry=retry)
        case "lose":
            return Lost(attempt, at, "the node is gone", LOSSES_ALLOWED)
        case _:
            return Cancelled(at)


@dataclass(slots=True)
class Story:
    """A naive account of an instance: what was said of it, believed word by word."""

    claims: int = 0
    failures: int = 0
    losses: int = 0
    held: bool = False
    cancel_asked: bool = False
    end: InstanceState | None = None
    publications: list[int] = field(default_factory=list)

    def accepts(self, event: Event) -> bool:
        if isinstance(event, Claimed):
            return not self.held and self.end is None
        if isinstance(event, Cancelled):
            return True
        return self.held and event.attempt == self.claims

    def believe(self, event: Event) -> None:
        match event:
            case Claimed():
                self.claims, self.held = self.claims + 1, True
            case Started() | Exited():
                pass
            case Cancelled():
                if self.end is None:
                    self.cancel_asked = True
                    if not self.held:
                        self.end = S.CANCELLED
            case Ended(failure=failure, retry=retry):
                self.held = False
                if self.cancel_asked:
                    self.end = S.CANCELLED
                    return
                self.failures += failure is not None
                if failure is None or not retry:
                    self.end = S.SUCCEEDED if failure is None else S.FAILED
                    self.publications.append(event.attempt)
            case Lost():
                self.held = False
                self.losses += 1
                if self.cancel_asked:
                    self.end = S.CANCELLED
                elif self.losses > LOSSES_ALLOWED:
                    self.end = S.FAILED


@given(WORDS)
@example([("claim", 0, False), ("cancel", 0, False), ("lose", 0, False)])
def test_an_instance_is_what_was_believed_of_it(words: list[tuple[str, int, bool]]):
    instance, story, published = Instance(1, 0), Story(), []
    for at, (kind, shift, retry) in enumerate(words, start=1):
        event = event_of(instance, kind, shift, retry, at)
        before = instance
        try:
            instance, effects = advance(instance, event)
        except (StaleLease, TransitionRefused) as refusal:
            refused: Exception | None = refusal
        else:
            refused = None
        if refused is not None:
            assert type(refused) is (TransitionRefused if isinstance(event, Claimed) else StaleLease)
            assert not story.accepts(event), (before, event)
            continue
        assert story.accepts(event), (before, event)
        was_over = story.end is not None
        story.believe(event)
        if was_over:
            assert (instance, effects) == (before, []), "an end is final"
        published += [effect.attempt for effect in effects if isinstance(effect, Published)]
        assert published == story.publications
        assert (instance.attempt, instance.failures, instance.losses) == (story.claims, story.failures, story.losses)
        assert (instance.node_id is not None) == (instance.boot is not None) == instance.state.is_live == story.held
        assert (instance.state if instance.state.is_final else None) == story.end
        assert (instance.ended_at is not None) == (story.end is not None)
        if before.state.is_live and instance.state.is_live:
            assert instance.state >= before.state, "no way back within an attempt"
            assert before.started_at in (None, instance.started_at)
        assert (instance.state is S.CANCELLING) == (story.held and story.cancel_asked)
        retried = [effect for effect in effects if isinstance(effect, Retried)]
        assert bool(retried) == (before.state.is_live and instance.state is S.WAITING)
        assert all(each.counts == isinstance(event, Ended) and each.attempt == before.attempt for each in retried)
        stops = [effect for effect in effects if isinstance(effect, StopWanted)]
        if instance.state is S.CANCELLING and before.state is not S.CANCELLING:
            assert stops == [StopWanted(before.node_id, before.attempt)]
        else:
            assert stops == []
    assert len(published) <= 1


@given(WORDS)
def test_saying_a_thing_twice_changes_nothing(words: list[tuple[str, int, bool]]):
    instance = Instance(1, 0)
    for at, (kind, shift, retry) in enumerate(words, start=1):
        event = event_of(instance, kind, shift, retry, at)
        try:
            instance, _ = advance(instance, event)
        except (StaleLease, TransitionRefused):
            continue
        try:
            again, effects = advance(instance, event)
        except (StaleLease, TransitionRefused):
            assert isinstance(event, Claimed | Ended | Lost)
        else:
            assert (again, effects) == (instance, [])


def has_room(limit: int | None, used: int) -> bool | None:
    return used < limit if limit else None


@given(
    total=st.none() | st.integers(0, 4),
    each=st.none() | st.integers(0, 3),
    failing=st.lists(st.integers(0, 2), max_size=40),
)
def test_retries_stay_within_both_limits_and_use_them_up(total: int | None, each: int | None, failing: list[int]):
    rule = RetryRule(total, each)
    instances = [Instance(1, number) for number in range(3)]
    retries = [0, 0, 0]
    for number in failing:
        instance = instances[number]
        if instance.state.is_final:
            continue
        instance, _ = advance(instance, Claimed(1, 1, 1))
        retry = rule.allows(instance.failures + 1, sum(retries))
        instance, _ = advance(instance, Ended(instance.attempt, 2, exit_code=1, failure=FAILURE, retry=retry))
        instances[number] = instance
        rooms = [has_room(total, sum(retries)), has_room(each, retries[number])]
        within = [room for room in rooms if room is not None] or [False]
        assert (instance.state is S.WAITING) == all(within)
        retries[number] += instance.state is S.WAITING
    assert not total or sum(retries) <= total
    assert not each or max(retries) <= each
    assert total or each or sum(retries) == 0
