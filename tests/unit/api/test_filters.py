"""Filters as clients send them."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.api.filters import read_filter, read_pattern
from hearth.domain.errors import Invalid
from hearth.store.queries.task_search import Leaf, Node, Operator, Special
from hearth_client.messages.times import parse_date


def test_no_filter_is_no_filter() -> None:
    assert read_filter(None) is read_filter({}) is None


def test_operators_and_fields_are_read_in_any_case() -> None:
    told = {"Operator": "and", "Filters": [{"OPERATOR": "equal", "Field": "TAGS", "Value": "T1"}]}
    assert read_filter(told) == Node(True, (Leaf(Special.TAGS, Operator.EQUAL, ("T1",)),))


@pytest.mark.parametrize("key", ["value", "values"])
def test_several_values_may_be_under_either_name(key: str) -> None:
    told = {"operator": "In", "field": "State", key: ["success", "Failure"]}
    assert read_filter(told) == Leaf("state", Operator.IN, ("Success", "Failure"))


def test_dates_are_compared_as_moments() -> None:
    told = {"operator": "LessThan", "field": "CreationDate", "value": "2026-05-01T14:00:00+02:00"}
    assert read_filter(told) == Leaf("created_at", Operator.LESS, (parse_date("2026-05-01T12:00:00Z"),))


@pytest.mark.parametrize(
    ("told", "part"),
    [
        ({"operator": "Equal", "field": "Nmae", "value": "x"}, "filter.field: 'Nmae' cannot be filtered by; did you"),
        ({"operator": "Equals", "field": "name", "value": "x"}, "filter.operator: 'Equals' is none of"),
        ({"field": "name", "value": "x"}, "filter.operator: is missing"),
        ({"operator": "Equal", "field": "name"}, "filter.value: is missing"),
        ({"operator": "Equal", "field": "name", "value": 3}, "filter.value: expected text, got 3"),
        ({"operator": "In", "field": "name", "values": "x"}, "filter.values: expected a list"),
        ({"operator": "And", "filters": {"a": 1}}, "filter.filters: expected a list"),
        (
            {"operator": "Or", "filters": [{"operator": "And", "filters": [3]}]},
            "filter.filters[0].filters[0]: ",
        ),
        ({"operator": "LessThan", "field": "creationDate", "value": "soon"}, "filter.value: 'soon' is not a date"),
        ({"operator": "GreaterThan", "field": "tags", "value": "x"}, "filter.operator: GreaterThan is not possible"),
        ({"operator": "Like", "field": "instanceCount", "value": "x"}, "filter.operator: Like is possible for text"),
        ({"operator": "LessThan", "field": "name", "value": None}, "filter.value: may not be null"),
    ],
)
def test_what_is_wrong_is_named(told: dict[str, Any], part: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_filter(told)
    assert refused.value.message.startswith(part)


def test_a_filter_can_be_neither_endless_nor_bottomless() -> None:
    deep: dict[str, Any] = {"operator": "Equal", "field": "name", "value": "x"}
    for _ in range(30):
        deep = {"operator": "And", "filters": [deep]}
    with pytest.raises(Invalid):
        read_filter(deep)
    with pytest.raises(Invalid):
        read_filter({"operator": "Or", "filters": [{"operator": "Equal", "field": "name", "value": "x"}] * 600})


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("abc", (None, "abc", None)),
        ("^abc", ("abc", None)),
        ("^abc$", ("abc",)),
        ("^a.*b", ("a", None, "b", None)),
        (r"^a\.b$", ("a.b",)),
        ("^a.c$", ("a\0c",)),
    ],
)
def test_simple_patterns_are_read(text: str, pieces: tuple[str | None, ...]) -> None:
    assert read_pattern(text, "value").pieces == pieces


@pytest.mark.parametrize("text", ["(a+)+$", "a|b", "[ab]", "a{3}", r"\d", "a.*b.*c.*d", "a$b"])
def test_patterns_that_could_be_slow_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        read_pattern(text, "value")
