"""Filters as clients send them."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.api.filters import DEPTH, PARTS, VALUES, Projects, read_filter
from hearth.domain.errors import Invalid
from hearth.store.queries.task_fields import FIELDS, TAGS, field_named
from hearth.store.queries.task_filter import Filter, Leaf, Node, Operator, checker, columns_of, simplified
from hearth_client.messages.times import parse_date

PROJECTS = Projects({7: "0a0a"}, "0a0a")


def read(told: dict[str, Any] | None) -> Filter | None:
    return read_filter(told, PROJECTS)


def leaf(name: str, operator: Operator, *values: Any) -> Leaf:
    return Leaf(FIELDS[name.lower()], operator, values)


def test_no_filter_is_no_filter() -> None:
    assert read(None) is read({}) is None


def test_operators_and_fields_are_read_in_any_case() -> None:
    told = {"Operator": "and", "Filters": [{"OPERATOR": "equal", "Field": "TAGS", "Value": "T1"}]}
    assert read(told) == Node(True, (Leaf(TAGS, Operator.EQUAL, ("T1",)),))


@pytest.mark.parametrize("operator", list(Operator))
def test_every_operator_of_the_contract_is_read(operator: Operator) -> None:
    several = operator in (Operator.IN, Operator.NOT_IN)
    told = {
        "operator": operator.value.upper(),
        "field": "Name",
        "values" if several else "value": ["a"] if several else "a",
    }
    found = read(told)
    assert isinstance(found, Leaf)
    assert (found.field, found.operator) == (FIELDS["name"], operator)


@pytest.mark.parametrize("key", ["value", "values"])
def test_several_values_may_be_under_either_name(key: str) -> None:
    told = {"operator": "In", "field": "State", key: ["success", "Failure"]}
    assert read(told) == leaf("state", Operator.IN, "Success", "Failure")


def test_dates_are_compared_as_moments_and_the_one_that_means_never_as_null() -> None:
    told = {"operator": "LessThan", "field": "CreationDate", "value": "2026-05-01T14:00:00+02:00"}
    assert read(told) == leaf("creationDate", Operator.LESS, parse_date("2026-05-01T12:00:00Z"))
    never = {"operator": "NotEqual", "field": "EndDate", "value": "0001-01-01T00:00:00Z"}
    assert read(never) == leaf("endDate", Operator.NOT_EQUAL, None)


@pytest.mark.parametrize(
    ("field", "told", "value"),
    [
        ("InstanceCount", "12", 12),
        ("ResultsCount", 2.5, 2.5),
        ("Priority", 1 << 70, float(1 << 70)),
        ("WallTime", "1.00:00:01", 86_401_000_000),
        ("WallTime", 1.5, 1_500_000),
        ("AutoDeleteOnCompletion", "True", True),
        ("Uuid", "AB-CD", "ab-cd"),
        ("PreviousState", "fullyexecuting", "FullyExecuting"),
        ("Labels", {"Key": "team", "Value": "red"}, "team=red"),
        ("Name", None, None),
    ],
)
def test_values_are_read_as_their_field_has_them(field: str, told: Any, value: Any) -> None:
    assert read({"operator": "Equal", "field": field, "value": told}) == leaf(field, Operator.EQUAL, value)


def test_values_that_stand_for_others_are_compared_as_they_are_shown() -> None:
    def codes(operator: str, field: str, value: str) -> Any:
        found = read({"operator": operator, "field": field, "value": value})
        assert isinstance(found, Leaf)
        return found.operator, found.values

    assert codes("Equal", "ProjectUuid", "0A0A") == (Operator.IN, (7, None))
    assert codes("NotEqual", "projectUuid", "0a0a") == (Operator.IN, ())
    assert codes("Equal", "schedulingType", "ONDEMAND") == (Operator.IN, (1,))
    assert codes("Like", "schedulingType", "^(flex|res)") == (Operator.IN, (2, 0))


FIELDS_OF_THE_CONTRACT = [
    "Uuid",
    "Name",
    "Shortname",
    "Profile",
    "State",
    "PreviousState",
    "Tags",
    "CreationDate",
    "EndDate",
    "LastModified",
    "StateTransitionTime",
    "PreviousStateTransitionTime",
    "InstanceCount",
    "RunningInstanceCount",
    "RunningCoreCount",
    "ExecutionTime",
    "WallTime",
    "MaxTimeQueueSeconds",
    "PoolUuid",
    "JobUuid",
    "ProjectUuid",
    "ResultBucket",
    "ResultsCount",
    "ResultsWhitelist",
    "ResultsBlacklist",
    "SnapshotWhitelist",
    "SnapshotBlacklist",
    "SnapshotInterval",
    "SnapshotBucket",
    "SnapshotBucketPrefix",
    "ResultsBucketPrefix",
    "Dependencies.DependsOn",
    "Constants",
    "Constraints",
    "Labels",
    "Privileges.ExportApiAndStorageCredentialsInEnvironment",
    "RetrySettings.MaxTotalRetries",
    "RetrySettings.MaxPerInstanceRetries",
    "HardwareConstraints",
    "DefaultResourcesCacheTTLSec",
    "ResourceBuckets",
    "SchedulingType",
    "TargetedReservationName",
    "Constants.DOCKER_CMD",
    "Labels.team",
    "Constraints.zone",
]


@pytest.mark.parametrize("name", FIELDS_OF_THE_CONTRACT)
def test_every_field_of_the_contract_can_be_compared_with_null(name: str) -> None:
    found = read({"operator": "Equal", "field": name, "value": None})
    assert isinstance(found, Leaf)
    assert found.field.name.lower() == name.lower()


def passes(told: dict[str, Any], **row: Any) -> bool:
    where = read(told)
    assert where is not None
    columns = columns_of(where)
    check = checker(where, {name: place for place, name in enumerate(columns)}, 0)
    return check([row[name] for name in columns])


def test_values_of_secret_constants_cannot_be_probed() -> None:
    spec = '{"constants":{"QARNOT_SECRET__KEY":"hunter2","PLAIN":"hunter2"}}'
    for value in ("hunter2", "^h", "2$"):
        for field in ("Constants.QARNOT_SECRET__KEY", "constants.qarnot_secret__key"):
            assert not passes({"operator": "Like", "field": field, "value": value}, spec=spec)
            assert not passes({"operator": "Equal", "field": field, "value": value}, spec=spec)
    listed = {"operator": "Like", "field": "Constants", "value": "SECRET__KEY=.*hunter2"}
    assert not passes(listed, spec=spec)
    assert not passes({"operator": "Equal", "field": "Constants", "value": "QARNOT_SECRET__KEY=hunter2"}, spec=spec)
    assert passes({"operator": "Equal", "field": "Constants", "value": "PLAIN=hunter2"}, spec=spec)
    assert passes({"operator": "Equal", "field": "Constants.PLAIN", "value": "hunter2"}, spec=spec)
    assert passes({"operator": "NotEqual", "field": "Constants.QARNOT_SECRET__KEY", "value": None}, spec=spec)
    assert passes({"operator": "LessThan", "field": "Constants.QARNOT_SECRET__KEY", "value": "[SECREU"}, spec=spec)


def test_keys_keep_their_case() -> None:
    found = field_named("LABELS.Team.Name")
    assert found is not None
    assert found.name == "labels.Team.Name"


def test_a_filter_is_made_simple_before_it_is_used() -> None:
    x, y = leaf("tags", Operator.EQUAL, "x"), leaf("tags", Operator.EQUAL, "y")
    failed = leaf("state", Operator.EQUAL, "Failure")
    both = leaf("tags", Operator.IN, "x", "y")
    assert simplified(Node(False, (x, y))) == both
    assert simplified(Node(True, (Node(True, (failed,)), Node(False, (x, Node(False, (y,))))))) == Node(
        True, (failed, both)
    )
    assert simplified(Node(True, (x, y))) == Node(True, (x, y))
    assert simplified(Node(True, (Node(True, ()),))) == Node(True, ())


@pytest.mark.parametrize(
    ("told", "part"),
    [
        (
            {"operator": "Equal", "field": "Nmae", "value": "x"},
            "filter.field: 'Nmae' cannot be filtered by; did you mean 'name'?",
        ),
        (
            {"operator": "Equal", "field": "Status", "value": "x"},
            "filter.field: 'Status' can be selected, and not filt",
        ),
        (
            {"operator": "Equal", "field": "Privileges", "value": 1},
            "filter.field: 'Privileges' cannot be filtered by as a",
        ),
        ({"operator": "Equal", "field": "name.x", "value": 1}, "filter.field: 'name.x' cannot be filtered by"),
        ({"operator": "Equal", "field": "labels.", "value": 1}, "filter.field: 'labels.' cannot be filtered by"),
        ({"operator": "Equal", "field": 3, "value": 1}, "filter.field: expected text, got 3"),
        ({"operator": "Equal", "value": 1}, "filter.field: is missing"),
        ({"operator": "Equals", "field": "name", "value": "x"}, "filter.operator: 'Equals' is none of And, Or, Equal,"),
        ({"field": "name", "value": "x"}, "filter.operator: is missing"),
        ({"operator": 3}, "filter.operator: expected text, got 3"),
        ({"operator": "Equal", "field": "name"}, "filter.value: is missing"),
        ({"operator": "Equal", "field": "name", "value": 3}, 'filter.value: expected text such as "abc", got 3'),
        ({"operator": "Equal", "field": "name", "value": "a\0"}, "filter.value: may not have the character NUL in it"),
        ({"operator": "In", "field": "name", "values": "x"}, "filter.values: expected a list for In, got 'x'"),
        ({"operator": "In", "field": "name"}, "filter.values: expected a list for In, got nothing"),
        ({"operator": "In", "field": "name", "value": {}}, "filter.value: expected a list for In, got an object"),
        (
            {"operator": "NotIn", "field": "priority", "values": [1, "x"]},
            "filter.values[1]: expected a number such as 3, got 'x'",
        ),
        (
            {"operator": "Equal", "field": "priority", "value": True},
            "filter.value: expected a number such as 3, got True",
        ),
        (
            {"operator": "Equal", "field": "priority", "value": "nan"},
            "filter.value: expected a number such as 3, got 'nan'",
        ),
        (
            {"operator": "Equal", "field": "autoDeleteOnCompletion", "value": 1},
            "filter.value: expected true or false, got 1",
        ),
        (
            {"operator": "Equal", "field": "wallTime", "value": "5 s"},
            "filter.value: '5 s' is not a time span: write [d.]hh",
        ),
        (
            {"operator": "Equal", "field": "wallTime", "value": []},
            'filter.value: expected a time span such as "00:05:00"',
        ),
        ({"operator": "And", "filters": {"a": 1}}, "filter.filters: expected a list of filters for And, got an object"),
        ({"operator": "Or"}, "filter.filters: expected a list of filters for Or, got nothing"),
        (
            {"operator": "Or", "filters": [{"operator": "And", "filters": [3]}]},
            "filter.filters[0].filters[0]: expected an object",
        ),
        (
            {"operator": "LessThan", "field": "creationDate", "value": "soon"},
            "filter.value: 'soon' is not a date: write for",
        ),
        (
            {"operator": "GreaterThan", "field": "tags", "value": "x"},
            "filter.operator: GreaterThan is not possible for tags, which is a list",
        ),
        (
            {"operator": "Like", "field": "instanceCount", "value": "x"},
            "filter.operator: Like is possible for text, and instanceCount is a",
        ),
        (
            {"operator": "Like", "field": "name", "value": "a(b"},
            "filter.value: the pattern 'a(b' is no regular expression that is possible here: missing ): a(b",
        ),
        (
            {"operator": "LessThan", "field": "name", "value": None},
            "filter.value: may not be null for LessThan; Equal and",
        ),
    ],
)
def test_what_is_wrong_is_named_and_what_would_be_right(told: dict[str, Any], part: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(told)
    assert refused.value.message[: len(part)] == part


def test_a_filter_can_be_neither_endless_nor_bottomless() -> None:
    one = {"operator": "Equal", "field": "name", "value": "x"}

    def refusal(told: dict[str, Any]) -> str:
        with pytest.raises(Invalid) as refused:
            read(told)
        return refused.value.message

    deep: dict[str, Any] = one
    for _ in range(DEPTH):
        deep = {"operator": "And", "filters": [deep]}
    assert read(deep) is not None
    assert refusal({"operator": "And", "filters": [deep]}).endswith(
        "is nested too deeply: at most 20 levels are possible"
    )
    assert read({"operator": "Or", "filters": [one] * (PARTS - 1)}) is not None
    assert "is one part too many" in refusal({"operator": "Or", "filters": [one] * PARTS})
    many = {"operator": "In", "field": "name", "values": ["x"] * (VALUES + 1)}
    assert refusal(many) == "filter.values: at most 1000 values are possible in one filter; ask several times"
