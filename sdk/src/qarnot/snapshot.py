"""Copies of the results of a task that still runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from qarnot._times import read_date


class SnapshotConfiguration:
    """What a snapshot takes, and where it puts it; None means what the task says."""

    def __init__(
        self,
        whitelist: str | None = None,
        blacklist: str | None = None,
        bucket_name: str | None = None,
        bucket_prefix: str | None = None,
    ) -> None:
        self._whitelist = whitelist
        self._blacklist = blacklist
        self._bucket = bucket_name
        self._bucket_prefix = bucket_prefix

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as it travels."""
        return {
            "whitelist": self._whitelist,
            "blacklist": self._blacklist,
            "bucket": self._bucket,
            "bucketPrefix": self._bucket_prefix,
        }

    @classmethod
    def from_json(cls, json: dict[str, str | None]) -> SnapshotConfiguration:
        """Return the configuration that an answer names."""
        return SnapshotConfiguration(
            json.get("whitelist"), json.get("blacklist"), json.get("bucket"), json.get("bucketPrefix")
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SnapshotConfiguration) and other.to_json() == self.to_json()

    def __hash__(self) -> int:
        return hash((self._whitelist, self._blacklist, self._bucket, self._bucket_prefix))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.to_json()})"


class PeriodicSnapshotConfiguration(SnapshotConfiguration):
    """The same, every `interval` seconds."""

    def __init__(
        self,
        interval: int,
        whitelist: str | None = None,
        blacklist: str | None = None,
        bucket_name: str | None = None,
        bucket_prefix: str | None = None,
    ) -> None:
        super().__init__(whitelist, blacklist, bucket_name, bucket_prefix)
        self._interval = interval

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as it travels."""
        return {**super().to_json(), "interval": self._interval}


class SnapshotStatus:
    """Where a snapshot stands."""

    status: str = ""
    is_completed: bool = False

    @classmethod
    def from_string(cls, status: str) -> SnapshotStatus | None:
        """Return the status of this name, whatever its case; None when there is none."""
        for kind in (TriggeredStatus, InProgressStatus, SuccessStatus, FailedStatus):
            if kind.status.lower() == str(status).lower():
                return kind()
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SnapshotStatus) and other.status == self.status

    def __hash__(self) -> int:
        return hash(self.status)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class TriggeredStatus(SnapshotStatus):
    """Asked for, not begun."""

    status = "Triggered"

    def __init__(self) -> None:
        pass


class InProgressStatus(SnapshotStatus):
    """Files are being sent."""

    status = "InProgress"

    def __init__(self) -> None:
        pass


class SuccessStatus(SnapshotStatus):
    """All is in the bucket."""

    status = "Success"
    is_completed = True

    def __init__(self) -> None:
        pass


class FailedStatus(SnapshotStatus):
    """At least one instance could not send its files."""

    status = "Failure"
    is_completed = True

    def __init__(self) -> None:
        pass


class Snapshot:
    """One snapshot of a task."""

    def __init__(
        self,
        uid: str | None = None,
        task_uuid: str | None = None,
        trigger_date: datetime | None = None,
        last_update_date: datetime | None = None,
        snapshot_config: SnapshotConfiguration | None = None,
        status: SnapshotStatus | None = None,
        size_to_upload: int | None = None,
        transferred_size: int | None = None,
    ) -> None:
        self.id = uid
        """Its id."""
        self.task_uuid = task_uuid
        """The task."""
        self.trigger_date = trigger_date
        """When it was asked for."""
        self.last_update_date = last_update_date
        """When the platform last heard of it."""
        self.snapshot_config = snapshot_config
        """What it takes, and where it puts it."""
        self.status = status
        """Where it stands."""
        self.size_to_upload = size_to_upload
        """Bytes to send."""
        self.transferred_size = transferred_size
        """Bytes sent so far."""

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> Snapshot:
        """Return the snapshot that an answer names."""
        status = json.get("status")
        return cls(
            json.get("id"),
            json.get("taskUuid"),
            read_date(json.get("triggerDate")),
            read_date(json.get("lastUpdateDate")),
            SnapshotConfiguration.from_json(json.get("snapshotConfig") or {}),
            None if status is None else SnapshotStatus.from_string(status),
            json.get("sizeToUpload"),
            json.get("transferredSize"),
        )

    def __repr__(self) -> str:
        return f"Snapshot({self.id!r}, {self.status}, {self.transferred_size}/{self.size_to_upload} bytes)"
