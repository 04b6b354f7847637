"""Databases of every revision become the newest, whatever database it is and whoever else starts."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, select, text

from hearth.domain.demand import Shape
from hearth.domain.hardware import Hardware
from hearth.domain.instance import InstanceState, RetryRule
from hearth.domain.spec import SchedulingClass
from hearth.domain.task import TaskState
from hearth.store.door import open_engine
from hearth.store.queries import accounts, buckets, history, instances, nodes, objects, output, shapes, tasks
from hearth.store.schema import NEWEST, REVISIONS, SchemaRefused, SiteFacts, ensure_site, revision, upgrade
from hearth.store.tables import attempts, metadata, projects, task_tags, uploads
from tests.contract.store.truth import seen
from tests.integration.schema_facts import facts
from tests.integration.seeds import SEEDS


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'a folder with 100% and spaces.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    opened = open_engine(url)
    yield opened
    opened.dispose()


def test_the_migrations_make_the_tables_that_the_program_uses(engine: Engine):
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
        made = facts(connection)
    assert differences == []
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            table.drop(connection)
        metadata.create_all(connection)
        wanted = facts(connection)
    assert {fact[0] for fact in made} >= {"column", "index", "constraint"}
    assert made == wanted, f"run tools/migration: {sorted(map(str, made ^ wanted))}"


def test_every_revision_has_a_seed():
    assert sorted(SEEDS) == list(REVISIONS)


@pytest.mark.parametrize("start", sorted(SEEDS))
def test_rows_of_every_revision_are_read_after_the_upgrade(engine: Engine, start: str):
    upgrade(engine, start)
    with engine.begin() as connection:
        SEEDS[start](connection)
    upgrade(engine)
    assert revision(engine) == NEWEST
    with engine.connect() as connection:
        assert ensure_site(connection, lambda: "unused") == SiteFacts("site-1", "life-1", "1")

        account = accounts.by_token(connection, [b"\x01look"], now=40)
        assert account is not None
        assert (account.email, account.organization_id, account.limits.max_tasks) == ("ada@example.org", 1, 10)
        use = accounts.use(connection, 1)
        assert (use.tasks, use.active_tasks, use.live_instances, use.live_cores) == (1, 1, 1, 1.0)
        assert (use.buckets, use.bucket_bytes) == (1, 5)
        assert connection.execute(select(projects.c.slug)).scalars().all() == ["default"]
        [node] = nodes.everyone(connection)
        assert (node.name, node.boot, node.counter, node.lease_until) == ("engine", 3, 9, 630)

        task = tasks.find(connection, 1, "story")
        assert task is not None
        assert (task.id, task.state, task.waiting, task.succeeded) == (1, "PartiallyExecuting", "2", "0")
        spec = task.parsed_spec()
        assert (spec.constants, spec.tags, spec.result_bucket) == ({"DOCKER_CMD": "echo hello"}, ("red",), "out")
        standing = tasks.lock_standings(connection, [1])[1]
        standing.progress.check()
        assert standing.state is TaskState.PARTIALLY_EXECUTING
        assert standing.rule == RetryRule(total=2, per_instance=None)
        assert connection.execute(select(task_tags.c.tag)).scalars().all() == ["red"]
        assert shapes.get(connection, task.shape_id) == Shape(1.0, 0)
        gone = tasks.get(connection, 2)
        assert gone is not None
        assert (gone.deleted_at, gone.cancelled) == (11, "0")

        rows = instances.page(connection, 1, -1, 10)
        assert [(row.number, row.state, row.attempt) for row in rows] == [
            (0, InstanceState.SUCCEEDED, 1),
            (1, InstanceState.RUNNING, 2),
        ]
        assert (rows[0].results, rows[0].details) == ('["out/story.txt"]', '{"notes":["bent"]}')
        assert (rows[1].node_id, rows[1].boot, rows[1].losses, rows[1].stdout_bytes) == (1, 3, 1, 3)
        assert connection.execute(select(attempts.c.error_message)).scalars().all() == ["the node was silent"]
        assert history.of_task(connection, 1) == [(10, "state", "Submitted"), (21, "state", "PartiallyExecuting")]
        assert seen(connection, 1, 0, None) == (b"0> hello\n1> wor", 15)
        assert seen(connection, 1, 0, 1) == (b"wor", 3)
        assert output.cursor(connection, 1, 0, output.MERGED) == 9

        bucket = buckets.find(connection, 1, "out")
        assert bucket is not None
        [found] = objects.page(connection, bucket.id, "", "", 10)
        assert (found.key, found.etag, found.checksum, found.size_bytes) == ("story.txt", "etag-1", "CRC32:NhCmhg==", 5)
        assert connection.execute(select(uploads.c.upload_id)).scalars().all() == ["upload-1"]


def test_tasks_of_the_first_release_get_the_shapes_of_what_they_ask_for(engine: Engine):
    upgrade(engine, "0001")
    gpu = '{"discriminator":"GpuHardwareConstraint"}'
    specific = '{"discriminator":"SpecificHardwareConstraint","specificationKey":"8c"}'
    asked = {
        1: ("1.0", 2, "{}"),
        2: ("1.0", 2, '{"hardware":[]}'),
        3: ("8.0", 2, '{"hardware":[{"discriminator":"MinimumCoreHardwareConstraint","coreCount":8}]}'),
        4: ("1.0", 1, f'{{"hardware":[{gpu},{specific}],"constants":{{"DOCKER_REPO":"a/b"}}}}'),
        5: ("1.0", 0, '{"reserved_key":"mine"}'),
    }
    with engine.begin() as connection:
        SEEDS["0001"](connection)
        for number, (cores, scheduling, spec) in asked.items():
            connection.execute(
                text(
                    "INSERT INTO tasks (id, account_id, uuid, shortname, name, profile, spec, numbers, instance_total,"
                    " waiting, waiting_count, demand_cores, demand_memory, scheduling, state, state_changed_at,"
                    " created_at, modified_at) VALUES (:id, 1, :uuid, :uuid, 'n', 'p', :spec, '0', 1, '0', 1, :cores,"
                    " 0, :scheduling, 'Submitted', 5, 5, 5)"
                ),
                {"id": 100 + number, "uuid": f"u-{number}", "spec": spec, "cores": cores, "scheduling": scheduling},
            )
    upgrade(engine)
    with engine.connect() as connection:
        rows = tasks.many(connection, [100 + number for number in asked])
        found = {number - 100: shapes.get(connection, row.shape_id) for number, row in rows.items()}
    assert found == {
        1: Shape(1.0, 0),
        2: Shape(1.0, 0),
        3: Shape(8.0, 0),
        4: Shape(1.0, 0, SchedulingClass.ON_DEMAND, Hardware(specifications=("8c",), gpu=True), needs_image=True),
        5: Shape(1.0, 0, SchedulingClass.RESERVED, reserved_key="mine"),
    }
    assert rows[101].shape_id == rows[102].shape_id


def test_servers_that_start_at_once_migrate_once(url: str):
    together = threading.Barrier(4, timeout=30)

    def start(_: int) -> SiteFacts:
        engine = open_engine(url)
        together.wait()
        upgrade(engine)
        with engine.connect().execution_options(hearth_write=True) as connection, connection.begin():
            found = ensure_site(connection, new_uuid)
        engine.dispose()
        return found

    numbers = iter(range(100))
    new_uuid = lambda: f"id-{next(numbers)}"  # noqa: E731
    with ThreadPoolExecutor(4) as servers:
        found = list(servers.map(start, range(4)))
    assert len(set(found)) == 1
    assert found[0].site_id != found[0].incarnation


def test_the_facts_of_a_site_are_made_once(engine: Engine):
    upgrade(engine)
    with engine.begin() as connection:
        first = ensure_site(connection, iter(["site", "life"]).__next__)
    with engine.begin() as connection:
        assert ensure_site(connection, iter(["other", "another"]).__next__) == first
    assert first == SiteFacts("site", "life", "1")


def test_an_upgrade_of_the_newest_changes_nothing(engine: Engine):
    assert revision(engine) is None
    upgrade(engine)
    with engine.connect() as connection:
        before = facts(connection)
    upgrade(engine)
    assert revision(engine) == NEWEST
    with engine.connect() as connection:
        assert facts(connection) == before


def test_a_database_that_is_newer_than_the_program_is_refused_and_left_alone(engine: Engine):
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaRefused, match=rf"at revision 9999, .* up to {NEWEST}: run the version of hearth"):
        upgrade(engine)
    assert revision(engine) == "9999"


def test_rows_of_a_newer_format_are_refused(engine: Engine):
    upgrade(engine)
    with engine.begin() as connection:
        ensure_site(connection, lambda: "x")
        connection.execute(text("UPDATE site SET value = '2' WHERE key = 'format'"))
    with (
        pytest.raises(SchemaRefused, match="has format 2, this program knows format 1"),
        engine.connect() as connection,
    ):
        ensure_site(connection, lambda: "x")


def test_tables_that_hearth_did_not_make_are_refused(engine: Engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE tasks (id integer)"))
    with pytest.raises(SchemaRefused, match="has a table 'tasks' but no revision"):
        upgrade(engine)
    assert revision(engine) is None


def test_an_upgrade_that_fails_leaves_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise RuntimeError("the power went")

    # The last step of an upgrade, after all tables were made.
    monkeypatch.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", fail)
    with pytest.raises(RuntimeError, match="the power went"):
        upgrade(engine)
    monkeypatch.undo()
    with engine.connect() as connection:
        assert facts(connection) == set()
    upgrade(engine)
    assert revision(engine) == NEWEST


def test_foreign_keys_hold_again_after_an_upgrade(tmp_path: Path):
    engine = open_engine(f"sqlite:///{tmp_path / 'hearth.db'}", readers=0)
    upgrade(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    engine.dispose()
