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
    Column("active_tasks", Integer, nullable=False, server_default="0"),  # that have not ended
    Column("running_tasks", Integer, nullable=False, server_default="0"),  # with instances on nodes
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
    Column("machine_id", Id),
    Column("created_at", BigInteger, nullable=False),
)

machines = Table(  # kinds of machines that instances ran on
    "machines",
    metadata,
    Column("id", Id, primary_key=True),
    Column("specification_key", Text, nullable=False),
    Column("cpu_model", Text, nullable=False),
    Column("frequency_ghz", Float, nullable=False),
    UniqueConstraint("specification_key", "cpu_model", "frequency_ghz"),
)

shapes = Table(  # what instances ask for: tasks of one shape wait for the same reasons
    "shapes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False),
    Column("digest", Text, nullable=False),
    Column("body", Text, nullable=False),  # JSON of domain.demand.Shape
    UniqueConstraint("account_id", "digest"),
)

waits = Table(  # why the tasks of a shape waited, and from when until when; the last one is open
    "waits",
    metadata,
    Column("id", Id, primary_key=True),
    Column("shape_id", Id, ForeignKey("shapes.id"), nullable=False),
    Column("code", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON of the numbers in the sentence
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger),
)
Index("ix_waits_shape_id_since", waits.c.shape_id, waits.c.since)
Index(
    "ix_waits_until",
    waits.c.until,
    sqlite_where=text("until IS NOT NULL"),
    postgresql_where=text("until IS NOT NULL"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False),
    Column("uuid", Text, nullable=False, unique=True),
    Column("shortname", Text, nullable=False),
    Column("name", Bytewise, nullable=False),
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
    Column("download_microseconds", BigInteger, nullable=False, server_default="0"),
    Column("environment_microseconds", BigInteger, nullable=False, server_default="0"),
    Column("execution_microseconds", BigInteger, nullable=False, server_default="0"),
    Column("upload_microseconds", BigInteger, nullable=False, server_default="0"),
    Column("machines", Text),  # JSON {machine id: execution microseconds} of attempts that are over
    Column("demand_cores", Float, nullable=False),
    Column("demand_memory", BigInteger, nullable=False),
    Column("shape_id", Id, nullable=False, server_default="0"),
    Column("scheduling", Integer, nullable=False),  # 0 reserved, 1 onDemand, 2 flex: the order of dispatch
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("cancel_requested_at", BigInteger),
    Column("delete_requested_at", BigInteger),
    Column("deleted_at", BigInteger),
    Column("drained_at", BigInteger),  # when the last waiting instance left the queue
    Column("queue_deadline_at", BigInteger),  # when it ends with an error if no instance was dispatched by then
    Column("completion_ttl_seconds", Integer, nullable=False, server_default="0"),  # 0: kept
    Column("expires_at", BigInteger),  # when it goes by itself, now that it has ended
    Column("auto_delete", Integer, nullable=False, server_default="0"),
    Column("resources_version", Integer, nullable=False, server_default="0"),  # how often its resources were pushed
    Column("snapshot_interval", Integer, nullable=False, server_default="0"),  # seconds; 0: none
    Column("snapshot_next_at", BigInteger),
    Column("open_snapshots", Integer, nullable=False, server_default="0"),  # that are not over yet
    Column("snapshot_filter", Text),  # JSON of domain.snapshot.Filter for the periodic ones; NULL: the task's own
    Column("state", Bytewise, nullable=False),
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
for _sorted in ("name", "state", "created_at"):  # what pages are sorted by, and searched by most
    Index(
        f"ix_tasks_{_sorted}",
        tasks.c.account_id,
        tasks.c[_sorted],
        tasks.c.id,
        tasks.c.deleted_at,  # or SQLite, asked for it, reads the row although the index has no deleted ones
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    )
Index(  # the queue of each shape, in order of dispatch
    "ix_tasks_queue",
    tasks.c.shape_id,
    tasks.c.priority.desc(),
    tasks.c.id,
    sqlite_where=text("waiting_count > 0"),
    postgresql_where=text("waiting_count > 0"),
)
Index(
    "ix_tasks_deleted_at",
    tasks.c.deleted_at,
    sqlite_where=text("deleted_at IS NOT NULL"),
    postgresql_where=text("deleted_at IS NOT NULL"),
)
for _due in ("queue_deadline_at", "expires_at", "snapshot_next_at"):
    Index(
        f"ix_tasks_{_due}",
        tasks.c[_due],
        sqlite_where=text(f"{_due} IS NOT NULL"),
        postgresql_where=text(f"{_due} IS NOT NULL"),
    )
Index(
    "ix_tasks_auto_delete",
    tasks.c.account_id,
    tasks.c.ended_at,
    sqlite_where=text("auto_delete = 1 AND ended_at IS NOT NULL AND deleted_at IS NULL"),
    postgresql_where=text("auto_delete = 1 AND ended_at IS NOT NULL AND deleted_at IS NULL"),
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
    Column("machine_id", Id),  # of the newest attempt
    Column("download_microseconds", BigInteger, nullable=False, server_default="0"),  # a part of the environment's
    Column("stdout_bytes", BigInteger, nullable=False, server_default="0"),  # of the current attempt
    Column("stderr_bytes", BigInteger, nullable=False, server_default="0"),
    Column("results", Text),  # JSON list of the keys that it published
    Column("details", Text),  # JSON: what was done otherwise than asked
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
    Column("stdout_bytes", BigInteger, nullable=False, server_default="0"),
    Column("stderr_bytes", BigInteger, nullable=False, server_default="0"),
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

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("task_id", Id, ForeignKey("tasks.id"), nullable=False),
    Column("name", Text, nullable=False, unique=True),  # the id that users see
    Column("is_periodic", Integer, nullable=False),
    Column("filter", Text, nullable=False),  # JSON of domain.snapshot.Filter, the task's own filled in
    Column("state", Integer, nullable=False),  # domain.snapshot.SnapshotState
    Column("triggered_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("open_parts", Integer, nullable=False),
    Column("failed_parts", Integer, nullable=False, server_default="0"),
    Column("files", Integer, nullable=False, server_default="0"),  # that its bucket was given
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    Column("transferred_bytes", BigInteger, nullable=False, server_default="0"),
    sqlite_autoincrement=True,  # nodes know snapshots by number: it must never come back
)
Index("ix_snapshots_task_id_id", snapshots.c.task_id, snapshots.c.id)

snapshot_parts = Table(  # the share of one instance in a snapshot, until it is over; some of those that failed stay
    "snapshot_parts",
    metadata,
    Column("snapshot_id", Id, ForeignKey("snapshots.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("account_id", Id, nullable=False),
    Column("task_id", Id, nullable=False),
    Column("node_id", Id),  # NULL once it is over
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    Column("transferred_bytes", BigInteger, nullable=False, server_default="0"),
    Column("error", Text),
    sqlite_with_rowid=False,
)
Index(
    "ix_snapshot_parts_open",
    snapshot_parts.c.node_id,
    snapshot_parts.c.task_id,
    snapshot_parts.c.number,
    sqlite_where=text("node_id IS NOT NULL"),
    postgresql_where=text("node_id IS NOT NULL"),
)

requests = Table(  # answers that are given again when a request with the same Idempotency-Key comes again
    "requests",
    metadata,
    Column("account_id", Id, ForeignKey("accounts.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),  # of method, path and body
    Column("answer", LargeBinary, nullable=False),  # JSON of what became of each thing that was to be made
    Column("created_at", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

viewers = Table(  # accounts that may look at what is another account's
    "viewers",
    metadata,
    Column("account_id", Id, ForeignKey("accounts.id"), primary_key=True),
    Column("viewer_id", Id, ForeignKey("accounts.id"), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

streams = Table(  # the merged stdout (0) or stderr (1) of a task
    "streams",
    metadata,
    Column("task_id", Id, ForeignKey("tasks.id"), primary_key=True),
    Column("stream", Integer, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("chunks", BigInteger, nullable=False),  # rows that there are now
    Column("size_bytes", BigInteger, nullable=False),  # of the merged view, what was dropped included
    Column("stored_bytes", BigInteger, nullable=False),  # of what instances wrote and is still here
    Column("dropped_bytes", BigInteger, nullable=False, server_default="0"),  # of what they wrote and is gone
    Column("compacted_to", BigInteger, nullable=False, server_default="0"),  # up to here rows were bundled
    Column("tail_number", BigInteger),  # whose line is open at the end
    Column("tail_attempt", Integer),
    sqlite_with_rowid=False,
)
Index(  # streams whose rows may be worth bundling once their task has ended
    "ix_streams_loose",
    streams.c.task_id,
    sqlite_where=text("chunks >= 32 AND compacted_to < size_bytes"),
    postgresql_where=text("chunks >= 32 AND compacted_to < size_bytes"),
)

chunks = Table(
    "chunks",
    metadata,
    Column("task_id", Id, ForeignKey("tasks.id"), primary_key=True),
    Column("stream", Integer, primary_key=True),
    Column("position", BigInteger, primary_key=True),  # its offset in the merged view
    Column("account_id", Id, nullable=False),
    Column("number", BigInteger, nullable=False),  # -1: several, see `segments`
    Column("attempt", Integer, nullable=False),
    Column("lead", Integer, nullable=False),  # domain.output.Lead: how its first line begins in the merged view
    Column("instance_start", BigInteger, nullable=False),  # its offset in what its instance wrote, all attempts
    Column("segments", LargeBinary),  # domain.bundle: whose parts `data` consists of
    Column("data", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_chunks_instance", chunks.c.task_id, chunks.c.stream, chunks.c.number, chunks.c.instance_start)

cursors = Table(  # how far "fresh" output was read; number -1 is the merged stream
    "cursors",
    metadata,
    Column("task_id", Id, ForeignKey("tasks.id"), primary_key=True),
    Column("stream", Integer, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("position", BigInteger, nullable=False),  # an offset in that view
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
