"""Rows of tasks: what is stored of a task, and how it is found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, case, delete, func, insert, literal_column, null, select, update

from hearth.domain.instance import RetryRule
from hearth.domain.ranges import RangeSet
from hearth.domain.spec import TaskSpec
from hearth.domain.task import Progress, TaskState
from hearth.store.bulk import Bulk
from hearth.store.tables import task_tags, tasks


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One row of `tasks`, a field per column."""

    id: int
    account_id: int
    uuid: str
    shortname: str
    name: str
    profile: str
    pool_id: int | None
    job_id: int | None
    project_id: int | None
    spec: str = field(repr=False)
    numbers: str
    instance_total: int
    waiting: str
    succeeded: str
    failed: str
    cancelled: str
    started: str
    waiting_count: int
    dispatched_count: int
    running_count: int
    uploading_count: int
    cancelling_count: int
    requeued_count: int
    succeeded_count: int
    failed_count: int
    cancelled_count: int
    retries: int
    retry_total: int | None
    retry_per_instance: int | None
    results_count: int
    download_microseconds: int
    environment_microseconds: int
    execution_microseconds: int
    upload_microseconds: int
    machines: str | None
    demand_cores: float
    demand_memory: int
    shape_id: int
    scheduling: int
    priority: int
    cancel_requested_at: int | None
    delete_requested_at: int | None
    deleted_at: int | None
    drained_at: int | None
    queue_deadline_at: int | None
    completion_ttl_seconds: int
    expires_at: int | None
    auto_delete: int
    resources_version: int
    snapshot_interval: int
    snapshot_next_at: int | None
    open_snapshots: int
    snapshot_filter: str | None
    state: str
    previous_state: str | None
    state_changed_at: int
    previous_state_changed_at: int | None
    created_at: int
    modified_at: int
    first_started_at: int | None
    ended_at: int | None
    error: str | None

    def standing(self) -> Standing:
        """Return the part that changes while instances run."""
        return standing_of([getattr(self, name) for name in _STANDING_NAMES])

    def parsed_spec(self) -> TaskSpec:
        """Return what was asked for."""
        return spec_from_json(self.spec)


COLUMNS = tuple(tasks.c[field.name] for field in fields(TaskRow))
_spec_decoder = msgspec.json.Decoder(TaskSpec)


def spec_to_json(spec: TaskSpec) -> str:
    """Return the stored form of a specification."""
    return msgspec.json.encode(spec).decode()


def spec_from_json(text: str) -> TaskSpec:
    """Read the stored form of a specification."""
    return _spec_decoder.decode(text)


class Standing(msgspec.Struct, frozen=True):
    """The part of a task that changes while its instances run."""

    id: int
    account_id: int
    progress: Progress
    requeued: int
    retries: int
    rule: RetryRule
    demand_cores: float
    cancel_requested: bool
    delete_requested: bool
    results_count: int
    open_snapshots: int
    download_microseconds: int
    environment_microseconds: int
    execution_microseconds: int
    upload_microseconds: int
    machines: str | None  # JSON {machine id: execution microseconds}
    completion_ttl_seconds: int
    expires_at: int | None
    state: TaskState
    previous_state: str | None
    state_changed_at: int
    previous_state_changed_at: int | None
    first_started_at: int | None
    ended_at: int | None

    def entered(self, state: TaskState, at: int) -> Standing:
        """Return the standing after a change of state, with its times; itself when nothing changed."""
        if state is self.state:
            return self
        lives = self.completion_ttl_seconds * 1_000_000
        return replace(
            self,
            state=state,
            previous_state=self.state.value,
            state_changed_at=at,
            previous_state_changed_at=self.state_changed_at,
            ended_at=at if state.is_final else self.ended_at,
            expires_at=at + lives if state.is_final and lives else self.expires_at,
        )


