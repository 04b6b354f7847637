"""Snapshots: copies of what the running instances of a task have made so far, taken once or every so often.

    TRIGGERED ──a node tells of a part──► IN_PROGRESS ──no part is open──► SUCCESS | FAILURE

A snapshot has a part for each instance that ran when it was triggered; without any it is over at once. It failed
when one of its parts did. What a snapshot is computed from is in `Tally`, and only `told` and `closed` change it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from hearth.domain.errors import Invalid
from hearth.domain.spec import TaskSpec

SECOND = 1_000_000
LONGEST_SECONDS = (1 << 31) - 1  # clients keep intervals in 32 bits


class SnapshotState(IntEnum):
    """How far a snapshot is; the numbers are stored."""

    TRIGGERED = 0
    IN_PROGRESS = 1
    SUCCESS = 2
    FAILURE = 3

    @property
    def is_over(self) -> bool:
        return self >= SnapshotState.SUCCESS


@dataclass(frozen=True, slots=True)
class Filter:
    """Which files a snapshot takes, and under which bucket and prefix they appear; empty: not said."""

    whitelist: str = ""
    blacklist: str = ""
    bucket: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a call says about its snapshot; None: as the task has it."""

    whitelist: str | None = None
    blacklist: str | None = None
    bucket: str | None = None
    prefix: str | None = None

    def over(self, own: Filter) -> Filter:
        """Return the filter that this makes of the task's own."""
        return Filter(
            own.whitelist if self.whitelist is None else self.whitelist,
            own.blacklist if self.blacklist is None else self.blacklist,
            own.bucket if self.bucket is None else self.bucket,
            own.prefix if self.prefix is None else self.prefix,
        )


def filter_of(spec: TaskSpec) -> Filter:
    """Return the filter that a task was submitted with."""
    return Filter(spec.snapshot_whitelist, spec.snapshot_blacklist, spec.snapshot_bucket, spec.snapshot_prefix)


def placed(chosen: Filter, spec: TaskSpec) -> Filter:
    """Return the filter with its place filled in: without a bucket of their own, snapshots go where results go."""
    if chosen.bucket:
        return chosen
    if not spec.result_bucket:
        raise Invalid("bucket", "is missing: the task has neither a snapshotBucket nor a resultBucket, so name one")
    return replace(chosen, bucket=spec.result_bucket, prefix=chosen.prefix or spec.results_prefix)


@dataclass(frozen=True, slots=True)
class Tally:
    """What the parts of a snapshot come to; successful and failed ones together."""

    open_parts: int
    failed_parts: int = 0
    files: int = 0  # that its bucket was given
    size_bytes: int = 0  # what there is to upload, as far as nodes have told
    transferred_bytes: int = 0
    is_heard_of: bool = False

    @property
    def state(self) -> SnapshotState:
        if not self.open_parts:
            return SnapshotState.FAILURE if self.failed_parts else SnapshotState.SUCCESS
        return SnapshotState.IN_PROGRESS if self.is_heard_of else SnapshotState.TRIGGERED

    def told(self, *, more_size: int, more_transferred: int) -> Tally:
        """Return the tally after a node told how far an open part is."""
        return replace(
            self,
            size_bytes=self.size_bytes + more_size,
            transferred_bytes=self.transferred_bytes + more_transferred,
            is_heard_of=True,
        )

    def closed(self, *, failed: bool, files: int) -> Tally:
        """Return the tally after an open part is over."""
        if not self.open_parts:
            raise AssertionError("a part of a snapshot was closed that has no open one")
        return replace(
            self,
            open_parts=self.open_parts - 1,
            failed_parts=self.failed_parts + failed,
            files=self.files + files,
            is_heard_of=True,
        )


def interval(asked: int, shortest: int) -> int:
    """Return the seconds between periodic snapshots: 0 is none, and what is too short becomes the shortest."""
    if not 0 <= asked <= LONGEST_SECONDS:
        raise Invalid("interval", f"{asked} is not between 0, which stops the snapshots, and {LONGEST_SECONDS} seconds")
    return max(asked, shortest) if asked else 0


def next_due(submitted_at: int, interval_seconds: int, now: int) -> int:
    """Return when the next periodic snapshot is due, after `now`: intervals count from the submission."""
    step = interval_seconds * SECOND
    return submitted_at + (max(0, now - submitted_at) // step + 1) * step


def name(task_uuid: str, second: str, suffix: str = "") -> str:
    """Return the id that users see; `second` is yyyyMMddHHmmss, the suffix tells those of one second apart."""
    return f"snap_{task_uuid}_{second}" + (f"_{suffix}" if suffix else "")
