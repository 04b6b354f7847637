"""Rows of machines: the kinds of machines that instances ran on. They are added and never change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from hearth.store.tables import machines
from hearth.wire.agent import Offer


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine."""

    specification_key: str = ""
    cpu_model: str = ""
    frequency_ghz: float = 0.0


_SAME = select(machines.c.id).where(
    machines.c.specification_key == bindparam("specification_key"),
    machines.c.cpu_model == bindparam("cpu_model"),
    machines.c.frequency_ghz == bindparam("frequency_ghz"),
)
_KINDS = select(machines.c.id, machines.c.specification_key, machines.c.cpu_model, machines.c.frequency_ghz).where(
    machines.c.id.in_(bindparam("ids", expanding=True))
)
_times = msgspec.json.Decoder(dict[int, int])


def ensure(connection: Connection, offer: Offer) -> int:
    """Return the number of the kind of machine that an offer describes, adding a row for a new one."""
    told = {
        "specification_key": offer.specification_key,
        "cpu_model": offer.cpu_model,
        "frequency_ghz": offer.frequency_ghz,
    }
    found: int | None = connection.execute(_SAME, told).scalar()
    if found is None:
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        connection.execute(dialect.insert(machines).values(told).on_conflict_do_nothing(index_elements=list(told)))
        found = connection.execute(_SAME, told).scalar_one()
    return found


def many(connection: Connection, ids: Iterable[int]) -> dict[int, Machine]:
    """Return kinds of machines by their numbers."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    return {row[0]: Machine(row[1], row[2], row[3]) for row in connection.execute(_KINDS, {"ids": wanted})}


def machine_times(text: str | None) -> dict[int, int]:
    """Read what a task stores of its execution: microseconds by kind of machine."""
    return _times.decode(text) if text else {}
