"""What a client says and hears of snapshots of a task."""

from __future__ import annotations

from hearth_client.messages.base import Answer, Request
from hearth_client.messages.task_status import TaskError


class UniqueSnapshot(Request):
    """The body of `POST /tasks/{id}/snapshot`; what is null is as the task has it."""

    whitelist: str | None = None
    blacklist: str | None = None
    bucket: str | None = None
    bucket_prefix: str | None = None


class PeriodicSnapshot(Request):
    """The body of `POST /tasks/{id}/snapshot/periodic`; what is null stays as the task has it."""

    interval: int | None = None
    whitelist: str | None = None
    blacklist: str | None = None
    bucket: str | None = None
    bucket_prefix: str | None = None


class SnapshotConfig(Answer):
    """Which files a snapshot takes, and where they appear."""

    whitelist: str | None
    blacklist: str | None
    bucket: str | None
    bucket_prefix: str | None


class Snapshot(Answer):
    """How far a snapshot is; the sizes are in bytes, and null before a node told of any."""

    id: str
    task_uuid: str
    trigger_date: str
    last_update_date: str | None
    snapshot_config: SnapshotConfig
    status: str  # Triggered, InProgress, Success or Failure
    size_to_upload: int | None
    transferred_size: int | None
    errors: list[TaskError]  # why instances have no share in it: the first of them
