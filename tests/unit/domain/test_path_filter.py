"""What filters of paths may cost."""

import pytest

from hearth.domain.path_filter import why_too_large


@pytest.mark.parametrize(
    "text", ["", r"^(a|b|.*\.txt)$", r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", r"a{2,}b{3,9}", "x{", "a{,5}"]
)
def test_what_people_write_is_small_enough(text: str) -> None:
    assert why_too_large(text) == ""


@pytest.mark.parametrize(
    ("text", "together"),
    [("((a{100}){100}){100}", "1000000"), ("(a{1001}){100}", "100100"), ("a{9999999999999}", "over 10^12")],
)
def test_repetitions_of_repetitions_are_too_many(text: str, together: str) -> None:
    assert why_too_large(text) == (
        f"its counted repetitions come to {together} together, at most 100000 are possible; "
        "write * or + for some of them"
    )
