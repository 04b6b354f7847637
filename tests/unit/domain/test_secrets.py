"""What texts tell of secrets: nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth.agent.runtime.base import RunSpec
from hearth.domain.secrets import secrets_of, without_secrets
from hearth.domain.spec import TaskSpec
from hearth.wire import agent as wire


def test_secrets_are_constants_of_that_name_as_given_and_as_instances_see_them() -> None:
    constants = {"A": "one", "QARNOT_SECRET__B": "x-${A}-y", "QARNOT_SECRET__C": "", "SECRET": "plain"}
    assert secrets_of(constants) == ["x-${A}-y", "x-one-y"]


@pytest.mark.parametrize(
    ("text", "secret", "told"),
    [
        ("no such command: 'tok-hunter2'", "tok-hunter2", "no such command: '[SECRET]'"),
        ("'tok-hunte", "tok-hunter2", "'[SECRET]"),  # cut short
        ("'k-hunter2'", "tok-hunter2", "'[SECRET]'"),  # a part of it
        ("image TOK-HUNTER2:latest", "tok-hunter2", "image [SECRET]:latest"),
        (r"in 'it\'s a long one'", "it's a long one", r"in 'it\[SECRET]'"),
        ("command not found: pass", "pass word", "command not found: [SECRET]"),
        ("1 of 11", "1", "[SECRET] of [SECRET]"),
        ("tok-hunter2tok-hunter2", "tok-hunter2", "[SECRET]"),
        ("nothing of it", "tok-hunter2", "nothing of it"),
        ("", "tok-hunter2", ""),
        ("İstanbul tok-hunter2", "tok-hunter2", "İstanbul [SECRET]"),
    ],
)
def test_a_text_tells_nothing_of_a_secret(text: str, secret: str, told: str) -> None:
    assert without_secrets(text, [secret]) == told


def test_no_value_shows_its_secrets_in_a_traceback() -> None:
    spec = TaskSpec(constants={"QARNOT_SECRET__X": "hunter2"}, forced_constants=({"forcedValue": "hunter2"},))
    work = wire.Work(1, "u", 1, spec.constants, {}, False, 1.0, 0)
    orders = wire.Orders("", 1, 1, 1.0, 1.0, works=[work])
    run = RunSpec("1.0.1", ("echo", "hunter2"), {"X": "hunter2"}, Path(), Path(), Path())
    for value in (spec, work, orders, run):
        assert "hunter2" not in repr(value)
