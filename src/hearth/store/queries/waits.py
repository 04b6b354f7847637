"""Rows of waits: why the tasks of a shape waited, and from when until when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, bindparam, case, delete, func, insert, select, update

from hearth.store.tables import waits


@dataclass(frozen=True, slots=True)
class Past:
    """How long one reason lasted, within some time."""

    code: str
    microseconds: int


@dataclass(frozen=True, slots=True)
class Open:
    """The reason that lasts."""

    code: str
    since: int


def still_open(connection: Connection) -> dict[int, str]:
    """Return the code of each shape whose last wait is open."""
    rows = connection.execute(select(waits.c.shape_id, waits.c.code).where(waits.c.until.is_(None)))
    return {row[0]: row[1] for row in rows}


def open_of(connection: Connection, shape_id: int) -> Open | None:
    """Return why a shape waits, as it was last written down."""
    row = connection.execute(
        select(waits.c.code, waits.c.since)
        .where(waits.c.shape_id == shape_id, waits.c.until.is_(None))
        .order_by(waits.c.since.desc())
        .limit(1)
    ).first()
    return None if row is None else Open(*row)


def change(
    connection: Connection, reasons: Mapping[int, tuple[str, Mapping[str, float | str]] | None], now: int
) -> None:
    """End the open waits of these shapes, and begin those that have a reason; what goes on is left as it is."""
    goes_on: set[int] = set()
    ended: list[int] = []
    query = (
        select(waits.c.id, waits.c.shape_id, waits.c.code)
        .where(waits.c.shape_id.in_(sorted(reasons)), waits.c.until.is_(None))
        .order_by(waits.c.id)
        .with_for_update()
    )
    for row in connection.execute(query):
        told = reasons[row[1]]
        if told is not None and told[0] == row[2] and row[1] not in goes_on:
            goes_on.add(row[1])
        else:
            ended.append(row[0])
    if ended:
        connection.execute(update(waits).where(waits.c.id.in_(ended)).values(until=now))
    begun = [
        {"shape_id": shape_id, "code": told[0], "detail": msgspec.json.encode(told[1]).decode(), "since": now}
        for shape_id, told in reasons.items()
        if told is not None and shape_id not in goes_on
    ]
    if begun:
        connection.execute(insert(waits), begun)


_end = func.coalesce(waits.c.until, bindparam("end"))
_overlap = case((_end < bindparam("end"), _end), else_=bindparam("end")) - case(
    (waits.c.since > bindparam("begin"), waits.c.since), else_=bindparam("begin")
)
_past = (
    select(waits.c.code, func.sum(_overlap))
    .where(waits.c.shape_id == bindparam("shape"), waits.c.since < bindparam("end"), _end > bindparam("begin"))
    .group_by(waits.c.code)
    .order_by(func.min(waits.c.since))
)


def between(connection: Connection, shape_id: int, begin: int, end: int) -> list[Past]:
    """Return how long each reason of a shape lasted between two moments, the first one first."""
    rows = connection.execute(_past, {"shape": shape_id, "begin": begin, "end": end})
    return [Past(row[0], int(row[1])) for row in rows]


def forget_before(connection: Connection, before: int, limit: int) -> int:
    """Remove up to `limit` waits that ended before that; return how many."""
    oldest = select(waits.c.id).where(waits.c.until.is_not(None), waits.c.until < before).order_by(waits.c.until)
    gone: Sequence[int] = connection.execute(oldest.limit(limit)).scalars().all()
    if gone:
        connection.execute(delete(waits).where(waits.c.id.in_(gone)))
    return len(gone)
