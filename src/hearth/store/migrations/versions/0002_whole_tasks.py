"""Whole tasks."""

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
            ["node_id", "task_id"],
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
                ["account_id", column, "id"],
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
