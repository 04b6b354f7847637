"""Change what may be changed of a task after its submit: constants and tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from hearth.control import find
from hearth.control.hardware import names_an_image
from hearth.control.site import Site
from hearth.domain import constants as domain
from hearth.domain.profile import Profile
from hearth.store.queries import accounts_counters, shapes, tasks
from hearth.store.queries.tasks import TaskRow

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
    profile = None
    if constants is not None:
        row = await site.store.read(find.task, account_id, ident)
        if (profile := site.profiles.get(row.profile)) is not None:
            domain.run_seconds(profile, replace(row.parsed_spec(), constants=dict(constants)))
    await site.store.write(update, account_id, ident, constants, tags, site.now(), merge, profile)


def update(
    connection: Connection,
    account_id: int,
    ident: str,
    constants: Mapping[str, str] | None,
    tags: Sequence[str] | None,
    now: int,
    merge: Merge = as_given,
    profile: Profile | None = None,
) -> None:
    """Write them in the caller's transaction."""
    task_id = find.task(connection, account_id, ident).id
    tasks.lock_standings(connection, [task_id])
    row = find.task(connection, account_id, ident)  # as it is now that nobody else changes it
    spec = row.parsed_spec()
    values: dict[str, object] = {}
    if constants is not None:
        spec = replace(spec, constants=merge(constants, spec.constants))
        values = _shape(connection, row, names_an_image(profile or Profile(row.profile), spec))
    if tags is not None:
        spec = replace(spec, tags=tuple(tags))
        tasks.replace_tags(connection, account_id, row.id, tags)
    tasks.set_columns(connection, row.id, {"spec": tasks.spec_to_json(spec), "modified_at": now, **values})


def _shape(connection: Connection, row: TaskRow, needs_image: bool) -> dict[str, object]:
    """Return what changes of the row when its instances need an image now that did not, or no longer one."""
    shape = shapes.get(connection, row.shape_id)
    if shape is None or shape.needs_image == needs_image:
        return {}
    accounts_counters.lock(connection, [row.account_id])
    changed = replace(shape, needs_image=needs_image)
    return {"shape_id": shapes.ids_of(connection, row.account_id, [changed])[changed]}
