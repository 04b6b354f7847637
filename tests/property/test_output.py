"""Chunks of many instances make one stream that shows each line with its instance and takes nothing back."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from hearth.domain.output import cut, lead_of, leaves_open, merged
from tests.property import laws  # noqa: F401

DATA = st.lists(st.sampled_from([b"a", b"b>", b"\n", b"\n", b"7> ", "é".encode()]), max_size=6).map(b"".join)
PLAIN = st.lists(st.sampled_from([b"a", b"bc", b"\n"]), max_size=6).map(b"".join)
CHUNKS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2), DATA), max_size=12)


def stream(chunks: list[tuple[int, int, bytes]]) -> list[bytes]:
    """The pieces of the merged stream, as the store makes them."""
    pieces, tail = [], None
    for number, attempt, data in chunks:
        pieces.append(merged(data, number, lead_of(tail, number, attempt)))
        if data:
            tail = (number, attempt) if leaves_open(data) else None
    return pieces


def naive(chunks: list[tuple[int, int, bytes]]) -> bytes:
    """The same, byte by byte."""
    text, writer = b"", None  # whose line is open
    for number, attempt, data in chunks:
        for byte in data:
            if writer not in (None, (number, attempt)):
                text, writer = text + b"\n", None
            if writer is None:
                text += b"%d> " % number
            text += bytes([byte])
            writer = None if byte == ord("\n") else (number, attempt)
    return text


@given(CHUNKS)
def test_the_stream_is_what_writing_byte_by_byte_would_make(chunks: list[tuple[int, int, bytes]]):
    assert b"".join(stream(chunks)) == naive(chunks)


@given(CHUNKS, CHUNKS)
def test_what_was_shown_is_never_taken_back(before: list[tuple[int, int, bytes]], after: list[tuple[int, int, bytes]]):
    shown = b"".join(stream(before))
    assert b"".join(stream(before + after)).startswith(shown)


@given(DATA, st.data())
def test_where_a_chunk_is_cut_does_not_show(data: bytes, draws: st.DataObject):
    parts, rest = [], data
    while rest:
        size = draws.draw(st.integers(1, len(rest)))
        parts.append((5, 1, rest[:size]))
        rest = rest[size:]
    assert b"".join(stream(parts)) == b"".join(stream([(5, 1, data)]))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2), PLAIN), max_size=12))
def test_each_line_begins_with_the_instance_that_wrote_it(chunks: list[tuple[int, int, bytes]]):
    lines = b"".join(stream(chunks)).split(b"\n")
    shown: dict[int, bytes] = {}
    for line in lines:
        if line:
            number, text = line.split(b"> ", 1)
            shown[int(number)] = shown.get(int(number), b"") + text
    for number in {number for number, _, _ in chunks}:
        written = b"".join(data for owner, _, data in chunks if owner == number).replace(b"\n", b"")
        assert shown.get(number, b"") == written


@given(st.text(alphabet="aé€😀\n", max_size=30), st.integers(4, 24), st.booleans(), st.integers(0, 3))
@example("€€€", 4, False, 0)
def test_a_cut_falls_between_characters_and_lets_the_rest_come(text: str, limit: int, flush: bool, missing: int):
    data = text.encode()
    data = data[: len(data) - missing] if missing else data  # the newest character may still be on its way
    size = cut(data, limit=limit, flush=flush)
    assert 0 <= size <= min(limit, len(data))
    data[:size].decode()  # raises inside a character
    if len(data) >= limit:
        assert size > 0, "a full window always moves"
    if flush and len(data) <= limit:
        assert len(data) - size <= 3, "only the beginning of a character is kept back"
    if not flush and len(data) < limit:
        assert size == data.rfind(b"\n") + 1
    elif b"\n" in data[:limit] and len(data) > limit:
        assert data[:size].endswith(b"\n"), "whole lines when there are some"


@given(st.binary(max_size=40), st.integers(4, 16))
def test_any_bytes_are_sent_in_the_end(data: bytes, limit: int):
    rest, rounds = data, 0
    while len(rest) > 3:
        size = cut(rest, limit=limit, flush=True)
        assert size > 0
        rest = rest[size:]
        rounds += 1
    assert rounds <= len(data)
