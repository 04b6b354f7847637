"""The right of a lease to files: what its task names may be read, what its attempt wrote may be stored."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from hearth.domain.errors import Missing, StaleLease
from hearth.store.queries import buckets, instances, objects, tasks
from hearth.store.queries.tasks import TaskRow
from hearth.wire import agent as wire

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Holder:
    """The attempt that asks."""

    task_id: int
    number: int
    attempt: int


def require_holder(connection: Connection, holder: Holder) -> int:
    """Return the account that the attempt works for; raise `StaleLease` when it is no longer the current one."""
    row = instances.get(connection, holder.task_id, holder.number)
    if row is None or row.node_id is None or row.attempt != holder.attempt:
        raise StaleLease(holder.task_id, holder.number, holder.attempt, 0 if row is None else row.attempt)
    return row.account_id


def listing(connection: Connection, task_id: int) -> list[wire.ResourceFile]:
    """Return the files that the task's buckets make: their union, the last bucket winning (contract: 1.5)."""
    task = _running(connection, task_id)
    files: dict[str, wire.ResourceFile] = {}
    for index, resource in enumerate(task.parsed_spec().resources):
        bucket = buckets.find(connection, task.account_id, resource.name)
        if bucket is None:
            raise Missing("bucket", resource.name)
        after = ""
        while rows := objects.page(connection, bucket.id, resource.prefix, after, PAGE):
            for row in rows:
                path = row.key.removeprefix(resource.strip_prefix)
                files[path] = wire.ResourceFile(path, row.blob_id, row.size_bytes, row.etag, index)
            after = rows[-1].key
    return list(files.values())


def require_blob(connection: Connection, task_id: int, blob_id: int) -> int:
    """Return the size of a blob that one of the task's buckets shows; raise `Missing` for any other."""
    task = _running(connection, task_id)
    names = {resource.name for resource in task.parsed_spec().resources}
    size = objects.size_if_shown(connection, task.account_id, names, blob_id)
    if size is None:
        raise Missing("resource", f"blob {blob_id} of task {task_id}")
    return size


def _running(connection: Connection, task_id: int) -> TaskRow:
    task = tasks.get(connection, task_id)
    if task is None or not (task.dispatched_count or task.running_count):
        raise Missing("running task", str(task_id))
    return task
