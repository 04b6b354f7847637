"""Change what may be changed of a task after its submit: constants and tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from hearth.control import find
from hearth.control.site import Site
from hearth.domain import constants as domain
from hearth.store.queries import tasks

# What is kept, of the constants that were given and those that there were.
Merge = Callable[[Mapping[str, str], Mapping[str, str]], dict[str, str]]


def as_given(given: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """Keep the constants as they were given."""
    return dict(given)


async def update_task(
    site: Site,
    account_id: int,
    ident: str,
    constants: Mapping[str, str] | None,
    tags: Sequence[str] | None,
    merge: Merge = as_given,
) -> None:
    """Set the constants and the tags that are given; instances that start later see the new constants."""
    if constants is not None:
        row = await site.store.read(find.task, account_id, ident)
        if (profile := site.profiles.get(row.profile)) is not None:
            domain.run_seconds(profile, replace(row.parsed_spec(), constants=dict(constants)))
    await site.store.write(update, account_id, ident, constants, tags, site.now(), merge)


def update(
    connection: Connection,
    account_id: int,
    ident: str,
    constants: Mapping[str, str] | None,
    tags: Sequence[str] | None,
    now: int,
    merge: Merge = as_given,
) -> None:
    """Write them in the caller's transaction."""
    task_id = find.task(connection, account_id, ident).id
    tasks.lock_standings(connection, [task_id])
    row = find.task(connection, account_id, ident)  # as it is now that nobody else changes it
    spec = row.parsed_spec()
    if constants is not None:
        spec = replace(spec, constants=merge(constants, spec.constants))
    if tags is not None:
        spec = replace(spec, tags=tuple(tags))
        tasks.replace_tags(connection, account_id, row.id, tags)
    tasks.set_columns(connection, row.id, {"spec": tasks.spec_to_json(spec), "modified_at": now})
