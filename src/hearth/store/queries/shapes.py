"""Rows of shapes: what instances ask for. They are written once and never change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, insert, select

from hearth.domain.demand import Shape, digest_of, shape_from_json, shape_to_json
from hearth.store.tables import shapes


def ids_of(connection: Connection, account_id: int, wanted: Iterable[Shape]) -> dict[Shape, int]:
    """Return the number of each of these shapes of one account, whose row is locked; new ones are stored."""
    bodies = {digest_of(body): (shape, body) for shape in wanted for body in [shape_to_json(shape)]}
    found: dict[Shape, int] = {}
    digests = list(bodies)
    for begin in range(0, len(digests), 500):
        part = digests[begin : begin + 500]
        rows = connection.execute(
            select(shapes.c.digest, shapes.c.id).where(shapes.c.account_id == account_id, shapes.c.digest.in_(part))
        )
        found.update((bodies[row[0]][0], row[1]) for row in rows)
    for digest, (shape, body) in bodies.items():
        if shape not in found:
            key = connection.execute(
                insert(shapes).values(account_id=account_id, digest=digest, body=body)
            ).inserted_primary_key
            assert key is not None
            found[shape] = key[0]
    return found


def get(connection: Connection, shape_id: int) -> Shape | None:
    """Return a shape by its number."""
    body = connection.execute(select(shapes.c.body).where(shapes.c.id == shape_id)).scalar()
    return None if body is None else shape_from_json(body)


def bodies(connection: Connection, ids: Sequence[int]) -> dict[int, Shape]:
    """Return shapes by their numbers."""
    rows = connection.execute(select(shapes.c.id, shapes.c.body).where(shapes.c.id.in_(ids)))
    return {row[0]: shape_from_json(row[1]) for row in rows}
