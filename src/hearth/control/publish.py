"""Make what an attempt wrote visible in the result bucket, in the transaction that ends the instance."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from hearth.control.changes import Changes
from hearth.domain.errors import HearthError, Invalid, QuotaExceeded, StaleLease
from hearth.domain.instance import Ended, Instance, Published, advance
from hearth.domain.spec import TaskSpec
from hearth.store.queries import buckets, instances, objects, tasks
from hearth.wire import agent as wire

KEY_LIMIT_BYTES = 1024  # what S3 lets a key have
DEBUG_LIMIT = 2000


def is_published(instance: Instance, event: Ended) -> bool:
    """Answer whether this end would make its files the instance's results."""
    try:
        return Published(event.attempt) in advance(instance, event)[1]
    except StaleLease:
        return False


def without_files(end: wire.Ended, refusal: HearthError) -> wire.Ended:
    """Return the end as it is told when its files could not be stored: a failure that says so."""
    size = sum(file.size for file in end.files)
    what = f"its {len(end.files)} result files ({size} bytes) could not be stored: {refusal.message}"
    if end.error_code:  # it failed before that, and why is what its user wants to know first
        return msgspec.structs.replace(end, files=[], notes=[*end.notes, what])
    code = "STORAGE_QUOTA" if isinstance(refusal, QuotaExceeded) else "RESULTS_LOST"
    return msgspec.structs.replace(end, files=[], error_code=code, error_message=what)


@dataclass(slots=True)
class Publisher:
    """Publishes the ends of one report."""

    changes: Changes
    _specs: dict[int, TaskSpec] = field(default_factory=dict)
    _buckets: dict[tuple[int, str], int] = field(default_factory=dict)
    _noted: list[tuple[str | None, str | None, int, int]] = field(default_factory=list)

    def show(self, end: wire.Ended) -> list[str]:
        """Let the result bucket show the files, all or none; return where. Raise why they cannot be stored."""
        spec = self.spec(end.task)
        if not end.files or not spec.result_bucket:
            return []
        return self.put(end.task, spec.result_bucket, spec.results_prefix, end.files)

    def put(self, task_id: int, bucket: str, prefix: str, files: Sequence[wire.ResultFile]) -> list[str]:
        """Let a bucket show files of a task's instance, all or none; return where. Raise why that cannot be."""
        account_id = self.changes.tasks[task_id].account_id
        place = (account_id, bucket)
        new = [objects.NewObject(prefix + f.path, f.blob, f.size, f.etag) for f in files]
        for each in new:
            if (size := len(each.key.encode())) > KEY_LIMIT_BYTES:
                raise Invalid(
                    "prefix",
                    f"with it the key of '{each.key[-60:]}' has {size} bytes, at most {KEY_LIMIT_BYTES} can be",
                )
        with self.changes.connection.begin_nested():  # a refusal takes back nothing else of the report
            # The user may have deleted it meanwhile; it is made when it is missing.
            bucket_id = self._buckets.get(place) or buckets.create(self.changes.connection, *place, self.changes.now).id
            objects.put_many(self.changes.connection, account_id, bucket_id, new, self.changes.now)
        self._buckets[place] = bucket_id
        return [f"{bucket}/{each.key}" for each in new]

    def note(self, end: wire.Ended, shown: list[str]) -> None:
        """Note on the instance what it published, what was done otherwise than asked, and what it said last."""
        if shown:
            standing = self.changes.tasks[end.task]
            self.changes.tasks[end.task] = replace(standing, results_count=standing.results_count + 1)
        if shown or end.notes or end.debug:
            told = msgspec.json.encode(shown).decode() if shown else None
            self._noted.append((told, _details(end), end.task, end.number))

    def save(self) -> None:
        """Write the notes."""
        instances.set_results(self.changes.connection, self._noted)
        self._noted = []

    def spec(self, task_id: int) -> TaskSpec:
        """Return what the task asked for."""
        if task_id not in self._specs:
            self._specs[task_id] = tasks.many(self.changes.connection, [task_id])[task_id].parsed_spec()
        return self._specs[task_id]


def _details(end: wire.Ended) -> str | None:
    if end.debug:
        told = {"notes": end.notes, "debug": end.debug[-DEBUG_LIMIT:]}
        return msgspec.json.encode(told).decode()
    return _notes(tuple(end.notes))


@functools.lru_cache(maxsize=256)
def _notes(notes: tuple[str, ...]) -> str | None:
    return msgspec.json.encode({"notes": list(notes)}).decode() if notes else None
