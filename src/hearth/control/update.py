"""Change what may be changed of a task after its submit: constants and tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from hearth.control import find
from hearth.control.site import Site
from hearth.store.queries import tasks


async def update_task(
    site: Site, account_id: int, ident: str, constants: Mapping[str, str] | None, tags: Sequence[str] | None
) -> None:
    """Set the constants and the tags that are given; instances that start later see the new constants."""
    await site.store.write(update, account_id, ident, constants, tags, site.now())


def update(
    connection: Connection,
    account_id: int,
    ident: str,
    constants: Mapping[str, str] | None,
    tags: Sequence[str] | None,
    now: int,
) -> None:
    """Write them in the caller's transaction."""
    task_id = find.task(connection, account_id, ident).id
    tasks.lock_standings(connection, [task_id])
    row = find.task(connection, account_id, ident)  # as it is now that nobody else changes it
    spec = row.parsed_spec()
    if constants is not None:
        spec = replace(spec, constants=dict(constants))
    if tags is not None:
        spec = replace(spec, tags=tuple(tags))
        tasks.replace_tags(connection, account_id, row.id, tags)
    tasks.set_columns(connection, row.id, {"spec": tasks.spec_to_json(spec), "modified_at": now})
