"""Commands keep what their users wrote."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from hearth.domain.command import environment, expand, words
from tests.property import laws  # noqa: F401

NAME = st.text(alphabet="AZaz09_.-", min_size=1, max_size=4)
TEXT = st.text(alphabet="ab $(){}'\"\\#;&|\n", max_size=12)
VALUES = st.dictionaries(NAME, TEXT, max_size=4)


@given(st.lists(TEXT | NAME.map(lambda name: "${" + name + "}"), max_size=8), VALUES)
def test_known_references_become_their_values_and_nothing_else_changes(parts: list[str], values: dict[str, str]):
    separated = "\0".join(parts)  # so that no two parts make a reference together
    expected = [values.get(part[2:-1], part) if part[:2] == "${" else part for part in parts]
    assert expand(separated, values) == "\0".join(expected)


@given(st.lists(TEXT, max_size=6))
def test_quoted_words_arrive_as_they_were(given_words: list[str]):
    assert words(shlex.join(given_words)) == tuple(given_words)


@given(VALUES, st.integers(0, 99), st.integers(1, 100))
def test_a_constant_is_in_the_environment_expanded_once(constants: dict[str, str], number: int, total: int):
    variables = environment(
        {**constants, "T": "${INSTANCE_ID}/${QSIZE}"}, number=number, total=total, directory="/d", platform={"P": "x"}
    )
    assert variables["T"] == f"{number}/{total}"
    assert variables["P"] == constants.get("P", "x")
    for key, value in constants.items():
        if "${" not in value and key != "T":
            assert variables[key] == value