_STANDING_NAMES = [
    "id",
    "account_id",
    "instance_total",
    "waiting",
    "dispatched_count",
    "running_count",
    "uploading_count",
    "cancelling_count",
    "succeeded",
    "failed",
    "cancelled",
    "started",
    "requeued_count",
    "retries",
    "retry_total",
    "retry_per_instance",
    "demand_cores",
    "cancel_requested_at",
    "delete_requested_at",
    "results_count",
    "execution_microseconds",
    "state",
    "previous_state",
    "state_changed_at",
    "previous_state_changed_at",
    "first_started_at",
    "ended_at",
    "download_microseconds",
    "environment_microseconds",
    "upload_microseconds",
    "machines",
    "completion_ttl_seconds",
    "expires_at",
    "open_snapshots",  # stays the last
]
_STANDING = tuple(tasks.c[name] for name in _STANDING_NAMES)


def standing_of(row: Sequence[Any]) -> Standing:
    """Read a row of the columns in `_STANDING`."""
    parse = RangeSet.parse
    return Standing(
        id=row[0],
        account_id=row[1],
        progress=Progress(
            total=row[2],
            waiting=parse(row[3]),
            dispatched=row[4],
            running=row[5],
            uploading=row[6],
            cancelling=row[7],
            succeeded=parse(row[8]),
            failed=parse(row[9]),
            cancelled=parse(row[10]),
            started=parse(row[11]),
        ),
        requeued=row[12],
        retries=row[13],
        rule=RetryRule(total=row[14], per_instance=row[15]),
        demand_cores=row[16],
        cancel_requested=row[17] is not None,
        delete_requested=row[18] is not None,
        results_count=row[19],
        execution_microseconds=row[20],
        state=TaskState(row[21]),
        previous_state=row[22],
        state_changed_at=row[23],
        previous_state_changed_at=row[24],
        first_started_at=row[25],
        ended_at=row[26],
        open_snapshots=row[-1],
        download_microseconds=row[27],
        environment_microseconds=row[28],
        upload_microseconds=row[29],
        machines=row[30],
        completion_ttl_seconds=row[31],
        expires_at=row[32],
    )


_standings = select(*_STANDING).where(tasks.c.id.in_(bindparam("ids", expanding=True))).with_for_update(key_share=True)


def lock_standings(connection: Connection, ids: Iterable[int]) -> dict[int, Standing]:
    """Return the standings of these tasks, held until the transaction ends (in order of id: no deadlock)."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    rows = connection.execute(_standings.order_by(tasks.c.id), {"ids": wanted})
    return {row[0]: standing_of(row) for row in rows}


_CHANGING = [
    "waiting",
    "succeeded",
    "failed",
    "cancelled",
    "started",
    "waiting_count",
    "dispatched_count",
    "running_count",
    "uploading_count",
    "cancelling_count",
    "requeued_count",
    "succeeded_count",
    "failed_count",
    "cancelled_count",
    "retries",
    "results_count",
    "open_snapshots",
    "download_microseconds",
    "environment_microseconds",
    "execution_microseconds",
    "upload_microseconds",
    "machines",
    "state",
    "previous_state",
    "state_changed_at",
    "previous_state_changed_at",
    "first_started_at",
    "ended_at",
    "expires_at",
]
_save_standings = Bulk(
    lambda: (
        update(tasks)
        .where(tasks.c.id == bindparam("key"))
        .values({n: bindparam("v_" + n) for n in _CHANGING})
        .values(
            drained_at=case(
                (bindparam("v_waiting_count") > literal_column("0"), null()),
                else_=func.coalesce(tasks.c.drained_at, bindparam("now")),
            )
        )
    ),
    [*("v_" + name for name in _CHANGING), "now", "key"],
)


def save_standings(connection: Connection, standings: Iterable[Standing], now: int) -> None:
    """Write what changed of these tasks, and since when nothing of them waits."""
    _save_standings.run(connection, (_changing(task, now) for task in standings))


def _changing(task: Standing, now: int) -> tuple[Any, ...]:
    """Return the values of `_CHANGING`, then the time and the key."""
    progress = task.progress
    return (
        str(progress.waiting),
        str(progress.succeeded),
        str(progress.failed),
        str(progress.cancelled),
        str(progress.started),
        len(progress.waiting),
        progress.dispatched,
        progress.running,
        progress.uploading,
        progress.cancelling,
        task.requeued,
        len(progress.succeeded),
        len(progress.failed),
        len(progress.cancelled),
        task.retries,
        task.results_count,
        task.open_snapshots,
        task.download_microseconds,
        task.environment_microseconds,
        task.execution_microseconds,
        task.upload_microseconds,
        task.machines,
        task.state.value,
        task.previous_state,
        task.state_changed_at,
        task.previous_state_changed_at,
        task.first_started_at,
        task.ended_at,
        task.expires_at,
        now,
        task.id,
    )


def insert_many(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add tasks; each row gives the columns without a default."""
    connection.execute(insert(tasks), rows)


