"""Tokens: what they look like, and what cannot be one."""

from hypothesis import given
from hypothesis import strategies as st

from hearth.control.tokens import is_well_formed, new_token


def test_new_tokens_are_well_formed_and_differ() -> None:
    tokens = {new_token() for _ in range(200)}
    assert len(tokens) == 200
    assert all(is_well_formed(token) and len(token) == 45 and token.startswith("hearth_") for token in tokens)


@given(place=st.integers(7, 44), char=st.sampled_from("0Az9"))
def test_one_wrong_character_is_noticed(place: int, char: str) -> None:
    token = new_token()
    changed = token[:place] + char + token[place + 1 :]
    assert is_well_formed(changed) == (changed == token)


def test_two_characters_that_changed_places_are_noticed() -> None:
    token = new_token()
    for place in range(7, 43):
        swapped = token[:place] + token[place + 1] + token[place] + token[place + 2 :]
        assert is_well_formed(swapped) == (swapped == token)


def test_other_things_are_no_tokens() -> None:
    token = new_token()
    for other in ("", "tok123", token[:-1], token + "0", token.upper(), " " + token, token + "\n"):
        assert not is_well_formed(other)
