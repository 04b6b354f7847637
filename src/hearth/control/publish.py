"""Make what an attempt wrote visible in the result bucket, in the transaction that ends the instance."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from hearth.control.changes import Changes
from hearth.store.queries import buckets, instances, objects, storage_quota, tasks
from hearth.wire import agent as wire


@dataclass(frozen=True, slots=True)
class Publication:
    """The files of the attempt that became an instance's end, and what was done otherwise than asked."""

    task_id: int
    number: int
    files: tuple[wire.ResultFile, ...]
    notes: tuple[str, ...]


class Room:
    """What may still be stored while one report is taken; a refusal there would refuse the whole report."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._promised: dict[int, int] = {}
        self._new_buckets: dict[int, set[str]] = {}

    def takes(self, end: wire.Ended) -> bool:
        """Answer whether the account may store these files, and count them."""
        if not end.files:
            return True
        connection, task = self._changes.connection, self._changes.tasks[end.task]
        quota = storage_quota.lock(connection, task.account_id)
        size = self._promised.get(task.account_id, 0) + sum(file.size for file in end.files)
        if quota.max_bucket_bytes and quota.bucket_bytes + size > quota.max_bucket_bytes:
            return False
        if quota.max_buckets and not self._has_bucket(end.task, task.account_id, quota):
            return False
        self._promised[task.account_id] = size
        return True

    def _has_bucket(self, task_id: int, account_id: int, quota: storage_quota.StorageQuota) -> bool:
        """Answer whether the result bucket is there, or one more may be made."""
        connection = self._changes.connection
        name = tasks.many(connection, [task_id])[task_id].parsed_spec().result_bucket
        made = self._new_buckets.setdefault(account_id, set())
        if name in made or buckets.find(connection, account_id, name) is not None:
            return True
        if quota.buckets + len(made) >= quota.max_buckets:
            return False
        made.add(name)
        return True


def without_room(end: wire.Ended) -> wire.Ended:
    """Return the end as it is told when its files may not be stored: a failure that says so."""
    size = sum(file.size for file in end.files)
    return msgspec.structs.replace(
        end,
        files=[],
        error_code=end.error_code or "STORAGE_QUOTA",
        error_message=end.error_message
        or f"its {len(end.files)} result files ({size} bytes) are more than the account's storage quota leaves",
    )


def publish(changes: Changes, publications: Sequence[Publication]) -> None:
    """Add the files to the result buckets and note them on the instances."""
    noted = [p for p in publications if p.files or p.notes]
    rows = tasks.many(changes.connection, sorted({p.task_id for p in noted if p.files}))
    bucket_ids: dict[tuple[int, str], int] = {}
    results: list[tuple[str | None, str | None, int, int]] = []
    for publication in noted:
        keys: list[str] = []
        if publication.files:
            task = rows[publication.task_id]
            spec = task.parsed_spec()
            place = (task.account_id, spec.result_bucket)
            if place not in bucket_ids:
                # The user may have deleted it meanwhile; a result bucket is made when it is missing.
                bucket_ids[place] = buckets.create(changes.connection, *place, changes.now).id
            new = [
                objects.NewObject(spec.results_prefix + file.path, file.blob, file.size, file.etag)
                for file in publication.files
            ]
            objects.put_many(changes.connection, task.account_id, bucket_ids[place], new, changes.now)
            keys = [f"{spec.result_bucket}/{each.key}" for each in new]
            standing = changes.tasks[publication.task_id]
            changes.tasks[publication.task_id] = replace(standing, results_count=standing.results_count + 1)
        told = msgspec.json.encode(keys).decode() if keys else None
        results.append((told, _details(publication.notes), publication.task_id, publication.number))
    instances.set_results(changes.connection, results)


@functools.lru_cache(maxsize=256)
def _details(notes: tuple[str, ...]) -> str | None:
    return msgspec.json.encode({"notes": list(notes)}).decode() if notes else None
