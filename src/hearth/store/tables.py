"""Every table, once. Migrations create them; a test compares the two.

Times are integer microseconds UTC, ids are integers, and rows that belong to somebody begin with the
account's number. Text that must sort as bytes (object keys) uses the binary collation of each database.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import postgresql

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite gives a rowid alias only to a column whose type is exactly INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")
Bytewise = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")

site = Table(
    "site",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

organizations = Table(
    "organizations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uuid", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uuid", Text, nullable=False, unique=True),
    Column("email", Text, nullable=False, unique=True),
    Column("organization_id", Id, ForeignKey("organizations.id")),
    Column("created_at", BigInteger, nullable=False),
    Column("limits", Text, nullable=False),  # JSON of domain.quota.Limits
    # Counters, written in the transaction that changes what they count.
    Column("tasks", Integer, nullable=False, server_default="0"),
    Column("active_tasks", Integer, nullable=False, server_default="0"),
    Column("live_instances", Integer, nullable=False, server_default="0"),
    Column("live_cores", Float, nullable=False, server_default="0"),
    Column("buckets", Integer, nullable=False, server_default="0"),
    Column("bucket_bytes", BigInteger, nullable=False, server_default="0"),
)

projects = Table(
    "projects",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id")),
    Column("organization_id", Id, ForeignKey("organizations.id")),
    Column("uuid", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("is_default", Integer, nullable=False, server_default="0"),
    Column("created_at", BigInteger, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("lookup", LargeBinary, nullable=False, unique=True),  # HMAC of the token
    Column("sealed", LargeBinary, nullable=False),  # the token, readable with the site's key only
    Column("key_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("boot", BigInteger, nullable=False, server_default="0"),
    Column("counter", BigInteger, nullable=False, server_default="0"),
    Column("seen_at", BigInteger, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("offer", Text, nullable=False),  # JSON of wire.agent.Offer
    Column("created_at", BigInteger, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False),
    Column("uuid", Text, nullable=False, unique=True),
    Column("shortname", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("profile", Text, nullable=False),
    Column("pool_id", Id),
    Column("job_id", Id),
    Column("project_id", Id),
    Column("spec", Text, nullable=False),  # JSON of domain.spec.TaskSpec: what was asked for
    Column("numbers", Text, nullable=False),  # all instance numbers, as ranges
    Column("instance_total", Integer, nullable=False),
    # How many instances are in each state, and which: domain.task.Progress.
    Column("waiting", Text, nullable=False),
    Column("succeeded", Text, nullable=False, server_default=""),
    Column("failed", Text, nullable=False, server_default=""),
    Column("cancelled", Text, nullable=False, server_default=""),
    Column("started", Text, nullable=False, server_default=""),
    Column("waiting_count", Integer, nullable=False),
    Column("dispatched_count", Integer, nullable=False, server_default="0"),
    Column("running_count", Integer, nullable=False, server_default="0"),
    Column("uploading_count", Integer, nullable=False, server_default="0"),
    Column("cancelling_count", Integer, nullable=False, server_default="0"),
    Column("requeued_count", Integer, nullable=False, server_default="0"),  # waiting, and tried before
    Column("succeeded_count", Integer, nullable=False, server_default="0"),
    Column("failed_count", Integer, nullable=False, server_default="0"),
    Column("cancelled_count", Integer, nullable=False, server_default="0"),
    Column("retries", Integer, nullable=False, server_default="0"),
    Column("retry_total", Integer),
    Column("retry_per_instance", Integer),
    Column("results_count", Integer, nullable=False, server_default="0"),
    Column("execution_microseconds", BigInteger, nullable=False, server_default="0"),
    Column("demand_cores", Float, nullable=False),
    Column("demand_memory", BigInteger, nullable=False),
    Column("scheduling", Integer, nullable=False),  # 0 reserved, 1 onDemand, 2 flex: the order of dispatch
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("cancel_requested_at", BigInteger),
    Column("delete_requested_at", BigInteger),
    Column("deleted_at", BigInteger),
    Column("state", Text, nullable=False),
    Column("previous_state", Text),
    Column("state_changed_at", BigInteger, nullable=False),
    Column("previous_state_changed_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("modified_at", BigInteger, nullable=False),
    Column("first_started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("error", Text),  # JSON of the task's own error: none of its instances' errors are here
    sqlite_autoincrement=True,  # an id is in names of containers: it must never come back
)
Index("ix_tasks_account_id_id", tasks.c.account_id, tasks.c.id)
Index(
    "uq_tasks_account_id_shortname",
    tasks.c.account_id,
    tasks.c.shortname,
    unique=True,
    sqlite_where=text("deleted_at IS NULL"),
    postgresql_where=text("deleted_at IS NULL"),
)
Index(
    "ix_tasks_queue",
    tasks.c.scheduling,
    tasks.c.priority.desc(),
    tasks.c.id,
    tasks.c.account_id,  # these two let a claim pass over tasks without reading them
    tasks.c.demand_cores,
    sqlite_where=text("waiting_count > 0"),
    postgresql_where=text("waiting_count > 0"),
)
Index(
    "ix_tasks_deleted_at",
    tasks.c.deleted_at,
    sqlite_where=text("deleted_at IS NOT NULL"),
    postgresql_where=text("deleted_at IS NOT NULL"),
)

task_tags = Table(
    "task_tags",
    metadata,
    Column("account_id", Id, primary_key=True),
    Column("tag", Text, primary_key=True),
    Column("task_id", Id, ForeignKey("tasks.id"), primary_key=True),
    sqlite_with_rowid=False,
)
Index("ix_task_tags_task_id", task_tags.c.task_id)

instances = Table(
    "instances",
    metadata,
    Column("task_id", Id, ForeignKey("tasks.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("state", Integer, nullable=False),  # domain.instance.InstanceState
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("node_id", Id),
    Column("boot", BigInteger),  # the node's boot that the lease was given to
    Column("dispatched_at", BigInteger),
    Column("started_at", BigInteger),
    Column("exited_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("exit_code", Integer),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("cpu_microseconds", BigInteger, nullable=False, server_default="0"),
    Column("peak_memory", BigInteger, nullable=False, server_default="0"),
    Column("stdout_bytes", BigInteger, nullable=False, server_default="0"),  # of the current attempt
    Column("stderr_bytes", BigInteger, nullable=False, server_default="0"),
    Column("results", Text),  # JSON list of the keys that it published
    Column("details", Text),  # JSON: cpu model, runtime and what it did otherwise than asked
    sqlite_with_rowid=False,
)
Index(
    "ix_instances_live",
    instances.c.node_id,
    instances.c.task_id,
    sqlite_where=text("node_id IS NOT NULL"),
    postgresql_where=text("node_id IS NOT NULL"),
)
Index("ix_instances_ended", instances.c.task_id, instances.c.ended_at)

attempts = Table(  # attempts that did not become the instance's end
    "attempts",
    metadata,
    Column("task_id", Id, ForeignKey("tasks.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("node_id", Id),
    Column("ended_at", BigInteger, nullable=False),
    Column("exit_code", Integer),
    Column("error_code", Text, nullable=False),
    Column("error_message", Text, nullable=False),
    sqlite_with_rowid=False,
)

history = Table(
    "history",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("task_id", Id, ForeignKey("tasks.id"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)
Index("ix_history_task_id_id", history.c.task_id, history.c.id)

streams = Table(  # the merged stdout (0) or stderr (1) of a task
    "streams",
    metadata,
    Column("task_id", Id, ForeignKey("tasks.id"), primary_key=True),
    Column("stream", Integer, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("chunks", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),  # of the merged view, prefixes included
    Column("stored_bytes", BigInteger, nullable=False),
    Column("tail_number", BigInteger),  # whose line is open at the end
    Column("tail_attempt", Integer),
    sqlite_with_rowid=False,
)

chunks = Table(
    "chunks",
    metadata,
    Column("task_id", Id, ForeignKey("tasks.id"), primary_key=True),
    Column("stream", Integer, primary_key=True),
    Column("position", BigInteger, primary_key=True),  # 0, 1, 2, ... in order of acceptance
    Column("account_id", Id, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("lead", Integer, nullable=False),  # domain.output.Lead: how its first line begins in the merged view
    Column("merged_start", BigInteger, nullable=False),  # its offset in the merged view
    Column("data", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_chunks_instance", chunks.c.task_id, chunks.c.stream, chunks.c.number, chunks.c.position)

cursors = Table(  # how far "fresh" output was read; number -1 is the merged stream
    "cursors",
    metadata,
    Column("task_id", Id, ForeignKey("tasks.id"), primary_key=True),
    Column("stream", Integer, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("position", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

blobs = Table(
    "blobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("references", Integer, nullable=False),  # rows and composite blobs that point here
    Column("ready", Integer, nullable=False),  # 0 while its bytes arrive, 1 whole, 2 its file is being removed
    Column("data", LargeBinary),  # the bytes themselves when small
    Column("parts", Text),  # JSON [[blob id, size], ...] when it is others, one after another
    Column("sweep_at", BigInteger, nullable=False),  # when it may go, if nothing points to it then
    sqlite_autoincrement=True,  # an id names a file: it must never come back
)
Index(
    "ix_blobs_dead",
    blobs.c.sweep_at,
    sqlite_where=text('"references" = 0'),
    postgresql_where=text('"references" = 0'),
)

buckets = Table(
    "buckets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("objects", BigInteger, nullable=False, server_default="0"),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    Column("tags", Text),
    UniqueConstraint("account_id", "name"),
)

objects = Table(
    "objects",
    metadata,
    Column("bucket_id", Id, ForeignKey("buckets.id"), primary_key=True),
    Column("key", Bytewise, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("blob_id", Id, ForeignKey("blobs.id"), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),  # without quotes
    Column("headers", Text, nullable=False, server_default="{}"),  # JSON: content-type, x-amz-meta-*, ...
    Column("checksum", Text),  # "CRC32:base64", of the whole object
    Column("modified_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_objects_blob_id", objects.c.blob_id)

uploads = Table(  # multipart uploads under way
    "uploads",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("bucket_id", Id, ForeignKey("buckets.id"), nullable=False),
    Column("key", Bytewise, nullable=False),
    Column("upload_id", Text, nullable=False, unique=True),
    Column("headers", Text, nullable=False),
    Column("checksum_algorithm", Text),
    Column("created_at", BigInteger, nullable=False),
)
Index("ix_uploads_bucket_id_key", uploads.c.bucket_id, uploads.c.key)
Index("ix_uploads_created_at", uploads.c.created_at)

upload_parts = Table(
    "upload_parts",
    metadata,
    Column("upload", Id, ForeignKey("uploads.id"), primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("blob_id", Id, ForeignKey("blobs.id"), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    Column("checksum", Text),
    Column("modified_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_upload_parts_blob_id", upload_parts.c.blob_id)
