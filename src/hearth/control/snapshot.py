"""Take snapshots of tasks: at once when asked, and every so often by themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from hearth.control import find
from hearth.control.once import Once, once
from hearth.control.site import Site
from hearth.control.snapshot_parts import line_of, orders_to_take
from hearth.domain import snapshot as domain
from hearth.domain.errors import Conflict, Invalid, Missing
from hearth.domain.snapshot import Filter, Wish, next_due, placed
from hearth.store.queries import buckets, history, snapshot_schedule, snapshots, tasks
from hearth.store.queries.snapshot_schedule import Due
from hearth.store.queries.snapshots import SnapshotRow
from hearth.store.queries.tasks import TaskRow

# How many snapshots of one task may be under way, and how many that are over are remembered.
OPEN_AT_ONCE = 100
REMEMBERED = 1000
# What one transaction of the loop takes: tasks, and beyond which number of parts it leaves the rest to the next.
DUE_AT_ONCE = 100
PARTS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Seen:
    """A snapshot, whose it is, and the first of its failures: instances, and why."""

    task_uuid: str
    row: SnapshotRow
    failures: list[tuple[int, str]]


async def take_snapshot(site: Site, account_id: int, ident: str, wish: Wish, request: Once | None = None) -> Seen:
    """Take one snapshot now; of a request that came before, return the one that it took."""
    seen = await site.store.write(trigger, account_id, ident, wish, site.now(), site.new_uuid, request)
    site.fleet.snapshot(await site.store.read(orders_to_take, [seen.row]))
    return seen


async def take_periodic_snapshots(site: Site, account_id: int, ident: str, interval: int, wish: Wish) -> None:
    """Take snapshots every `interval` seconds from now on; 0 stops them."""
    seconds = domain.interval(interval, site.settings.shortest_snapshot_interval)
    await site.store.write(schedule, account_id, ident, seconds, wish, site.now())


async def take_due_snapshots(site: Site) -> None:
    """Trigger all periodic snapshots that are due."""
    more = await site.store.read(snapshot_schedule.is_any_due, site.now())
    while more:
        begun, more = await site.store.write(trigger_due, site.now(), site.new_uuid)
        site.fleet.snapshot(await site.store.read(orders_to_take, begun))


def trigger(
    connection: Connection,
    account_id: int,
    ident: str,
    wish: Wish,
    now: int,
    new_uuid: Callable[[], str],
    request: Once | None = None,
) -> Seen:
    """Trigger a snapshot in the caller's transaction. Without an instance that runs it is over at once."""
    task_id = find.task(connection, account_id, ident).id
    tasks.lock_standings(connection, [task_id])
    row = find.task(connection, account_id, ident)  # as it is now that nobody else changes it
    done = once(connection, account_id, request, now, lambda: [_trigger(connection, row, wish, now, new_uuid)])
    return look(connection, account_id, ident, str(done.outcomes[0]))


def _trigger(connection: Connection, row: TaskRow, wish: Wish, now: int, new_uuid: Callable[[], str]) -> str:
    """Trigger a snapshot of a task that is locked; return its name."""
    if row.ended_at is not None:
        raise Invalid("", f"the task has ended ({row.state}): what it made is in its results, nothing is left to copy")
    spec = row.parsed_spec()
    chosen = placed(wish.over(snapshots.own_filter(row.snapshot_filter, spec)), spec)
    if row.open_snapshots >= OPEN_AT_ONCE:
        raise Conflict(f"{row.open_snapshots} snapshots of this task are under way; wait until some are over")
    buckets.create(connection, row.account_id, chosen.bucket, now)
    made = _begin(connection, row.account_id, row.id, row.uuid, chosen, now, new_uuid, is_periodic=False)
    if made.open_parts:
        tasks.set_columns(connection, row.id, {"open_snapshots": row.open_snapshots + 1})
    return made.name


def schedule(connection: Connection, account_id: int, ident: str, interval: int, wish: Wish, now: int) -> None:
    """Set or end the periodic snapshots of a task in the caller's transaction."""
    task_id = find.task(connection, account_id, ident).id
    tasks.lock_standings(connection, [task_id])
    row = find.task(connection, account_id, ident)
    chosen = wish.over(snapshots.own_filter(row.snapshot_filter, row.parsed_spec()))
    if interval:
        buckets.create(connection, account_id, placed(chosen, row.parsed_spec()).bucket, now)
    is_on = interval and row.ended_at is None  # a short task may have ended before its client could say this
    tasks.set_columns(
        connection,
        task_id,
        {
            "snapshot_interval": interval,
            "snapshot_next_at": next_due(row.created_at, interval, now) if is_on else None,
            "snapshot_filter": snapshots.filter_to_json(chosen),
            "modified_at": now,
        },
    )


def trigger_due(connection: Connection, now: int, new_uuid: Callable[[], str]) -> tuple[list[SnapshotRow], bool]:
    """Trigger some of the periodic snapshots that are due; return them, and whether more are due.

    One that would overlap with the one before it, or would find no instance that runs, is left out.
    """
    due = snapshot_schedule.lock_due(connection, now, DUE_AT_ONCE)
    taken: list[SnapshotRow] = []
    planned: list[tuple[int | None, int, int]] = []
    parts = 0
    for task in due:
        if parts > PARTS_AT_ONCE:
            break
        if task.ended_at is not None:
            planned.append((None, 0, task.id))
            continue
        begun = 0
        if task.running and not (task.open_snapshots and snapshots.has_open_periodic(connection, task.id)):
            made = _begin_due(connection, task, now, new_uuid)
            taken.append(made)
            parts += made.open_parts
            begun = int(made.open_parts > 0)
        planned.append((next_due(task.created_at, task.interval, now), begun, task.id))
    snapshot_schedule.plan(connection, planned)
    return taken, len(planned) == DUE_AT_ONCE or len(planned) < len(due)


def look(connection: Connection, account_id: int, ident: str, name: str) -> Seen:
    """Return a snapshot; raise `Missing` when it is not there."""
    task = find.task(connection, account_id, ident)
    row = None if "\0" in name else snapshots.find(connection, task.id, name)
    if row is None:
        raise Missing("snapshot", name)
    return Seen(task.uuid, row, snapshots.failures(connection, row.id) if row.failed_parts else [])


def _begin_due(connection: Connection, task: Due, now: int, new_uuid: Callable[[], str]) -> SnapshotRow:
    spec = tasks.spec_from_json(task.spec)
    chosen = placed(snapshots.own_filter(task.filter, spec), spec)
    return _begin(connection, task.account_id, task.id, task.uuid, chosen, now, new_uuid, is_periodic=True)


def _begin(
    connection: Connection,
    account_id: int,
    task_id: int,
    uuid: str,
    chosen: Filter,
    now: int,
    new_uuid: Callable[[], str],
    *,
    is_periodic: bool,
) -> SnapshotRow:
    snapshots.keep_newest(connection, task_id, REMEMBERED - 1)
    second = f"{datetime.fromtimestamp(now // domain.SECOND, UTC):%Y%m%d%H%M%S}"
    name = domain.name(uuid, second)
    while snapshots.is_taken(connection, name):
        name = domain.name(uuid, second, new_uuid()[-4:])
    row = snapshots.add(
        connection,
        account_id=account_id,
        task_id=task_id,
        name=name,
        is_periodic=is_periodic,
        chosen=chosen,
        now=now,
    )
    if not is_periodic:  # of those that come by themselves, for days perhaps, only failures are told
        history.add(connection, [line_of(row, row.tally().state, now)])
    return row
