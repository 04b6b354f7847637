"""Read what instances wrote: all of it, or what is new since the last fresh read."""

from __future__ import annotations

from sqlalchemy import Connection

from hearth.control import find
from hearth.control.site import Site
from hearth.domain.errors import Missing
from hearth.domain.ranges import RangeSet
from hearth.store.queries import output


async def read_attempt(site: Site, account_id: int, ident: str, stream: int, number: int, attempt: int) -> bytes:
    """Return what one attempt of an instance wrote."""
    return await site.store.read(_whole, account_id, ident, stream, number, attempt)


async def read(site: Site, account_id: int, ident: str, stream: int, number: int | None, *, fresh: bool) -> bytes:
    """Return output of a task (merged) or of one instance (as it wrote it, every attempt).

    A fresh read moves the cursor that all readers of the account share: one per task and stream, and one per
    instance (contract: section 1.4). Two fresh reads at the same time never get the same bytes.
    """
    if not fresh:
        return await site.store.read(_whole, account_id, ident, stream, number)
    while True:
        task_id, position, data, after = await site.store.read(_new, account_id, ident, stream, number)
        if not data:
            return data
        owner = output.MERGED if number is None else number
        if await site.store.write(_take, account_id, task_id, stream, owner, position, after):
            return data


def _task(connection: Connection, account_id: int, ident: str, number: int | None) -> int:
    row = find.task(connection, account_id, ident)
    if number is not None and number not in RangeSet.parse(row.numbers):
        raise Missing("instance", f"{number} (the task's instances are {row.numbers})")
    return row.id


def _whole(
    connection: Connection, account_id: int, ident: str, stream: int, number: int | None, attempt: int | None = None
) -> bytes:
    task_id = _task(connection, account_id, ident, number)
    return output.read(connection, task_id, stream, number, attempt=attempt)[0]


def _new(
    connection: Connection, account_id: int, ident: str, stream: int, number: int | None
) -> tuple[int, int, bytes, int]:
    task_id = _task(connection, account_id, ident, number)
    position = output.cursor(connection, task_id, stream, output.MERGED if number is None else number)
    data, after = output.read(connection, task_id, stream, number, position)
    return task_id, position, data, after


def _take(
    connection: Connection, account_id: int, task_id: int, stream: int, owner: int, position: int, after: int
) -> bool:
    """Move the cursor if nobody else did; return whether the bytes are ours."""
    if output.cursor(connection, task_id, stream, owner, for_update=True) != position:
        return False
    output.move_cursor(connection, account_id, task_id, stream, owner, after)
    return True
