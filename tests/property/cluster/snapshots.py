"""How a node of the simulation takes snapshots, and what of them must be true in the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

from hearth.agent import logic as decide
from hearth.agent.attempt import Effect, Key, TakeSnapshot
from hearth.domain.instance import InstanceState
from hearth.domain.snapshot import SnapshotState, Tally
from hearth.wire import agent as wire
from tests.property.cluster.clock import VirtualLoop

BUCKET = "snapshots"
Row = dict[str, Any]


class Snapshots:
    """Answers `TakeSnapshot` in its own time, sometimes with an error."""

    def __init__(
        self,
        logic: decide.Logic,
        upload: Callable[[Key, bytes], Awaitable[wire.ResultFile | None]],
        loop: VirtualLoop,
        chance: Random,
        carry_out: Callable[[list[Effect]], None],
    ) -> None:
        self._logic = logic
        self._upload = upload
        self._loop = loop
        self._chance = chance
        self._carry_out = carry_out

    async def take(self, order: TakeSnapshot) -> None:
        """Upload two files, one after the other."""
        files: list[wire.ResultFile] = []
        error = ""
        for number, name in enumerate(("part", f"part-{order.key[1]}")):
            await asyncio.sleep(self._chance.choice([0.0, 0.1, 3.0]))
            if order.key not in self._logic.attempts:
                error = "it ended before"
                break
            self._logic.snapshot_progress(order.snapshot, order.key, 20, 10 * number)
            stored = await self._upload(order.key, f"{order.key}/{name}".encode())
            if stored is None:
                error = "it is not ours any more"
                break
            files.append(wire.ResultFile(name, stored.blob, stored.size, stored.etag))
        if self._chance.random() < 0.05:
            error = "a file could not be read"
        self._carry_out(self._logic.snapshot_over(order.snapshot, order.key, [] if error else files, error))


class SnapshotWatch:
    """Compares the rows of snapshots after each commit with what they were, and with each other."""

    def __init__(self, rows: Callable[[str], list[Row]], require: Callable[[bool, str], None]) -> None:
        self._rows = rows
        self._require = require
        self._known: dict[int, Row] = {}
        self._shown: set[tuple[str, int]] = set()  # objects that were looked at

    def committed(
        self,
        before: Mapping[tuple[int, int], Row],
        instances: Mapping[tuple[int, int], Row],
        tasks: Mapping[int, Row],
    ) -> None:
        """Check what a transaction did."""
        snapshots = {row["id"]: row for row in self._rows("SELECT * FROM snapshots")}
        if not snapshots:
            return
        parts = self._rows("SELECT * FROM snapshot_parts WHERE node_id IS NOT NULL")
        open_parts: dict[int, int] = {}
        for part in parts:
            open_parts[part["snapshot_id"]] = open_parts.get(part["snapshot_id"], 0) + 1
            instance = instances.get((part["task_id"], part["number"]))
            self._require(
                instance is not None
                and InstanceState(instance["state"]).is_live
                and (instance["attempt"], instance["node_id"]) == (part["attempt"], part["node_id"]),
                f"a part of a snapshot waits for attempt {part['attempt']} of {instance}",
            )
        open_of_task: dict[int, int] = {}
        for number, row in snapshots.items():
            self._check(row, self._known.get(number), open_parts.get(number, 0))
            if row["open_parts"]:
                open_of_task[row["task_id"]] = open_of_task.get(row["task_id"], 0) + 1
        for task_id, task in tasks.items():
            self._require(
                task["deleted_at"] is not None or task["open_snapshots"] == open_of_task.get(task_id, 0),
                f"task {task_id} has {task['open_snapshots']} open snapshots, a recount finds {open_of_task}",
            )
        self._known = snapshots
        self._check_objects(before, instances)

    def _check(self, row: Row, before: Row | None, open_parts: int) -> None:
        name = f"snapshot {row['name']}"
        self._require(row["open_parts"] == open_parts, f"{name} has {open_parts} open parts, and counts {row}")
        tally = Tally(
            row["open_parts"],
            row["failed_parts"],
            is_heard_of=row["state"] != SnapshotState.TRIGGERED,
        )
        self._require(row["state"] == tally.state, f"{name} is {row['state']}, its parts make it {tally.state!r}")
        if before is not None and SnapshotState(before["state"]).is_over:
            self._require(before == row, f"an end is final: {name} went from {before} to {row}")

    def _check_objects(self, before: Mapping[tuple[int, int], Row], instances: Mapping[tuple[int, int], Row]) -> None:
        """Files of a snapshot appear only while their attempt is the current one."""
        for found in self._rows(
            "SELECT key, blob_id, data FROM objects JOIN blobs ON blobs.id = blob_id "
            f"JOIN buckets ON buckets.id = bucket_id WHERE buckets.name = '{BUCKET}'"
        ):
            place = (found["key"], found["blob_id"])
            if place in self._shown:
                continue
            self._shown.add(place)
            text, _, name = found["data"].decode().partition("/")
            task_id, number, attempt = json.loads(text.replace("(", "[").replace(")", "]"))
            row = before.get((task_id, number))
            self._require(found["key"].endswith(name), f"object {found['key']} shows {found['data']!r}")
            self._require(
                row is not None and InstanceState(row["state"]).is_live and row["attempt"] == attempt,
                f"object {found['key']} of attempt {attempt} was published when the instance was {row}",
            )

    def finished(self) -> None:
        """Check that nothing is left open."""
        for row in self._known.values():
            self._require(SnapshotState(row["state"]).is_over, f"snapshot {row['name']} is not over: {row}")
