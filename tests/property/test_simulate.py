"""The laws hold in a whole cluster, whatever crashes, gets lost or comes twice (see simulate.py)."""

import pytest

from hearth.domain.ranges import RangeSet
from tests.property import laws  # noqa: F401
from tests.property.simulate import quiet, simulate

STEPS = 60


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "seeds", ["0-3", *(pytest.param(more, marks=pytest.mark.slow) for more in ("4-7", "8-11", "12-15"))]
)
def test_the_laws_hold_whatever_fails(seeds: str):
    quiet()
    for seed in RangeSet.parse(seeds):
        story = simulate(seed, STEPS)
        again = f"python -m tests.property.simulate --seeds {seed} --steps {STEPS} --trace"
        assert story.broken == [], again
        assert story.commits > 0


def test_a_seed_tells_the_same_story_every_time():
    quiet()
    first, second = (simulate(1, 30) for _ in range(2))
    assert first.trace == second.trace
    assert (first.commits, first.processes, first.ended) == (second.commits, second.processes, second.ended)


def laws_hold() -> None:
    """Try seeds until one is broken: for the mutants."""
    quiet()
    for seed in range(60):
        story = simulate(seed, STEPS)
        if story.broken:
            raise AssertionError(f"seed {seed}: {story.broken[0]}")
