"""Bodies as clients spell them, and what they are told about mistakes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hearth.api.bodies import warning
from hearth.api.shapes import Unknown
from hearth.api.submit import SUBMISSION
from hearth.domain.errors import Invalid
from hearth_client.messages.submissions import KeyValue, TaskSubmit


def read(body: Any) -> tuple[TaskSubmit, list[Unknown]]:
    unknown: dict[Unknown, None] = {}
    told = SUBMISSION.read(body if isinstance(body, bytes) else msgspec.json.encode(body), unknown)
    return told, list(unknown)


def refusal(body: Any) -> str:
    with pytest.raises(Invalid) as refused:
        read(body)
    return refused.value.message


def test_names_are_read_in_any_case() -> None:
    exact = {"name": "a", "instanceCount": 2, "constants": [{"key": "K", "value": "v"}], "resultsCacheTTLSec": 5}
    pascal = {"Name": "a", "InstanceCount": 2, "Constants": [{"Key": "K", "Value": "v"}], "ResultsCacheTTLSec": 5}
    assert read(exact) == read(pascal)


def test_what_users_name_themselves_keeps_its_case() -> None:
    told, unknown = read({"Labels": {"Name": "x", "TAGS": "y"}, "Constants": [{"Key": "name", "Value": "Key"}]})
    assert told.labels == {"Name": "x", "TAGS": "y"}
    assert told.constants == [KeyValue(key="name", value="Key")]
    assert unknown == []


def test_fields_that_only_answers_have_are_ignored_without_a_word() -> None:
    told, unknown = read({"Name": "a", "Uuid": "0", "State": None, "CreationDate": "0001-01-01T00:00:00", "Errors": 3})
    assert (told, unknown) == (TaskSubmit(name="a"), [])


def test_unknown_fields_are_named_with_the_nearest_known_one() -> None:
    _, unknown = read({"name": "a", "instanceCuont": 1, "constants": [{"key": "a", "valeu": "b"}], "zzz": 1})
    assert unknown == [
        Unknown("instanceCuont", "instanceCount"),
        Unknown("constants.valeu", "value"),
        Unknown("zzz", ""),
    ]
    assert warning(unknown[:1]) == "199 - \"unknown field 'instanceCuont' was ignored; did you mean 'instanceCount'?\""


def test_a_warning_fits_into_a_header_whatever_the_field_is_called() -> None:
    text = warning([Unknown('a"\r\nSet-Cookie: x\\é', "")] * 30)
    assert "\r" not in text and "\n" not in text and text.isascii()
    assert 'a\\"??Set-Cookie' in text
    assert text.endswith('199 - "20 more unknown fields were ignored"')


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"instanceCount": "abc"}, 'instanceCount: expected a number, got "abc"'),
        ({"InstanceCount": "abc"}, 'instanceCount: expected a number, got "abc"'),
        ({"instanceCount": 1.5}, "instanceCount: expected a number, got 1.5"),
        ({"name": 7}, "name: expected text, got 7"),
        ({"tags": "a"}, 'tags: expected a list, got "a"'),
        ({"tags": ["a", 1]}, "tags[1]: expected text, got 1"),
        ({"labels": {"a": 1}}, "labels[...]: expected text, got a number"),
        ({"constants": [{"value": "v"}]}, "constants[0].key: is missing"),
        ({"privileges": True}, "privileges: expected an object, got true"),
        ({"autoDeleteOnCompletion": "yes"}, 'autoDeleteOnCompletion: expected true or false, got "yes"'),
        ([1], "body: expected an object, got a list"),
        (b"", "the body is empty; it should be JSON"),
    ],
)
def test_a_wrong_type_is_told_with_its_field(body: Any, message: str) -> None:
    assert refusal(body) == message


def test_values_of_constants_are_not_repeated_in_errors() -> None:
    message = refusal({"constants": [{"key": "QARNOT_SECRET__A", "value": ["swordfish"]}]})
    assert message.startswith("constants[0].value: expected ")
    assert message.endswith("got a list") and "swordfish" not in message


@pytest.mark.parametrize("body", [b"{", b"nonsense", b'{"name": "\xff"}', b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_no_json_is_told_so(body: bytes) -> None:
    assert refusal(body).startswith("the body is not valid JSON: ")
