"""Patterns of users: what they find, what they may cost, and what is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.domain.pattern import Pattern, PatternRefused

_pieces = st.recursive(
    st.sampled_from(
        ["a", "b", "C", "1", " ", ".", r"\d", r"\w", r"\S", "[ab]", "[^a]", "[a-c1]", r"\.", "\\\\", "(?:)"]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{1,}", "*?", "{0}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=6,
)
# A quantifier that speaks of the last of several letters is what a prefix must look out for.
_ends = st.sampled_from(["", "a?", "b*", "C+", "1{2}", "a{0}", ".*", r"\.?", "$"])
patterns = st.tuples(st.sampled_from(["", "^", "(?i)", "(?i)^", "^ab", r"^a\."]), _pieces | st.just(""), _ends).map(
    "".join
)


@given(patterns, st.lists(st.text(st.sampled_from("abcABC1 .-\\"), max_size=6), max_size=8))
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
        (r"a\.c", "", False, "a.c"),
        ("^abc", "abc", True, None),
        (r"^a\.b-.*", "a.b-", True, None),
        ("^abc$", "abc", False, None),
        ("^abc?", "ab", False, None),
        (r"^ab\.*", "ab", False, None),
        ("^abc+", "abc", False, None),
        ("^ab|c", "", False, None),
        ("(?i)^ab1", "", False, None),
        ("^", "", False, None),
        ("", "", False, ""),
    ],
)
def test_what_an_index_can_use_is_known(text: str, prefix: str, is_prefix: bool, literal: str | None) -> None:
    pattern = Pattern(text)
    assert (pattern.prefix, pattern.is_prefix, pattern.literal) == (prefix, is_prefix, literal)


# With an engine that tries again and again each of these would take longer than the machine lives.
@pytest.mark.parametrize(
    "text", ["^(a+)+$", "(a|a)*b", "(?:a*)*" * 20 + "b", "(a|b)*a(a|b){9}$", "(x+x+)+y", "([a-z]+)*!"]
)
def test_no_pattern_tries_again_and_again(text: str) -> None:
    assert not Pattern(text).search("a" * 100_000 + "-")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(", "missing ): ("),
        (")", "unexpected ): )"),
        ("[a", "missing ]: [a"),
        ("*a", "no argument for repetition operator: *"),
        ("a\\", "trailing \\"),
        (r"(a)\1", r"invalid escape sequence: \1"),
        ("(?=a)", "invalid perl operator: (?="),
        ("[z-a]", "invalid character class range: z-a"),
        ("a{1001}", "invalid repetition size: {1001}"),
        ("((a{1000}){1000}){1000}", "invalid repetition size: {1000}"),
    ],
)
def test_what_is_no_pattern_here_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(PatternRefused) as refused:
        Pattern(text)
    assert str(refused.value) == f"is no regular expression that is possible here: {reason}"


def test_a_long_pattern_is_refused() -> None:
    with pytest.raises(PatternRefused, match=r"^has 1001 characters, at most 1000 are possible$"):
        Pattern("a" * 1001)
