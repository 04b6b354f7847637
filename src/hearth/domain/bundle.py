"""Rows of stored output: a chunk each, or, once a task has ended, a bundle of neighbours that reads the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from hearth.domain.output import Lead, merged

SEVERAL = -1  # the number of a row that holds output of several attempts


class Chunk(NamedTuple):
    """A piece of one attempt's output and its two places."""

    position: int  # in the merged view
    number: int
    attempt: int
    lead: Lead
    instance_start: int  # in what the instance wrote, all attempts together
    data: bytes

    def shown(self) -> bytes:
        """Return it as the merged view shows it."""
        return merged(self.data, self.number, self.lead)


class Row(NamedTuple):
    """A row of the table `chunks`."""

    position: int
    number: int
    attempt: int
    lead: int
    instance_start: int
    segments: bytes | None
    data: bytes


class Place(NamedTuple):
    """Where a bundle holds a chunk of an instance."""

    attempt: int
    instance_start: int
    begin: int  # in the bundle's data
    size: int


class _Segments(msgspec.Struct, array_like=True):
    """The chunks of a bundle, column by column: so one instance is found in it without a loop over all."""

    numbers: list[int]
    attempts: list[int]
    leads: list[int]
    starts: list[int]
    sizes: list[int]


_decoder = msgspec.msgpack.Decoder(_Segments)


def chunks_in(row: Row) -> Iterator[Chunk]:
    """Take a row apart."""
    if row.segments is None:
        yield Chunk(row.position, row.number, row.attempt, Lead(row.lead), row.instance_start, row.data)
        return
    index = _decoder.decode(row.segments)
    position, begin = row.position, 0
    for number, attempt, lead, start, size in zip(
        index.numbers, index.attempts, index.leads, index.starts, index.sizes, strict=True
    ):
        chunk = Chunk(position, number, attempt, Lead(lead), start, row.data[begin : begin + size])
        yield chunk
        position += len(chunk.shown())
        begin += size


def places(segments: bytes, number: int) -> list[Place]:
    """Return where a bundle with these segments holds output of an instance."""
    index = _decoder.decode(segments)
    if number not in index.numbers:
        return []
    found, begin = [], 0
    for owner, attempt, start, size in zip(index.numbers, index.attempts, index.starts, index.sizes, strict=True):
        if owner == number:
            found.append(Place(attempt, start, begin, size))
        begin += size
    return found


def bundle(rows: Sequence[Row]) -> Row:
    """Return one row in the place of neighbours: nothing lies between them in the merged view."""
    whole: list[Chunk] = []
    parts: list[list[bytes]] = []
    end = -1  # where the last one ends in its instance's output
    for chunk in (chunk for row in rows for chunk in chunks_in(row)):
        if whole and (whole[-1].number, whole[-1].attempt, end) == (*chunk[1:3], chunk.instance_start):
            parts[-1].append(chunk.data)
        else:
            whole.append(chunk)
            parts.append([chunk.data])
        end = chunk.instance_start + len(chunk.data)
    whole = [chunk._replace(data=b"".join(data)) for chunk, data in zip(whole, parts, strict=True)]
    if len(whole) == 1:
        [one] = whole
        return Row(one.position, one.number, one.attempt, int(one.lead), one.instance_start, None, one.data)
    index = _Segments(
        [chunk.number for chunk in whole],
        [chunk.attempt for chunk in whole],
        [int(chunk.lead) for chunk in whole],
        [chunk.instance_start for chunk in whole],
        [len(chunk.data) for chunk in whole],
    )
    first = whole[0]
    data = b"".join(chunk.data for chunk in whole)
    # In the index of instances a bundle stands by its position: so bundles come in the stream's order.
    return Row(first.position, SEVERAL, 0, int(first.lead), first.position, msgspec.msgpack.encode(index), data)
