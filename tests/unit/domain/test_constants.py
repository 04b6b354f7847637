"""Which constants count for an instance, and what they say of its time."""

import pytest

from hearth.domain.constants import LIMIT, LIMITED, effective, run_seconds, unexported
from hearth.domain.errors import Invalid
from hearth.domain.profile import Constant, Profile
from hearth.domain.spec import TaskSpec

SIMULATION = Profile("simulation", constants=(Constant(LIMITED, "false"), Constant(LIMIT, "8h"), Constant("A", "1")))


def limited(value: str, used: str = "true", *, profile: Profile = SIMULATION) -> int:
    return run_seconds(profile, TaskSpec(constants={LIMITED: used, LIMIT: value}))


def test_the_tasks_constants_are_over_the_profiles_and_forced_ones_over_all():
    spec = TaskSpec(
        constants={"A": "2", "B": "3"},
        forced_constants=(
            {"constantName": "B", "forcedValue": "4"},
            {"constantName": "A", "forceExportInEnvironment": True},  # no value: unchanged
        ),
    )
    assert effective(SIMULATION, spec) == {LIMITED: "false", LIMIT: "8h", "A": "2", "B": "4"}


def test_forced_constants_may_stay_out_of_the_environment():
    spec = TaskSpec(
        forced_constants=(
            {"constantName": "A", "forceExportInEnvironment": False},
            {"constantName": "B", "forceExportInEnvironment": True},
            {"constantName": "C", "forcedValue": "c"},
        )
    )
    assert unexported(spec) == ["A"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("90s", 90), ("5m", 300), ("8h", 28_800), ("1d", 86_400), ("1H30M", 5400), (" 2d12h ", 216_000)],
)
def test_a_limit_of_the_users_is_read(value: str, seconds: int):
    assert limited(value) == seconds


@pytest.mark.parametrize("value", ["", "8", "h", "8 h", "8x", "-1h", "0s", "99999999d", "1.5h", "${X}"])
def test_a_limit_that_cannot_be_read_is_refused_with_its_name(value: str):
    with pytest.raises(Invalid) as refusal:
        limited(value)
    assert refusal.value.field == f"constants.{LIMIT}"


def test_whether_there_is_a_limit_must_be_a_truth():
    with pytest.raises(Invalid) as refusal:
        limited("8h", "perhaps")
    assert refusal.value.field == f"constants.{LIMITED}"


def test_a_limit_that_is_not_used_does_not_count_but_must_be_readable():
    assert limited("8h", "False") == 0
    assert limited("", "false") == 0
    with pytest.raises(Invalid):
        limited("soon", "false")


def test_the_shorter_of_the_profiles_and_the_users_limit_counts():
    strict = Profile("strict", constants=SIMULATION.constants, max_wall_seconds=3600)
    assert limited("8h", profile=strict) == 3600
    assert limited("5m", profile=strict) == 300
    assert limited("5m", "no", profile=strict) == 3600


def test_profiles_that_do_not_have_the_constants_take_no_notice_of_them():
    assert limited("whatever", profile=Profile("plain", max_wall_seconds=7)) == 7
    assert limited("whatever", profile=Profile("plain")) == 0
