"""Rows as each revision stores them, in SQL of their time: seeds are never changed once their revision is released.

Every seed stores the same story, so that one set of reads checks them all after the upgrade to the newest: Ada's
task of three instances (0 succeeded with output and a result file, 1 runs after a lost first attempt, 2 waits), and
another that was deleted.
"""

from collections.abc import Callable

from sqlalchemy import Connection, text

SPEC = '{"constants":{"DOCKER_CMD":"echo hello"},"tags":["red"],"result_bucket":"out","retries":{"total":2}}'

_FIRST = """
INSERT INTO site (key, value) VALUES ('site_id', 'site-1'), ('incarnation', 'life-1'), ('format', '1');
INSERT INTO organizations (id, uuid, name, created_at) VALUES (1, 'org-1', 'Analytical', 5);
INSERT INTO accounts (id, uuid, email, organization_id, created_at, limits, tasks, active_tasks, live_instances,
    live_cores, buckets, bucket_bytes)
    VALUES (1, 'account-1', 'ada@example.org', 1, 5, :limits, 1, 1, 1, 1.0, 1, 5);
INSERT INTO projects (id, account_id, uuid, name, slug, is_default, created_at)
    VALUES (1, 1, 'project-1', 'Default', 'default', 1, 5);
INSERT INTO tokens (id, account_id, name, lookup, sealed, key_id, created_at)
    VALUES (1, 1, 'first', :lookup, :sealed, 'k1', 5);
INSERT INTO nodes (id, name, boot, counter, seen_at, lease_until, offer, created_at)
    VALUES (1, 'engine', 3, 9, 30, 630, :offer, 5);
INSERT INTO tasks (id, account_id, uuid, shortname, name, profile, spec, numbers, instance_total, waiting, succeeded,
    started, waiting_count, running_count, succeeded_count, retry_total, results_count, execution_microseconds,
    demand_cores, demand_memory, scheduling, priority, state, previous_state, state_changed_at,
    previous_state_changed_at, created_at, modified_at, first_started_at)
    VALUES (1, 1, 'task-1', 'story', 'Story', 'docker-batch', :spec, '0-2', 3, '2', '0', '0-1', 1, 1, 1, 2, 1, 7,
        1.0, 0, 2, 0, 'PartiallyExecuting', 'PartiallyDispatched', 21, 20, 10, 10, 21);
INSERT INTO tasks (id, account_id, uuid, shortname, name, profile, spec, numbers, instance_total, waiting, cancelled,
    waiting_count, cancelled_count, demand_cores, demand_memory, scheduling, cancel_requested_at,
    delete_requested_at, deleted_at, state, state_changed_at, created_at, modified_at, ended_at)
    VALUES (2, 1, 'task-2', 'story', 'Gone', 'docker-batch', :spec, '0', 1, '', '0', 0, 1, 1.0, 0, 2, 11, 11, 11,
        'Cancelled', 11, 10, 11, 11);
INSERT INTO task_tags (account_id, tag, task_id) VALUES (1, 'red', 1);
INSERT INTO instances (task_id, number, account_id, state, attempt, failures, losses, dispatched_at, started_at,
    exited_at, ended_at, exit_code, cpu_microseconds, peak_memory, stdout_bytes, results, details)
    VALUES (1, 0, 1, 5, 1, 0, 0, 20, 21, 28, 29, 0, 7, 4096, 6, '["out/story.txt"]', :details);
INSERT INTO instances (task_id, number, account_id, state, attempt, failures, losses, node_id, boot, dispatched_at,
    started_at, stdout_bytes) VALUES (1, 1, 1, 2, 2, 0, 1, 1, 3, 24, 25, 3);
INSERT INTO attempts (task_id, number, attempt, account_id, node_id, ended_at, error_code, error_message)
    VALUES (1, 1, 1, 1, 1, 23, 'NODE_LOST', 'the node was silent');
INSERT INTO history (id, account_id, task_id, at, kind, detail) VALUES (1, 1, 1, 10, 'state', 'Submitted'),
    (2, 1, 1, 21, 'state', 'PartiallyExecuting');
INSERT INTO streams (task_id, stream, account_id, chunks, size_bytes, stored_bytes, tail_number, tail_attempt)
    VALUES (1, 0, 1, 2, 15, 9, 1, 2);
INSERT INTO blobs (id, account_id, size_bytes, "references", ready, data, sweep_at)
    VALUES (1, 1, 5, 1, 1, :bytes, 0), (2, 1, 7, 0, 0, NULL, 99);
INSERT INTO buckets (id, account_id, name, created_at, objects, size_bytes, tags) VALUES (1, 1, 'out', 5, 1, 5, '{}');
INSERT INTO objects (bucket_id, key, account_id, blob_id, size_bytes, etag, checksum, modified_at)
    VALUES (1, 'story.txt', 1, 1, 5, 'etag-1', 'CRC32:NhCmhg==', 29);
INSERT INTO uploads (id, account_id, bucket_id, key, upload_id, headers, checksum_algorithm, created_at)
    VALUES (1, 1, 1, 'big.bin', 'upload-1', '{}', 'CRC32', 30);
INSERT INTO upload_parts (upload, part, account_id, blob_id, size_bytes, etag, modified_at)
    VALUES (1, 1, 1, 2, 7, 'part-etag', 30);
"""

