"""Rows that become one read the same: the merged view, and what each instance wrote."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hearth.domain.bundle import Row, bundle, chunks_in, places
from hearth.domain.output import lead_of, leaves_open, merged
from tests.property import laws  # noqa: F401

DATA = st.lists(st.sampled_from([b"a", b"b>", b"\n", "é".encode()]), min_size=1, max_size=5).map(b"".join)
WRITES = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2), DATA), min_size=1, max_size=14)


def rows_of(writes: list[tuple[int, int, bytes]]) -> list[Row]:
    """The rows that these chunks are stored as."""
    rows, tail, end = [], None, 0
    ends: dict[int, int] = {}
    for number, attempt, data in writes:
        lead = lead_of(tail, number, attempt)
        rows.append(Row(end, number, attempt, int(lead), ends.get(number, 0), None, data))
        end += len(merged(data, number, lead))
        ends[number] = ends.get(number, 0) + len(data)
        tail = (number, attempt) if leaves_open(data) else None
    return rows


@given(WRITES, st.data())
def test_a_bundle_reads_as_its_rows_did(writes: list[tuple[int, int, bytes]], draws: st.DataObject):
    rows = rows_of(writes)
    cut = draws.draw(st.integers(1, len(rows)))
    one = bundle([bundle(rows[:cut]), *rows[cut:]])
    assert one.position == rows[0].position
    end = one.position
    for chunk in chunks_in(one):
        assert chunk.position == end, "the chunks of a bundle join on"
        end += len(chunk.shown())
    assert b"".join(chunk.shown() for chunk in chunks_in(one)) == b"".join(
        chunk.shown() for row in rows for chunk in chunks_in(row)
    )
    for number in (0, 1, 2):
        for attempt in (1, 2):
            wrote = b"".join(data for owner, a, data in writes if (owner, a) == (number, attempt))
            if one.segments is None:
                found = one.data if (one.number, one.attempt) == (number, attempt) else b""
            else:
                spots = [place for place in places(one.segments, number) if place.attempt == attempt]
                found = b"".join(one.data[place.begin : place.begin + place.size] for place in spots)
            assert found == wrote
        starts = [chunk for chunk in chunks_in(one) if chunk.number == number]
        assert [c.instance_start for c in starts] == [
            sum(len(b.data) for b in starts[:index]) for index in range(len(starts))
        ]