def ids_of(connection: Connection, uuids: Sequence[str]) -> dict[str, int]:
    """Return the ids of tasks by uuid."""
    found: dict[str, int] = {}
    for begin in range(0, len(uuids), 500):
        part = uuids[begin : begin + 500]
        found.update(
            (row[0], row[1])
            for row in connection.execute(select(tasks.c.uuid, tasks.c.id).where(tasks.c.uuid.in_(part)))
        )
    return found


# Two questions, not one with OR: SQLite would answer that one by reading all tasks of the account.
_NAMED = tuple(
    select(*COLUMNS).where(
        named == bindparam("ident"), tasks.c.account_id == bindparam("account"), tasks.c.deleted_at.is_(None)
    )
    for named in (tasks.c.uuid, tasks.c.shortname)
)


def find(connection: Connection, account_id: int, ident: str) -> TaskRow | None:
    """Return the account's task with this uuid or shortname, unless it was deleted."""
    for query, name in zip(_NAMED, (ident.lower(), ident), strict=True):
        row = connection.execute(query, {"ident": name, "account": account_id}).first()
        if row is not None:
            return TaskRow(*row)
    return None


def get(connection: Connection, task_id: int) -> TaskRow | None:
    """Return a task by its number, deleted or not."""
    row = connection.execute(select(*COLUMNS).where(tasks.c.id == task_id)).first()
    return None if row is None else TaskRow(*row)


def many(connection: Connection, ids: Sequence[int]) -> dict[int, TaskRow]:
    """Return tasks by their numbers."""
    rows = connection.execute(select(*COLUMNS).where(tasks.c.id.in_(ids)))
    return {row[0]: TaskRow(*row) for row in rows}


def shortnames_taken(connection: Connection, account_id: int, shortnames: Sequence[str]) -> set[str]:
    """Return which of these shortnames the account's tasks use already."""
    taken: set[str] = set()
    for begin in range(0, len(shortnames), 500):
        part = shortnames[begin : begin + 500]
        taken.update(
            connection.execute(
                select(tasks.c.shortname).where(
                    tasks.c.account_id == account_id, tasks.c.shortname.in_(part), tasks.c.deleted_at.is_(None)
                )
            ).scalars()
        )
    return taken


def set_columns(connection: Connection, task_id: int, values: Mapping[str, Any]) -> None:
    """Write some columns of one task."""
    connection.execute(update(tasks).where(tasks.c.id == task_id).values(dict(values)))


def add_tags(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Index tags: rows of account_id, tag, task_id."""
    if rows:
        connection.execute(insert(task_tags), rows)


def replace_tags(connection: Connection, account_id: int, task_id: int, tags: Iterable[str]) -> None:
    """Make these the task's tags."""
    connection.execute(delete(task_tags).where(task_tags.c.task_id == task_id))
    add_tags(connection, [{"account_id": account_id, "tag": tag, "task_id": task_id} for tag in dict.fromkeys(tags)])


def count(connection: Connection, account_id: int) -> int:
    """Count the account's tasks that are not deleted, by scanning: for checks, not for answers."""
    return connection.execute(
        select(func.count()).where(tasks.c.account_id == account_id, tasks.c.deleted_at.is_(None))
    ).scalar_one()