_FIRST_CHUNKS = """
INSERT INTO chunks (task_id, stream, position, account_id, number, attempt, lead, merged_start, data)
    VALUES (1, 0, 0, 1, 0, 1, 0, 0, :hello), (1, 0, 1, 1, 1, 2, 0, 9, :open);
INSERT INTO cursors (task_id, stream, number, account_id, position) VALUES (1, 0, -1, 1, 1);
"""


_WHOLE_TASKS = """
INSERT INTO machines (id, specification_key, cpu_model, frequency_ghz) VALUES (1, '4c-8g-amd-rz3700x-ssd', 'amd', 3.6);
UPDATE nodes SET machine_id = 1;
UPDATE accounts SET running_tasks = 1;
INSERT INTO shapes (id, account_id, digest, body)
    VALUES (1, 1, 'digest-1', :shape);
INSERT INTO waits (id, shape_id, code, detail, since, until) VALUES (1, 1, 'NO_NODES', '{}', 10, 20),
    (2, 1, 'NODES_BUSY', '{}', 24, NULL);
UPDATE tasks SET shape_id = 1, machines = :machines, download_microseconds = 3, environment_microseconds = 4,
    upload_microseconds = 1 WHERE id = 1;
UPDATE tasks SET shape_id = 1, drained_at = 11 WHERE id = 2;
INSERT INTO chunks (task_id, stream, position, account_id, number, attempt, lead, instance_start, data)
    VALUES (1, 0, 0, 1, 0, 1, 0, 0, :hello), (1, 0, 9, 1, 1, 2, 0, 0, :open);
INSERT INTO cursors (task_id, stream, number, account_id, position) VALUES (1, 0, -1, 1, 9);
UPDATE instances SET machine_id = 1, download_microseconds = 3 WHERE number = 0;
INSERT INTO snapshots (id, account_id, task_id, name, is_periodic, filter, state, triggered_at, updated_at, open_parts)
    VALUES (1, 1, 1, 'snap_1', 0, '{}', 1, 26, 27, 1);
INSERT INTO snapshot_parts (snapshot_id, number, attempt, account_id, task_id, node_id, size_bytes)
    VALUES (1, 1, 2, 1, 1, 1, 9);
INSERT INTO requests (account_id, key, digest, answer, created_at)
    VALUES (1, 'key-1', 'digest-1', :answer, 10);
INSERT INTO viewers (account_id, viewer_id, created_at) VALUES (1, 1, 5);
"""


def seed_0001(connection: Connection) -> None:
    """The tables of the first release."""
    _story(connection)
    _run(connection, _FIRST_CHUNKS, hello=b"hello\n", open=b"wor")


def seed_0002(connection: Connection) -> None:
    """What whole tasks added; of the first release chunks and cursors count otherwise, the rest is as it was."""
    _story(connection)
    _run(
        connection,
        _WHOLE_TASKS,
        hello=b"hello\n",
        open=b"wor",
        answer=b"{}",
        machines='{"1":7}',
        shape='{"cores":1.0,"memory_bytes":0}',
    )


def _story(connection: Connection) -> None:
    _run(
        connection,
        _FIRST,
        limits='{"max_tasks":10}',
        offer='{"cores":4,"memory_bytes":1,"runtime":"process","isolated":false,"takes_images":false}',
        details='{"notes":["bent"]}',
        lookup=b"\x01look",
        sealed=b"\x02seal",
        spec=SPEC,
        bytes=b"story",
    )


def _run(connection: Connection, statements: str, **values: object) -> None:
    for statement in statements.split(";\n"):
        if statement.strip():
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(text(statement), used)


SEEDS: dict[str, Callable[[Connection], None]] = {"0001": seed_0001, "0002": seed_0002}
