"""Taking copies of the results of a task while it runs."""

from __future__ import annotations

from qarnot._compute import Compute
from qarnot.bucket import Bucket
from qarnot.snapshot import PeriodicSnapshotConfiguration, Snapshot, SnapshotConfiguration


class TakesSnapshots(Compute):
    """The part of a task that asks for snapshots and follows them."""

    _pending_snapshot: PeriodicSnapshotConfiguration | None = None

    def snapshot(
        self,
        interval: int,
        whitelist: str | None = None,
        blacklist: str | None = None,
        bucket: Bucket | str | None = None,
        bucket_prefix: str | None = None,
    ) -> None:
        """Copy the results every `interval` seconds while the task runs; 0 stops that.

        Before submission this is kept, and asked for right after it.
        """
        name = bucket.uuid if isinstance(bucket, Bucket) else bucket
        configuration = PeriodicSnapshotConfiguration(interval, whitelist, blacklist, name, bucket_prefix)
        self._pending_snapshot = configuration
        if self._uuid is not None:
            self._ask_for_pending_snapshot()

    def instant(
        self,
        whitelist: str | None = None,
        blacklist: str | None = None,
        bucket: Bucket | str | None = None,
        bucket_prefix: str | None = None,
    ) -> str | None:
        """Copy the results now, and return the id of that snapshot."""
        self._require_submitted("instant")
        name = bucket.uuid if isinstance(bucket, Bucket) else bucket
        configuration = SnapshotConfiguration(whitelist, blacklist, name, bucket_prefix)
        answer = self._ask("POST", "snapshot", json=configuration.to_json())
        self._fetch(keep_changes=True)
        return answer.get("id") if isinstance(answer, dict) else None

    def snapshot_status(self, snapshot_id: str) -> Snapshot:
        """Return where a snapshot stands."""
        self._require_submitted("snapshot_status")
        return Snapshot.from_json(self._ask("GET", "snapshot", snapshot_id))

    def wait_snapshot(self, snapshot_id: str, timeout: float | None = None, follow_status: bool = False) -> bool:
        """Wait until a snapshot is over, at most `timeout` seconds, and return whether it is."""
        deadline = None if timeout is None else self._connection._now() + timeout
        last = None
        while True:
            status = self.snapshot_status(snapshot_id).status
            if follow_status and status != last:
                self._connection.logger.info("%s", f"snapshot {snapshot_id} is {status and status.status}")
            last = status
            if status is not None and status.is_completed:
                return True
            left = None if deadline is None else deadline - self._connection._now()
            if left is not None and left <= 0:
                return False
            self._connection._sleep(1.0 if left is None else min(1.0, left))

    def _ask_for_pending_snapshot(self) -> None:
        """Send the periodic snapshots that were asked for before submission."""
        configuration, self._pending_snapshot = self._pending_snapshot, None
        if configuration is None:
            return
        json = configuration.to_json()
        self._ask(
            "POST",
            "snapshot",
            "periodic",
            json=json,
            special={400: lambda _: ValueError(json["interval"])},
            repeatable=True,
        )
