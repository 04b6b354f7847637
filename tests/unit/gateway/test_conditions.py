"""Ranges and conditions."""

import pytest

from hearth.gateway import conditions
from hearth.gateway.errors import S3Error
from hearth.gateway.request import Request

ETAG, MODIFIED = "abc-2", 1_700_000_000_500_000
THEN, BEFORE, AFTER = (conditions.http_date(MODIFIED + seconds * 1_000_000) for seconds in (0, -1, 1))


def asking(**headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/b/k", "b", "k", (), named, "id")


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-5", (2, 6)),
        ("bytes=2-", (2, 10)),
        ("bytes=2-99", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=0-1,4-5", None),
        ("bytes=5-2", None),
        ("lines=1-2", None),
        ("bytes=-", None),
        ("", None),
    ],
)
def test_a_range_is_cut_to_the_object(text: str, span: tuple[int, int] | None) -> None:
    assert conditions.requested_range(asking(range=text), 10, ETAG, MODIFIED) == span


@pytest.mark.parametrize(("text", "size"), [("bytes=10-", 10), ("bytes=10-12", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_a_range_outside_is_refused_with_the_size(text: str, size: int) -> None:
    with pytest.raises(S3Error) as refused:
        conditions.requested_range(asking(range=text), size, ETAG, MODIFIED)
    assert (refused.value.status, refused.value.headers) == (416, {"content-range": f"bytes */{size}"})


def test_a_range_of_another_state_of_the_object_becomes_the_whole() -> None:
    assert conditions.requested_range(asking(range="bytes=0-1", if_range='"old"'), 10, ETAG, MODIFIED) is None
    assert conditions.requested_range(asking(range="bytes=0-1", if_range='"abc-2"'), 10, ETAG, MODIFIED) == (0, 2)
    assert conditions.requested_range(asking(range="bytes=0-1", if_range=BEFORE), 10, ETAG, MODIFIED) is None
    assert conditions.requested_range(asking(range="bytes=0-1", if_range=THEN), 10, ETAG, MODIFIED) == (0, 2)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if_match": '"abc-2"'}, None),
        ({"if_match": '"x", abc-2'}, None),
        ({"if_match": "*"}, None),
        ({"if_match": '"x"'}, 412),
        ({"if_none_match": '"x"'}, None),
        ({"if_none_match": 'W/"abc-2"'}, 304),
        ({"if_modified_since": THEN}, 304),
        ({"if_modified_since": BEFORE}, None),
        ({"if_modified_since": "nonsense"}, None),
        ({"if_unmodified_since": THEN}, None),
        ({"if_unmodified_since": BEFORE}, 412),
        ({"if_match": "abc-2", "if_unmodified_since": BEFORE}, None),
        ({"if_none_match": "x", "if_modified_since": AFTER}, None),
    ],
)
def test_a_read_may_have_conditions(headers: dict[str, str], status: int | None) -> None:
    if status is None:
        conditions.require_conditions(asking(**headers), ETAG, MODIFIED)
        return
    with pytest.raises(S3Error) as refused:
        conditions.require_conditions(asking(**headers), ETAG, MODIFIED)
    assert refused.value.status == status


def test_dates_are_written_as_s3_does() -> None:
    assert conditions.iso_date(MODIFIED) == "2023-11-14T22:13:20.500Z"
    assert conditions.http_date(MODIFIED) == "Tue, 14 Nov 2023 22:13:20 GMT"
