"""Patterns of users: what they find, what they may cost, and what is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.domain.pattern import KEPT_STATES, Pattern, PatternRefused

_pieces = st.recursive(
    st.sampled_from(
        ["a", "b", "C", "1", " ", "\n", ".", r"\d", r"\w", r"\S", "[ab]", "[^a]", "[a-c1]", r"[\d-]", r"\.", "(?:)"]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{1,}", "{,2}", "*?", "{0}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=6,
)
patterns = st.tuples(st.sampled_from(["", "^", "(?i)", "(?i)^"]), _pieces, st.sampled_from(["", r"\Z"])).map("".join)


@given(patterns, st.lists(st.text(st.sampled_from("abcABC1 .-\n"), max_size=6), max_size=8))
def test_they_find_what_pythons_expressions_find(text: str, subjects: list[str]) -> None:
    pattern = Pattern(text)
    for subject in subjects:
        found = re.search(text, subject) is not None
        assert pattern.search(subject) is found
        assert not found or subject.startswith(pattern.prefix)
        assert not pattern.is_prefix or found is subject.startswith(pattern.prefix)
        assert pattern.literal is None or found is (pattern.literal in subject)


@pytest.mark.parametrize(
    ("text", "prefix", "is_prefix", "literal"),
    [
        ("abc", "", False, "abc"),
        ("^abc", "abc", True, None),
        (r"^a\.b-.*", "a.b-", True, None),
        ("^abc$", "abc", False, None),
        ("^abc?", "ab", True, None),
        ("^ab|c", "", False, None),
        ("(?i)^ab1", "", False, None),
        ("^", "", False, None),
        ("", "", False, ""),
    ],
)
def test_what_an_index_can_use_is_known(text: str, prefix: str, is_prefix: bool, literal: str | None) -> None:
    pattern = Pattern(text)
    assert (pattern.prefix, pattern.is_prefix, pattern.literal) == (prefix, is_prefix, literal)


@pytest.mark.parametrize(
    "text", ["^(a+)+$", "(a|a)*b", "(?:a*)*" * 20 + "b", "(a|b)*a(a|b){9}$", "(x+x+)+y", "([a-z]+)*!"]
)
def test_no_pattern_takes_more_than_the_text_is_long(text: str) -> None:
    pattern = Pattern(text)
    pattern.search("a" * 2000 + "-")
    first = pattern.work
    pattern.search("a" * 2000 + "-")
    assert first < 500_000
    assert pattern.work - first == 2002  # one step for each character, once its states are known


def test_states_that_are_forgotten_are_made_again() -> None:
    text = "(a|b)*a(a|b){12}$"
    subject = "".join("ab"[(n * n // 7 + n // 3) % 2] for n in range(3 * KEPT_STATES))
    pattern = Pattern(text)
    for end in (*range(60), len(subject)):
        assert pattern.search(subject[:end]) is (end > 12 and subject[end - 13] == "a")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(", "has a '(' without its ')'"),
        (")", "has a ')' without its '('"),
        ("[a", "has a '[' without its ']'"),
        ("*a", r"has a '*' with nothing before it to repeat; write \* for the character"),
        ("a**", "repeats a repetition; put the inner one into (?:...)"),
        ("a*+", "repeats a repetition; put the inner one into (?:...)"),
        ("^*", "repeats '^' or '$'"),
        ("a\\", "has a '\\' at its end"),
        (r"(a)\1", r"has '\1', which is not possible here: \d, \w, \s, \A and \Z are"),
        (r"\bword", r"has '\b', which is not possible here: \d, \w, \s, \A and \Z are"),
        ("(?=a)", "has '(?=a': groups are (...), (?:...) and (?P<name>...), and (?i) can stand at the beginning"),
        ("(?P<a", "has a group whose name is not ended by '>'"),
        (r"\x4", r"has '\x4', which is no character"),
        ("[z-a]", "has a range that begins with 'z' and has no end after it"),
        ("a{3,2}", "has '{3,2}', which ends before it begins"),
        ("a{1000}", "repeats more than 500 times"),
        ("(a{100}){100}", "is too large: written out it has more than 500 steps"),
        ("(" * 51 + ")" * 51, "has groups nested deeper than 50"),
        ("a" * 1001, "has 1001 characters, at most 1000 are possible"),
    ],
)
def test_what_is_no_pattern_here_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(PatternRefused) as refused:
        Pattern(text)
    assert str(refused.value) == reason
