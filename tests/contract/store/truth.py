"""What must hold of all rows at any moment, counted anew from the rows themselves."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import Connection, Table, select

from hearth.control.snapshot_parts import FAILURES_KEPT
from hearth.domain import output as merging
from hearth.domain.bundle import Row, chunks_in
from hearth.domain.instance import NODE_FAULT, InstanceState
from hearth.domain.ranges import RangeSet
from hearth.domain.snapshot import SnapshotState, Tally
from hearth.domain.task import TaskState, task_state
from hearth.store import tables
from hearth.store.queries import output_view
from hearth.store.queries.machines import machine_times
from hearth.store.queries.output_view import View
from hearth.store.queries.tasks import lock_standings


def every(connection: Connection, table: Table) -> list[dict[str, Any]]:
    """Return all rows of a table, in order of their keys."""
    query = select(table).order_by(*table.primary_key.columns)
    return [dict(row) for row in connection.execute(query).mappings()]


def check_all(connection: Connection) -> None:
    """Raise AssertionError when a counter, a range, a state or a total is not what the rows say."""
    _check_tasks(connection)
    _check_accounts(connection)
    _check_output(connection)
    _check_storage(connection)
    _check_snapshots(connection)


def _check_tasks(connection: Connection) -> None:
    rows = every(connection, tables.instances)
    attempts = every(connection, tables.attempts)
    story = every(connection, tables.history)
    snapshots = every(connection, tables.snapshots)
    for task in every(connection, tables.tasks):
        if task["deleted_at"] is not None:
            continue  # its rows go bit by bit
        mine = {row["number"]: row for row in rows if row["task_id"] == task["id"]}
        standing = lock_standings(connection, [task["id"]])[task["id"]]
        progress = standing.progress
        progress.check()
        counts = Counter(InstanceState(row["state"]) for row in mine.values())
        numbers = RangeSet.parse(task["numbers"])
        listed = progress.waiting | progress.succeeded | progress.failed | progress.cancelled
        live = RangeSet.of(n for n, row in mine.items() if InstanceState(row["state"]).is_live)

        assert listed | live == numbers, task
        assert not listed & live, task
        assert progress.dispatched == task["dispatched_count"] == counts[InstanceState.DISPATCHED], task
        assert progress.running == task["running_count"] == counts[InstanceState.RUNNING], task
        assert progress.uploading == task["uploading_count"] == counts[InstanceState.UPLOADING], task
        assert progress.cancelling == task["cancelling_count"] == counts[InstanceState.CANCELLING], task
        assert task["requeued_count"] == counts[InstanceState.WAITING], task
        for state, ranges in (
            (InstanceState.WAITING, progress.waiting),
            (InstanceState.SUCCEEDED, progress.succeeded),
            (InstanceState.FAILED, progress.failed),
            (InstanceState.CANCELLED, progress.cancelled),
        ):
            assert task[f"{state.name.lower()}_count"] == len(ranges), task
            touched = [n for n, row in mine.items() if row["state"] == state]
            assert all(n in ranges for n in touched), (task, state)
            if state in (InstanceState.SUCCEEDED, InstanceState.FAILED) and task["error"] is None:
                assert len(touched) == len(ranges), (task, state)
        for row in mine.values():
            assert (row["node_id"] is not None) == InstanceState(row["state"]).is_live, row
            assert (row["ended_at"] is not None) == InstanceState(row["state"]).is_final, row
            if row["started_at"] is not None:
                assert row["number"] in progress.started, row
            mine_over = [a for a in attempts if (a["task_id"], a["number"]) == (task["id"], row["number"])]
            kept = {a["attempt"] for a in mine_over}
            free = [a["attempt"] for a in mine_over if a["error_code"] == NODE_FAULT]
            assert len(free) <= 1, row  # only the newest is kept
            gone = set(range(1, row["attempt"])) - kept
            assert all(attempt < max(free, default=0) for attempt in gone), row
            given_back = row["attempt"] in kept  # the newest attempt is over and was not the instance's end
            assert max(kept, default=0) <= row["attempt"], row
            if row["state"] != InstanceState.CANCELLED:  # which may have waited, or not
                assert given_back == (row["state"] == InstanceState.WAITING), row
        if task["machines"] is not None:
            assert sum(machine_times(task["machines"]).values()) == task["execution_microseconds"], task
        copied = [row for row in snapshots if row["task_id"] == task["id"]]
        assert task["open_snapshots"] == sum(row["open_parts"] > 0 for row in copied), task
        new_files = sum(row["files"] > 0 and not row["open_parts"] for row in copied)
        assert task["results_count"] == new_files + sum(row["results"] is not None for row in mine.values()), task

        state = task_state(
            progress,
            cancel_requested=task["cancel_requested_at"] is not None,
            delete_requested=task["delete_requested_at"] is not None,
        )
        assert task["state"] == state, task
        told = [line["detail"] for line in story if line["task_id"] == task["id"] and line["kind"] == "state"]
        assert told[-1] == state, task
        assert [*told[-2:-1]] == ([] if task["previous_state"] is None else [task["previous_state"]]), task
        assert (task["ended_at"] is not None) == state.is_final, task
        assert task["delete_requested_at"] is None or not state.is_final, task


def _check_accounts(connection: Connection) -> None:
    tasks = every(connection, tables.tasks)
    cores = {task["id"]: task["demand_cores"] for task in tasks}
    live = [row for row in every(connection, tables.instances) if row["node_id"] is not None]
    buckets = every(connection, tables.buckets)
    parts = every(connection, tables.upload_parts)
    for account in every(connection, tables.accounts):
        mine = [task for task in tasks if task["account_id"] == account["id"] and task["deleted_at"] is None]
        held = [row for row in live if row["account_id"] == account["id"]]
        owned = [bucket for bucket in buckets if bucket["account_id"] == account["id"]]
        assert account["tasks"] == len(mine), account
        running = sum(any(row["task_id"] == task["id"] for row in held) for task in mine)
        assert account["running_tasks"] == running, account
        assert account["active_tasks"] == sum(not TaskState(task["state"]).is_final for task in mine), account
        assert account["live_instances"] == len(held), account
        assert abs(account["live_cores"] - sum(cores[row["task_id"]] for row in held)) < 1e-6, account
        assert account["buckets"] == len(owned), account
        arriving = sum(part["size_bytes"] for part in parts if part["account_id"] == account["id"])
        assert account["bucket_bytes"] == arriving + sum(bucket["size_bytes"] for bucket in owned), account


def seen(
    connection: Connection, task_id: int, stream: int, number: int | None, since: int = 0, attempt: int | None = None
) -> tuple[bytes, int]:
    """What a reader is shown from an offset on, and where it ends."""
    view = View(task_id, stream, number, attempt)
    pieces = list(output_view.read(connection, view, since))
    return b"".join(text for _, text in pieces), output_view.bounds(connection, view)[1]


def _check_output(connection: Connection) -> None:
    rows = every(connection, tables.chunks)
    gone = [task["id"] for task in every(connection, tables.tasks) if task["deleted_at"] is not None]
    for stream in every(connection, tables.streams):
        if stream["task_id"] in gone:
            continue
        mine = [row for row in rows if (row["task_id"], row["stream"]) == (stream["task_id"], stream["stream"])]
        assert len(mine) == stream["chunks"], stream
        assert stream["stored_bytes"] == sum(len(row["data"]) for row in mine), stream
        end = 0
        tail: tuple[int, int] | None = None
        ends: dict[int, int] = {}
        for chunk in (chunk for row in mine for chunk in chunks_in(Row(*(row[name] for name in Row._fields)))):
            if chunk.position == end:
                assert chunk.lead == merging.lead_of(tail, chunk.number, chunk.attempt), chunk
            else:
                assert chunk.position > end and stream["dropped_bytes"] > 0, chunk
            begin = ends.get(chunk.number, chunk.instance_start if stream["dropped_bytes"] else 0)
            assert chunk.instance_start == begin or (chunk.instance_start > begin and stream["dropped_bytes"]), chunk
            ends[chunk.number] = chunk.instance_start + len(chunk.data)
            end = chunk.position + len(chunk.shown())
            tail = (chunk.number, chunk.attempt) if merging.leaves_open(chunk.data) else None
        assert stream["size_bytes"] == end, stream
        for number, size in ends.items():
            assert output_view.bounds(connection, View(stream["task_id"], stream["stream"], number))[1] == size
        assert tail == (None if stream["tail_number"] is None else (stream["tail_number"], stream["tail_attempt"]))


def _check_snapshots(connection: Connection) -> None:
    attempts = {(row["task_id"], row["number"]): row for row in every(connection, tables.instances)}
    parts = every(connection, tables.snapshot_parts)
    for row in every(connection, tables.snapshots):
        mine = [part for part in parts if part["snapshot_id"] == row["id"]]
        is_open = [part for part in mine if part["node_id"] is not None]
        for part in is_open:
            instance = attempts[(part["task_id"], part["number"])]
            assert (part["attempt"], part["node_id"]) == (instance["attempt"], instance["node_id"]), (part, instance)
        assert row["open_parts"] == len(is_open), row
        tally = Tally(len(is_open), row["failed_parts"], is_heard_of=row["state"] != SnapshotState.TRIGGERED)
        assert row["state"] == tally.state, row
        assert sum(part["error"] is not None for part in mine) == min(row["failed_parts"], FAILURES_KEPT), row


def _check_storage(connection: Connection) -> None:
    objects = every(connection, tables.objects)
    shown = Counter(row["blob_id"] for row in objects)
    shown.update(row["blob_id"] for row in every(connection, tables.upload_parts))
    for bucket in every(connection, tables.buckets):
        mine = [row for row in objects if row["bucket_id"] == bucket["id"]]
        assert bucket["objects"] == len(mine), bucket
        assert bucket["size_bytes"] == sum(row["size_bytes"] for row in mine), bucket
    for blob in every(connection, tables.blobs):
        if blob["parts"] is None:
            assert blob["references"] == shown[blob["id"]], blob
