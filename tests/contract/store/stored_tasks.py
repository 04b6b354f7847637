"""Tasks of all kinds, written straight into the database: what searches are tested on."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, update

from hearth.domain.spec import Dependencies, ResourceBucket, Retries, TaskSpec
from hearth.store.queries.tasks import spec_to_json
from hearth.store.tables import accounts, projects, task_tags, tasks

SECOND = 1_000_000
BEGIN = 1_777_636_800 * SECOND  # 2026-05-01T12:00:00Z
NOW = BEGIN + 10_000 * SECOND
MINE, OTHERS = 1, 2
STATES = ("Success", "Failure", "Submitted", "FullyExecuting", "PendingCancel")
NAMES = ("a", "ab", "abc", "b", "B", "ä", "a%b_c", "a*[b]?", "", "a\nb", "zz-1", "zz-2")
TAGS = ("x", "y", "x,y", "X", "ä b")
PROJECTS = {1: "aaaaaaaa-0000-7000-8000-000000000001", 2: "aaaaaaaa-0000-7000-8000-000000000002"}


def add_accounts(connection: Connection) -> None:
    """Make the two accounts, the first with two projects."""
    for number in (MINE, OTHERS):
        row = {"id": number, "uuid": f"u{number}", "email": f"{number}@example.org", "created_at": 0, "limits": "{}"}
        connection.execute(insert(accounts).values(row))
    for number, uuid in PROJECTS.items():
        row = {"id": number, "account_id": MINE, "uuid": uuid, "name": "p", "slug": f"p{number}", "created_at": 0}
        connection.execute(insert(projects).values(row))


def a_row(number: int, account: int = MINE, **changes: Any) -> dict[str, Any]:
    """Return a row of tasks; the number chooses all that is not said, and is its id."""
    chance = random.Random(number)
    state = chance.choice(STATES)
    created = BEGIN + number // 3 * SECOND
    ended = created + chance.randrange(100) * SECOND // 7 if state in ("Success", "Failure") else None
    total = chance.randrange(1, 5)
    row = {
        "id": number,
        "account_id": account,
        "uuid": f"{number:08x}-0000-7000-8000-{account:012x}",
        "shortname": f"short-{number}",
        "name": chance.choice(NAMES),
        "profile": chance.choice(["docker-batch", "docker-network"]),
        "project_id": chance.choice([None, 1, 2]),
        "spec": spec_to_json(a_spec(chance)),
        "numbers": f"0-{total - 1}",
        "instance_total": total,
        "waiting": "",
        "waiting_count": 0,
        "running_count": total if state == "FullyExecuting" else 0,
        "succeeded": f"0-{total - 1}" if state == "Success" else "",
        "succeeded_count": total if state == "Success" else 0,
        "failed": f"0-{total - 1}" if state == "Failure" else "",
        "failed_count": total if state == "Failure" else 0,
        "results_count": chance.randrange(3),
        "execution_microseconds": chance.randrange(5) * 700_000,
        "demand_cores": chance.choice([0.5, 1.0, 2.0]),
        "demand_memory": 1,
        "scheduling": chance.randrange(3),
        "priority": chance.randrange(-1, 2),
        "snapshot_interval": chance.choice([0, 60]),
        "state": state,
        "previous_state": chance.choice([None, "Submitted", "FullyExecuting"]),
        "state_changed_at": ended or created,
        "previous_state_changed_at": chance.choice([None, created]),
        "created_at": created,
        "modified_at": created + chance.randrange(3) * SECOND,
        "ended_at": ended,
    }
    return {**row, **changes}


def a_spec(chance: random.Random) -> TaskSpec:
    """Return what was asked for."""

    def maybe(*values: Any) -> Any:
        return chance.choice([None, *values])

    return TaskSpec(
        from_ranges=chance.random() < 0.3,
        constants={"CMD": chance.choice(["run", "walk"]), "QARNOT_SECRET__KEY": chance.choice(["run", "hunter2"])},
        constraints={"zone": "north"} if chance.random() < 0.5 else {},
        resources=tuple(ResourceBucket(name) for name in ("in", "more")[: chance.randrange(3)]),
        default_cache_ttl_seconds=maybe(7),
        result_bucket=chance.choice(["", "out", "results"]),
        results_prefix=chance.choice(["", "day/"]),
        results_whitelist=chance.choice(["", "[.]txt$"]),
        snapshot_bucket=chance.choice(["", "out"]),
        tags=tuple(tag for tag in TAGS if chance.random() < 0.3),
        labels={"team": chance.choice(["red", "blue"]), "Empty": ""} if chance.random() < 0.7 else {},
        retries=Retries(maybe(0, 3), maybe(1)),
        max_retries_per_instance=maybe(2),
        dependencies=Dependencies(("d1",) if chance.random() < 0.3 else ()),
        upload_on_cancel=maybe(True, False),
        max_queue_seconds=maybe(60, 3600),
        hardware=({"discriminator": "GpuHardwareConstraint"},) if chance.random() < 0.3 else (),
        export_credentials=chance.random() < 0.5,
        reserved_key=chance.choice(["", "fast"]),
    )


def add(connection: Connection, rows: Iterable[dict[str, Any]], tags: dict[int, Iterable[str]] | None = None) -> None:
    """Write tasks with the tags of their specifications, or with these."""
    for row in rows:
        spec = msgspec.json.decode(row["spec"])
        if tags is not None:
            spec["tags"] = list(tags.get(row["id"], ()))
            row = {**row, "spec": msgspec.json.encode(spec).decode()}
        connection.execute(insert(tasks).values(row))
        for tag in dict.fromkeys(spec.get("tags", ())):
            connection.execute(insert(task_tags).values(account_id=row["account_id"], tag=tag, task_id=row["id"]))


def hide(connection: Connection, task_id: int) -> None:
    """Delete a task as commands do: it is not seen any more, its rows go later."""
    connection.execute(update(tasks).where(tasks.c.id == task_id).values(deleted_at=NOW))


def remove(connection: Connection, task_id: int) -> None:
    """Remove the rows of a task."""
    connection.execute(delete(task_tags).where(task_tags.c.task_id == task_id))
    connection.execute(delete(tasks).where(tasks.c.id == task_id))
