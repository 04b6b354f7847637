"""Looks at the database after every commit and at every start of a process, and says which law was broken."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Engine

from hearth.agent.attempt import Key
from hearth.domain.instance import InstanceState
from hearth.domain.output import Lead, merged
from hearth.domain.ranges import RangeSet
from tests.property.cluster.machine import Machine, Process
from tests.property.cluster.server import LOSSES_ALLOWED
from tests.property.cluster.snapshots import SnapshotWatch
from tests.property.test_task import naive_state

S = InstanceState
Row = dict[str, Any]


class Watch:
    """Remembers what was, and compares it with what is."""

    def __init__(
        self,
        engine: Engine,
        machines: Sequence[Machine],
        is_tended: Callable[[Machine], bool],
        tell: Callable[[str], None],
    ) -> None:
        self._raw: Any = engine.raw_connection().driver_connection
        self._machines = machines
        # Where only agents end runs, a machine without one cannot do it in time: only then may they outlive the lease.
        self._is_tended = is_tended
        self._tell = tell
        self._instances: dict[tuple[int, int], Row] = {}
        self._tasks: dict[int, Row] = {}
        self._chunks: dict[tuple[int, int], int] = {}  # task, stream: how far they were seen
        self._accepted: dict[tuple[Key, int], int] = {}  # attempt, stream: bytes
        self._snapshots = SnapshotWatch(self.rows, self._require)
        self._outlived: set[Key] = set()  # runs that went on after their lease
        self.processes: dict[Key, Process] = {}  # all that ever ran
        self.deletes: set[str] = set()  # tasks that users asked to delete
        self.names: list[str] = []  # of all tasks that there ever were

    def rows(self, query: str) -> list[Row]:
        """Return rows of a query as they are committed now."""
        cursor = self._raw.execute(query)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _require(self, truth: bool, law: str) -> None:
        if not truth:
            self._tell(law)

    # After every commit

    def committed(self) -> None:
        """Check what a transaction did."""
        instances = {(row["task_id"], row["number"]): row for row in self.rows("SELECT * FROM instances")}
        tasks = {row["id"]: row for row in self.rows("SELECT * FROM tasks")}
        self._check_chunks(instances)
        ended = False
        changed = {task_id for task_id, task in tasks.items() if task != self._tasks.get(task_id)}
        for key, row in instances.items():
            if row != self._instances.get(key):
                self._check_step(self._instances.get(key), row)
                changed.add(key[0])
                ended |= row["state"] >= S.SUCCEEDED
        for task_id in changed:
            task = tasks[task_id]
            if task["deleted_at"] is None:
                self._check_task(task, [row for (owner, _), row in instances.items() if owner == task_id])
            before = self._tasks.get(task_id)
            if before is not None and before["ended_at"] is not None:
                same = (before["state"], before["ended_at"]) == (task["state"], task["ended_at"])
                self._require(same, f"an end is final: task {task_id} went from {before['state']} to {task['state']}")
        for task_id, task in self._tasks.items():
            gone = task_id not in tasks
            self._require(not gone or task["deleted_at"] is not None, f"task {task_id} vanished undeleted")
        self._check_accounts(instances, tasks)
        self._check_removals(tasks)
        self.names += [task["name"] for task_id, task in tasks.items() if task_id not in self._tasks]
        self._snapshots.committed(self._instances, instances, tasks)
        self._instances, self._tasks = instances, tasks
        if ended:
            self._check_objects()

    def _check_removals(self, tasks: dict[int, Row]) -> None:
        """What nobody deleted goes only when it has ended, and may go."""
        for task_id, before in self._tasks.items():
            task = tasks.get(task_id, before)
            if before["deleted_at"] is not None or task["deleted_at"] is None or before["delete_requested_at"]:
                continue
            if task["delete_requested_at"] != task["deleted_at"] or task["uuid"] in self.deletes:
                continue
            is_due = before["expires_at"] is not None and before["expires_at"] <= task["deleted_at"]
            self._require(
                before["ended_at"] is not None and (is_due or bool(before["auto_delete"])),
                f"task {task_id} went by itself as {before['state']}",
            )

    def _check_step(self, before: Row | None, after: Row) -> None:
        name = f"instance {after['number']} of task {after['task_id']}"
        now = S(after["state"])
        old = S.WAITING if before is None else S(before["state"])
        attempt = 0 if before is None else before["attempt"]
        self._require(not old.is_final, f"an end is final: {name} changed from {before} to {after}")
        claimed = old is S.WAITING and now is S.DISPATCHED
        self._require(after["attempt"] == attempt + claimed, f"attempts count claims: {name}: {before} to {after}")
        self._require((after["node_id"] is not None) == now.is_live, f"{name} is {now.name} on {after['node_id']}")
        if old.is_live and not now.is_live:
            key = (after["task_id"], after["number"], attempt)
            for machine in self._machines:
                run = machine.runs.get(key)
                if run is None or run.end is not None:
                    continue
                self._outlived.add(key)
                self._require(not self._is_tended(machine), f"{name} became {now.name} while it runs on {machine.name}")
        if now is S.SUCCEEDED:
            self._check_success(name, after)

    def _check_success(self, name: str, row: Row) -> None:
        key = (row["task_id"], row["number"], row["attempt"])
        run = self.processes.get(key)
        if run is None or run.end is None:
            self._tell(f"{name} succeeded, but attempt {row['attempt']} never ended")
            return
        self._require(run.end.exit_code == 0 == row["exit_code"], f"{name} succeeded, but its command ended {run.end}")
        for stream in (0, 1):
            self._require(
                self._accepted.get((key, stream), 0) == len(run.spool[stream]),
                f"{name} succeeded before its output was whole: "
                f"{self._accepted.get((key, stream), 0)} of {len(run.spool[stream])} bytes of stream {stream}",
            )

    def _check_chunks(self, instances: dict[tuple[int, int], Row]) -> None:
        for stream in self.rows("SELECT task_id, stream, size_bytes FROM streams"):
            place = (stream["task_id"], stream["stream"])
            end = self._chunks.get(place, 0)
            if stream["size_bytes"] == end:
                continue
            fresh = self.rows(
                f"SELECT * FROM chunks WHERE task_id={place[0]} AND stream={place[1]} AND position>={end} "
                "ORDER BY position"
            )
            for chunk in fresh:
                self._require(chunk["position"] == end, f"the chunks of stream {place} do not join on at {end}")
                end += len(merged(chunk["data"], chunk["number"], Lead(chunk["lead"])))
                self._check_chunk(chunk, instances)
            self._require(stream["size_bytes"] == end, f"stream {place} does not end at {end}, where its chunks do")
            self._chunks[place] = end

    def _check_chunk(self, chunk: Row, instances: dict[tuple[int, int], Row]) -> None:
        place = (chunk["task_id"], chunk["number"])
        key = (*place, chunk["attempt"])
        before, after = self._instances.get(place), instances.get(place)
        self._require(
            before is not None
            and S(before["state"]).is_live
            and before["attempt"] == key[2] == (after or {})["attempt"],
            f"output of attempt {key} was accepted, although {before} became {after}",
        )
        run = self.processes.get(key)
        have = self._accepted.get((key, chunk["stream"]), 0)
        wrote = b"" if run is None else bytes(run.spool[chunk["stream"]])
        self._require(
            bool(chunk["data"]) and wrote[have:].startswith(chunk["data"]),
            f"attempt {key} wrote {wrote!r}, but after {have} bytes {chunk['data']!r} was stored",
        )
        self._accepted[(key, chunk["stream"])] = have + len(chunk["data"])

    def _check_task(self, task: Row, rows: list[Row]) -> None:
        name = f"task {task['id']}"
        numbers = RangeSet.parse(task["numbers"])
        untouched = numbers - RangeSet.of(row["number"] for row in rows)
        asked = task["cancel_requested_at"] is not None
        states = {row["number"]: S(row["state"]) for row in rows}
        end = S.FAILED if task["error"] else S.CANCELLED if asked else S.WAITING
        states.update((number, end) for number in untouched)
        if task["error"]:
            self._require(
                json.loads(task["error"])["code"] == "QUEUE_TIME_EXCEEDED" and not rows,
                f"{name} failed as a whole for {task['error']}, and these had begun: {rows}",
            )
        for column, state in (
            ("waiting", S.WAITING),
            ("succeeded", S.SUCCEEDED),
            ("failed", S.FAILED),
            ("cancelled", S.CANCELLED),
        ):
            found = RangeSet.of(number for number, each in states.items() if each is state)
            self._require(
                task[column] == str(found) and task[f"{column}_count"] == len(found),
                f"{name}: {column} is {task[column]!r}, a recount finds {str(found)!r}",
            )
        for column in ("dispatched", "running", "uploading", "cancelling"):
            count = list(states.values()).count(S[column.upper()])
            self._require(
                task[f"{column}_count"] == count,
                f"{name}: {column} is {task[f'{column}_count']}, a recount says {count}",
            )
        requeued = len([row for row in rows if row["state"] == S.WAITING and row["attempt"]])
        self._require(
            task["requeued_count"] == requeued,
            f"{name}: requeued is {task['requeued_count']}, a recount says {requeued}",
        )
        state = naive_state(list(states.values()), cancel=asked, delete=task["delete_requested_at"] is not None)
        self._require(task["state"] == state, f"{name} is {task['state']}, its instances make it {state}")

    def _check_accounts(self, instances: dict[tuple[int, int], Row], tasks: dict[int, Row]) -> None:
        for account in self.rows("SELECT * FROM accounts"):
            live = [
                tasks[row["task_id"]]["demand_cores"]
                for row in instances.values()
                if S(row["state"]).is_live and row["account_id"] == account["id"]
            ]
            theirs = [task for task in tasks.values() if task["account_id"] == account["id"]]
            limits = json.loads(account["limits"])
            counted = {
                "live_instances": len(live),
                "live_cores": sum(live),
                "tasks": len([task for task in theirs if task["deleted_at"] is None]),
                "active_tasks": len([t for t in theirs if t["state"] not in ("Success", "Failure", "Cancelled")]),
            }
            for column, count in counted.items():
                self._require(
                    account[column] == count,
                    f"account {account['id']}: {column} is {account[column]}, a recount says {count}",
                )
            self._require(len(live) <= limits["max_instances"], f"account {account['id']} has {len(live)} on nodes")
            self._require(sum(live) <= limits["max_cores"], f"account {account['id']} uses {sum(live)} cores")
            self._require(
                counted["tasks"] <= limits["max_tasks"], f"account {account['id']} has {counted['tasks']} tasks"
            )

    def _check_objects(self) -> None:
        """Every object must come from the attempt that became its instance's end."""
        for found in self.rows(
            "SELECT key, data FROM objects JOIN blobs ON blobs.id = blob_id JOIN buckets ON buckets.id = bucket_id "
            "WHERE buckets.name = 'results'"
        ):
            text, _, name = found["data"].decode().partition("/")
            task_id, number, attempt = json.loads(text.replace("(", "[").replace(")", "]"))
            row = self._instances.get((task_id, number))
            self._require(found["key"].endswith(name), f"object {found['key']} shows {found['data']!r}")
            if row is not None:  # else its task was deleted, and the bucket stays
                wanted = json.loads(self._tasks[task_id]["spec"])["upload_on_cancel"]
                shown = (S.SUCCEEDED, S.FAILED, S.CANCELLED) if wanted else (S.SUCCEEDED, S.FAILED)
                self._require(
                    row["attempt"] == attempt and row["state"] in shown,
                    f"object {found['key']} is of attempt {attempt} of {row}",
                )

    # When a process starts

    def started(self, machine: Machine, run: Process) -> None:
        """Check that what starts has a lease, and room."""
        self.processes.setdefault(run.key, run)
        self._require(self.processes[run.key] is run, f"attempt {run.key} was started twice")
        row = self._instances.get(run.key[:2])
        self._require(
            row is not None and S(row["state"]).is_live and row["attempt"] == run.key[2],
            f"attempt {run.key} starts on {machine.name}, but the instance is {row}",
        )
        for other in self._machines:
            for running in other.running():
                self._require(
                    running is run or running.key[:2] != run.key[:2] or running.key in self._outlived,
                    f"attempt {run.key} starts on {machine.name} while {running.key} runs on {other.name}",
                )
        cores = sum(
            self._tasks[each.key[0]]["demand_cores"] for each in machine.running() if each.key[0] in self._tasks
        )
        self._require(cores <= machine.cores + 1e-9, f"{machine.name} runs {cores} cores of {machine.cores}")

    # At the end

    def finished(self) -> None:
        """Check what only shows when everything is over."""
        self._snapshots.finished()
        failed: dict[tuple[int, int], int] = {}
        lost: dict[tuple[int, int], int] = {}
        for attempt in self.rows("SELECT task_id, number, error_code FROM attempts"):
            if attempt["error_code"] == "NODE_FAULT":
                continue  # given back: it counts for nothing
            where = lost if attempt["error_code"] == "NODE_LOST" else failed
            key = (attempt["task_id"], attempt["number"])
            where[key] = where.get(key, 0) + 1
        for key, row in self._instances.items():
            task = self._tasks[key[0]]
            if task["deleted_at"] is not None or row["state"] == S.CANCELLED:
                continue
            too_often = row["error_code"] == "NODE_LOST_TOO_OFTEN"
            failures = failed.get(key, 0) + (row["state"] == S.FAILED and not too_often)
            self._require(
                row["failures"] == failures, f"instance {key} counts {row['failures']} failures of {failures}"
            )
            losses = lost.get(key, 0) + too_often
            self._require(row["losses"] == losses <= LOSSES_ALLOWED + 1, f"instance {key}: {row['losses']} of {losses}")
            limit = task["retry_per_instance"]
            self._require(not limit or failed.get(key, 0) <= limit, f"instance {key} was tried again too often")
        for task_id, task in self._tasks.items():
            retries = sum(count for (owner, _), count in failed.items() if owner == task_id)
            if task["deleted_at"] is None:
                self._require(
                    task["retries"] == retries, f"task {task_id} counts {task['retries']} of {retries} retries"
                )
                self._require(not task["retry_total"] or retries <= task["retry_total"], f"task {task_id}: {retries}")
                self._require(
                    bool(task["retry_total"] or task["retry_per_instance"]) or not retries, f"task {task_id}: {retries}"
                )
