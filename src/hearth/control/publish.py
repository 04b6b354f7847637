"""Make what an attempt wrote visible in the result bucket, in the transaction that ends the instance."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from hearth.control.changes import Changes
from hearth.store.queries import accounts_counters, buckets, instances, objects, tasks
from hearth.wire import agent as wire


@dataclass(frozen=True, slots=True)
class Publication:
    """The files of the attempt that became an instance's end, and what was done otherwise than asked."""

    task_id: int
    number: int
    files: tuple[wire.ResultFile, ...]
    notes: tuple[str, ...]


def has_room(changes: Changes, end: wire.Ended) -> bool:
    """Answer whether the account may store these files."""
    if not end.files:
        return True
    account_id = changes.tasks[end.task].account_id
    counters = accounts_counters.lock(changes.connection, [account_id])[account_id]
    limit = counters.limits.max_bucket_bytes
    return not limit or counters.bucket_bytes + sum(file.size for file in end.files) <= limit


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
