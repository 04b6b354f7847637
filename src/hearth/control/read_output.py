"""Read what instances wrote: all of it, from an offset on, or what is new since the last fresh read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import SpooledTemporaryFile

from sqlalchemy import Connection

from hearth.control import find
from hearth.control.site import Site
from hearth.domain.errors import Missing
from hearth.domain.ranges import RangeSet
from hearth.store.queries import instances, output, output_view
from hearth.store.queries.output_view import View

# An answer that is longer waits for its reader in a file.
IN_MEMORY = 4 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to read."""

    ident: str  # of the task
    stream: int  # 0 stdout, 1 stderr
    number: int | None = None  # None: the merged stream
    attempt: int | None = None  # of the instance; None: all


@dataclass(slots=True)
class Answer:
    """What was there to read, as it was at one moment."""

    view: View
    since: int
    end: int  # where to read on
    dropped: int  # bytes between `since` and `end` that rotation took
    size: int
    body: SpooledTemporaryFile[bytes]

    def bytes(self) -> bytes:
        """Return all of it at once."""
        self.body.seek(0)
        return self.body.read()


async def read(site: Site, account_id: int, wanted: Wanted, since: int = 0) -> Answer:
    """Return what there is from the offset `since` on."""
    return await site.store.read(_read, account_id, wanted, since, site.settings.data)


async def read_fresh(site: Site, account_id: int, wanted: Wanted) -> Answer:
    """Return what came since the last fresh read, and move the cursor that all readers of the account share.

    There is one cursor per task and stream, and one per instance (contract: section 1.4). Two fresh reads at the
    same time never get the same bytes.
    """
    while True:
        answer = await site.store.read(_read, account_id, wanted, None, site.settings.data)
        if answer.end <= answer.since or await site.store.write(_take, account_id, answer):
            return answer
        answer.body.close()


def _read(connection: Connection, account_id: int, wanted: Wanted, since: int | None, folder: Path) -> Answer:
    """Read in one transaction, so that what is said of the answer is true of all of it."""
    view = look(connection, account_id, wanted)
    if since is None:
        since = output.cursor(connection, view.task_id, view.stream, _owner(view))
    _, end = output_view.bounds(connection, view)
    body = SpooledTemporaryFile[bytes](max_size=IN_MEMORY, dir=str(folder))
    size = 0
    for _, text in output_view.read(connection, view, since):
        size += body.write(text)
    return Answer(view, since, end, max(0, end - since) - size, size, body)


def look(connection: Connection, account_id: int, wanted: Wanted) -> View:
    """Return the view that is wanted; raise `Missing` when there is no such task, instance or attempt."""
    row = find.task(connection, account_id, wanted.ident)
    view = View(row.id, wanted.stream, wanted.number, wanted.attempt)
    if wanted.number is None:
        return replace(view, attempt=None)
    if wanted.number not in RangeSet.parse(row.numbers):
        raise Missing("instance", f"{wanted.number} (the task's instances are {row.numbers})")
    if wanted.attempt is not None:
        instance = instances.get(connection, row.id, wanted.number)
        newest = 0 if instance is None else instance.attempt
        if not 1 <= wanted.attempt <= newest:
            raise Missing("attempt", f"{wanted.attempt} (instance {wanted.number} has had {newest})")
    return view


def _take(connection: Connection, account_id: int, answer: Answer) -> bool:
    """Move the cursor if nobody else did; return whether the bytes are ours."""
    view = answer.view
    if output.cursor(connection, view.task_id, view.stream, _owner(view), for_update=True) != answer.since:
        return False
    output.move_cursor(connection, account_id, view.task_id, view.stream, _owner(view), answer.end)
    return True


def _owner(view: View) -> int:
    return output.MERGED if view.number is None else view.number
