"""Snapshots of a task: once, every so often, and how far one is."""

from __future__ import annotations

from typing import Final

from litestar import Controller, Response, get, post

from hearth.api import limits
from hearth.api.bodies import BodyReader
from hearth.api.idempotency import once_of
from hearth.api.read_task import read_pattern
from hearth.api.requests import ApiRequest, PathText, answer, caller, done, read, site_of
from hearth.api.shapes import Unknown
from hearth.control.snapshot import Seen, look, take_periodic_snapshots, take_snapshot
from hearth.domain.errors import Invalid
from hearth.domain.snapshot import SnapshotState, Wish
from hearth_client.messages.snapshots import PeriodicSnapshot, Snapshot, SnapshotConfig, UniqueSnapshot
from hearth_client.messages.task_status import TaskError
from hearth_client.messages.times import format_date

_ONCE: Final = BodyReader(UniqueSnapshot, may_be_empty=True, may_be_null=True)
_PERIODIC: Final = BodyReader(PeriodicSnapshot)
_STATES: Final = {
    SnapshotState.TRIGGERED: "Triggered",
    SnapshotState.IN_PROGRESS: "InProgress",
    SnapshotState.SUCCESS: "Success",
    SnapshotState.FAILURE: "Failure",
}


class Snapshots(Controller):
    """Snapshots of a task of the caller; `ident` is a uuid or a shortname."""

    path = "/tasks"
    tags = ["tasks"]

    @post("/{ident:str}/snapshot", status_code=200, opt={"body": UniqueSnapshot | None, "may_be_empty": True})
    async def once(self, request: ApiRequest, ident: PathText) -> Response[Snapshot]:
        """Copy what the running instances have made so far; filters in the body count this once."""
        unknown: dict[Unknown, None] = {}
        told = await read(request, _ONCE, unknown)
        once = await once_of(request)
        seen = await take_snapshot(site_of(request), caller(request).id, ident, _wish(told), once)
        return answer(_shown(seen), unknown)

    @post("/{ident:str}/snapshot/periodic", status_code=200, opt={"body": PeriodicSnapshot})
    async def periodic(self, request: ApiRequest, ident: PathText) -> Response[None]:
        """Take snapshots every `interval` seconds from the submission on; 0 stops them."""
        unknown: dict[Unknown, None] = {}
        told = await read(request, _PERIODIC, unknown)
        if told.interval is None:
            raise Invalid("interval", "is missing: give the seconds between snapshots, or 0 for none")
        await take_periodic_snapshots(site_of(request), caller(request).id, ident, told.interval, _wish(told))
        return done(unknown)

    @get("/{ident:str}/snapshot/{name:str}")
    async def status(self, request: ApiRequest, ident: PathText, name: PathText) -> Snapshot:
        """How far a snapshot is."""
        return _shown(await site_of(request).store.read(look, caller(request).id, ident, name))


def _wish(told: UniqueSnapshot | PeriodicSnapshot) -> Wish:
    return Wish(
        None if told.whitelist is None else read_pattern("whitelist", told.whitelist),
        None if told.blacklist is None else read_pattern("blacklist", told.blacklist),
        limits.bucket_name("bucket", told.bucket) if told.bucket else told.bucket,
        None if told.bucket_prefix is None else limits.text("bucketPrefix", told.bucket_prefix),
    )


def _shown(seen: Seen) -> Snapshot:
    row, chosen = seen.row, seen.row.chosen()
    state = SnapshotState(row.state)
    is_told = state is not SnapshotState.TRIGGERED
    return Snapshot(
        id=row.name,
        task_uuid=seen.task_uuid,
        trigger_date=format_date(row.triggered_at),
        last_update_date=format_date(row.updated_at),
        snapshot_config=SnapshotConfig(
            whitelist=chosen.whitelist or None,
            blacklist=chosen.blacklist or None,
            bucket=chosen.bucket,
            bucket_prefix=chosen.prefix or None,
        ),
        status=_STATES[state],
        size_to_upload=row.size_bytes if is_told else None,
        transferred_size=row.transferred_bytes if is_told else None,
        errors=[
            TaskError(code="SNAPSHOT_FAILED", message=f"Instance {number}: {why}") for number, why in seen.failures
        ],
    )
