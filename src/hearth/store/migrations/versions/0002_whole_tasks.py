"""Whole tasks."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "machines",
        sa.Column("id", Id, nullable=False),
        sa.Column("specification_key", sa.Text(), nullable=False),
        sa.Column("cpu_model", sa.Text(), nullable=False),
        sa.Column("frequency_ghz", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machines")),
        sa.UniqueConstraint(
            "specification_key",
            "cpu_model",
            "frequency_ghz",
            name=op.f("uq_machines_specification_key_cpu_model_frequency_ghz"),
        ),
    )
    op.create_table(
        "requests",
        sa.Column("account_id", Id, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_requests_account_id")),
        sa.PrimaryKeyConstraint("account_id", "key", name=op.f("pk_requests")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_requests_created_at"), ["created_at"], unique=False)

    op.create_table(
        "shapes",
        sa.Column("id", Id, nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_shapes_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shapes")),
        sa.UniqueConstraint("account_id", "digest", name=op.f("uq_shapes_account_id_digest")),
    )
    op.create_table(
        "viewers",
        sa.Column("account_id", Id, nullable=False),
        sa.Column("viewer_id", Id, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_viewers_account_id")),
        sa.ForeignKeyConstraint(["viewer_id"], ["accounts.id"], name=op.f("fk_viewers_viewer_id")),
        sa.PrimaryKeyConstraint("account_id", "viewer_id", name=op.f("pk_viewers")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "snapshots",
        sa.Column("id", Id, nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("task_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_periodic", sa.Integer(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("triggered_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("open_parts", sa.Integer(), nullable=False),
        sa.Column("failed_parts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("files", sa.Integer(), server_default="0", nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("transferred_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_snapshots_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshots")),
        sa.UniqueConstraint("name", name=op.f("uq_snapshots_name")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("snapshots", schema=None) as batch_op:
        batch_op.create_index("ix_snapshots_task_id_id", ["task_id", "id"], unique=False)

    op.create_table(
        "waits",
        sa.Column("id", Id, nullable=False),
        sa.Column("shape_id", Id, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["shape_id"], ["shapes.id"], name=op.f("fk_waits_shape_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waits")),
    )
    with op.batch_alter_table("waits", schema=None) as batch_op:
        batch_op.create_index("ix_waits_shape_id_since", ["shape_id", "since"], unique=False)
        batch_op.create_index(
            "ix_waits_until",
            ["until"],
            unique=False,
            sqlite_where=sa.text("until IS NOT NULL"),
            postgresql_where=sa.text("until IS NOT NULL"),
        )

    op.create_table(
        "snapshot_parts",
        sa.Column("snapshot_id", Id, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("task_id", Id, nullable=False),
        sa.Column("node_id", Id, nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("transferred_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshots.id"], name=op.f("fk_snapshot_parts_snapshot_id")),
        sa.PrimaryKeyConstraint("snapshot_id", "number", name=op.f("pk_snapshot_parts")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("snapshot_parts", schema=None) as batch_op:
        batch_op.create_index(
            "ix_snapshot_parts_open",
            ["node_id", "task_id", "number"],
            unique=False,
            sqlite_where=sa.text("node_id IS NOT NULL"),
            postgresql_where=sa.text("node_id IS NOT NULL"),
        )

    with op.batch_alter_table("instances", schema=None) as batch_op:
        batch_op.add_column(sa.Column("machine_id", Id, nullable=True))
        batch_op.add_column(sa.Column("download_microseconds", sa.BigInteger(), server_default="0", nullable=False))

    with op.batch_alter_table("accounts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("running_tasks", sa.Integer(), server_default="0", nullable=False))
    op.execute(
        "UPDATE accounts SET running_tasks = (SELECT count(*) FROM tasks WHERE tasks.account_id = accounts.id "
        "AND dispatched_count + running_count + uploading_count + cancelling_count > 0)"
    )

    with op.batch_alter_table("nodes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("machine_id", Id, nullable=True))

    with op.batch_alter_table("streams", schema=None) as batch_op:
        batch_op.add_column(sa.Column("dropped_bytes", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("compacted_to", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.create_index(
            "ix_streams_loose",
            ["task_id"],
            unique=False,
            sqlite_where=sa.text("chunks >= 32 AND compacted_to < size_bytes"),
            postgresql_where=sa.text("chunks >= 32 AND compacted_to < size_bytes"),
        )
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("stdout_bytes", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("stderr_bytes", sa.BigInteger(), server_default="0", nullable=False))
    _give_chunks_their_offsets()

    if op.get_bind().dialect.name == "postgresql":  # SQLite compares bytes anyway
        for column in ("name", "state"):
            op.alter_column("tasks", column, type_=sa.Text(collation="C"), existing_nullable=False)
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("download_microseconds", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("environment_microseconds", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("upload_microseconds", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("machines", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("shape_id", Id, server_default="0", nullable=False))
        batch_op.add_column(sa.Column("drained_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("queue_deadline_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("completion_ttl_seconds", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("expires_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("auto_delete", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("resources_version", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("snapshot_interval", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("snapshot_next_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("open_snapshots", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("snapshot_filter", sa.Text(), nullable=True))
        batch_op.drop_index(batch_op.f("ix_tasks_queue"), sqlite_where=sa.text("waiting_count > 0"))
        batch_op.create_index(
            "ix_tasks_queue",
            ["shape_id", sa.literal_column("priority DESC"), "id"],
            unique=False,
            sqlite_where=sa.text("waiting_count > 0"),
            postgresql_where=sa.text("waiting_count > 0"),
        )
        for column in ("name", "state", "created_at"):
            batch_op.create_index(
                f"ix_tasks_{column}",
                ["account_id", column, "id", "deleted_at"],
                unique=False,
                sqlite_where=sa.text("deleted_at IS NULL"),
                postgresql_where=sa.text("deleted_at IS NULL"),
            )
        batch_op.create_index(
            "ix_tasks_auto_delete",
            ["account_id", "ended_at"],
            unique=False,
            sqlite_where=sa.text("auto_delete = 1 AND ended_at IS NOT NULL AND deleted_at IS NULL"),
            postgresql_where=sa.text("auto_delete = 1 AND ended_at IS NOT NULL AND deleted_at IS NULL"),
        )
        batch_op.create_index(
            "ix_tasks_expires_at",
            ["expires_at"],
            unique=False,
            sqlite_where=sa.text("expires_at IS NOT NULL"),
            postgresql_where=sa.text("expires_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_tasks_queue_deadline_at",
            ["queue_deadline_at"],
            unique=False,
            sqlite_where=sa.text("queue_deadline_at IS NOT NULL"),
            postgresql_where=sa.text("queue_deadline_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_tasks_snapshot_next_at",
            ["snapshot_next_at"],
            unique=False,
            sqlite_where=sa.text("snapshot_next_at IS NOT NULL"),
            postgresql_where=sa.text("snapshot_next_at IS NOT NULL"),
        )
    _shape_tasks(op.get_bind())


def _give_chunks_their_offsets() -> None:
    """Name chunks by their offset in the merged view, and say where they begin in what their instance wrote."""
    op.execute("CREATE TABLE old_chunks AS SELECT * FROM chunks")
    op.execute("CREATE INDEX ix_old_chunks ON old_chunks (task_id, stream, position)")
    op.drop_table("chunks")
    op.create_table(
        "chunks",
        sa.Column("task_id", Id, nullable=False),
        sa.Column("stream", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lead", sa.Integer(), nullable=False),
        sa.Column("instance_start", sa.BigInteger(), nullable=False),
        sa.Column("segments", sa.LargeBinary(), nullable=True),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_chunks_task_id")),
        sa.PrimaryKeyConstraint("task_id", "stream", "position", name=op.f("pk_chunks")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO chunks (task_id, stream, position, account_id, number, attempt, lead, instance_start, data) "
        "SELECT task_id, stream, merged_start, account_id, number, attempt, lead, "
        "COALESCE(SUM(LENGTH(data)) OVER (PARTITION BY task_id, stream, number ORDER BY position "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0), data FROM old_chunks"
    )
    op.create_index("ix_chunks_instance", "chunks", ["task_id", "stream", "number", "instance_start"], unique=False)
    here = "c.task_id = cursors.task_id AND c.stream = cursors.stream"
    op.execute(
        f"UPDATE cursors SET position = COALESCE((SELECT MIN(c.merged_start) FROM old_chunks c WHERE {here} "
        "AND c.position >= cursors.position), (SELECT s.size_bytes FROM streams s "
        "WHERE s.task_id = cursors.task_id AND s.stream = cursors.stream), 0) WHERE number = -1"
    )
    op.execute(
        f"UPDATE cursors SET position = COALESCE((SELECT SUM(LENGTH(c.data)) FROM old_chunks c WHERE {here} "
        "AND c.number = cursors.number AND c.position < cursors.position), 0) WHERE number >= 0"
    )
    for stream, column in enumerate(("stdout_bytes", "stderr_bytes")):
        op.execute(
            f"UPDATE attempts SET {column} = COALESCE((SELECT SUM(LENGTH(c.data)) FROM old_chunks c "
            f"WHERE c.task_id = attempts.task_id AND c.stream = {stream} AND c.number = attempts.number "
            "AND c.attempt = attempts.attempt), 0)"
        )
    op.drop_table("old_chunks")


def _shape_tasks(connection: sa.Connection) -> None:
    """Give the tasks that there are their shapes: all by what they need, those that may still run by more."""
    groups = connection.execute(
        sa.text("SELECT DISTINCT account_id, demand_cores, demand_memory, scheduling FROM tasks ORDER BY 1, 2, 3, 4")
    ).all()
    for account, cores, memory, scheduling in groups:
        body = {"cores": cores, "memory_bytes": memory, "scheduling": scheduling}
        connection.execute(
            sa.text(
                "UPDATE tasks SET shape_id = :shape WHERE account_id = :account AND demand_cores = :cores"
                " AND demand_memory = :memory AND scheduling = :scheduling"
            ),
            {
                "shape": _shape(connection, account, body),
                "account": account,
                "cores": cores,
                "memory": memory,
                "scheduling": scheduling,
            },
        )
    after = 0
    while rows := connection.execute(
        sa.text(
            "SELECT id, account_id, demand_cores, demand_memory, scheduling, spec FROM tasks"
            " WHERE id > :after AND ended_at IS NULL ORDER BY id LIMIT 1000"
        ),
        {"after": after},
    ).all():
        for task, account, cores, memory, scheduling, spec in rows:
            more = _asked(json.loads(spec), scheduling)
            if more:
                body = {"cores": cores, "memory_bytes": memory, "scheduling": scheduling, **more}
                connection.execute(
                    sa.text("UPDATE tasks SET shape_id = :shape WHERE id = :task"),
                    {"shape": _shape(connection, account, body), "task": task},
                )
        after = rows[-1][0]


def _shape(connection: sa.Connection, account: int, body: dict[str, Any]) -> int:
    text = json.dumps(body, separators=(",", ":"), sort_keys=True)
    values = {"account": account, "digest": hashlib.sha256(text.encode()).hexdigest()[:40], "body": text}
    find = sa.text("SELECT id FROM shapes WHERE account_id = :account AND digest = :digest")
    found = connection.execute(find, values).scalar()
    if found is None:
        add = sa.text("INSERT INTO shapes (account_id, digest, body) VALUES (:account, :digest, :body)")
        connection.execute(add, values)
        found = connection.execute(find, values).scalar_one()
    return int(found)


def _asked(spec: dict[str, Any], scheduling: int) -> dict[str, Any]:
    """Return what a task's specification asks for beside cores and memory. Maximums only bounded what it was given."""
    more: dict[str, Any] = {}
    hardware: dict[str, Any] = {}
    kinds = {one.get("discriminator", "").removesuffix("HardwareConstraint"): one for one in spec.get("hardware", ())}
    for kind, name, value in (
        ("Gpu", "gpu", True),
        ("NoGpu", "gpu", False),
        ("SSD", "ssd", True),
        ("NoSSD", "ssd", False),
    ):
        if kind in kinds:
            hardware[name] = value
    for kind, name, field in (
        ("Specific", "specifications", "specificationKey"),
        ("CpuModel", "cpu_models", "cpuModel"),
    ):
        if values := _values(spec.get("hardware", ()), kind, field):
            hardware[name] = values
    if hardware:
        more["hardware"] = hardware
    if scheduling == 0 and spec.get("reserved_key"):
        more["reserved_key"] = spec["reserved_key"]
    if spec.get("constants", {}).get("DOCKER_REPO"):
        more["needs_image"] = True
    return more


def _values(constraints: Iterable[dict[str, Any]], kind: str, field: str) -> list[str]:
    discriminator = f"{kind}HardwareConstraint"
    return sorted({str(one.get(field, "")) for one in constraints if one.get("discriminator") == discriminator})
