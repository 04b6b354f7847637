"""The tables of a database: brought to the newest revision, one server at a time, and the facts of the site.

Revisions are files in `migrations/versions`, named by their number. They run in one transaction each time a
database is opened that needs them; a database that is newer than this program is refused and left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, select, text
from sqlalchemy.dialects import postgresql, sqlite

from hearth.domain.errors import HearthError
from hearth.store.tables import metadata, site

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
REVISIONS = tuple(sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")))
NEWEST = REVISIONS[-1] if REVISIONS else ""
# What the rows mean beyond their shape; a change that no migration can express raises it.
FORMAT = "1"
# Servers on one PostgreSQL agree on this number; it stands for nothing.
_LOCK = 0x48656172_7468


class SchemaRefused(HearthError):
    """This program cannot work with this database."""


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What tells this site and this life of its database from all others."""

    site_id: str  # every container and process group carries it
    incarnation: str  # new after a restore: attempts of before do not count
    format: str


def revision(engine: Engine) -> str | None:
    """Return the revision that the database is at; None when it is empty."""
    with engine.connect() as connection, connection.begin():
        return _revision(connection)


def upgrade(engine: Engine, to: str = NEWEST) -> None:
    """Bring the database to revision `to`; of servers that start at once one does it and the others wait."""
    found = revision(engine)
    if found == to:
        return
    _require_known(found)
    from alembic import command  # only now: most starts find nothing to do

    with engine.connect().execution_options(hearth_write=True) as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if is_sqlite:  # a table that is made anew is dropped once; its rows' children must not go with it
            _set_foreign_keys(connection, on=False)
        try:
            with connection.begin():  # SQLite: BEGIN IMMEDIATE
                if not is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                found = _revision(connection)  # another server may have been here meanwhile
                _require_known(found)
                if found is None:
                    _require_empty(connection)
                command.upgrade(_config(connection), to)
                if is_sqlite:
                    _require_whole(connection)
        finally:
            if is_sqlite:
                _set_foreign_keys(connection, on=True)


def ensure_site(connection: Connection, new_uuid: Callable[[], str]) -> SiteFacts:
    """Return the facts of the site, made by whoever asks first."""
    facts = _facts(connection)
    if facts is None:
        made = {"site_id": new_uuid(), "incarnation": new_uuid(), "format": FORMAT}
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        rows = [{"key": key, "value": value} for key, value in made.items()]
        connection.execute(dialect.insert(site).on_conflict_do_nothing(index_elements=["key"]), rows)
        facts = _facts(connection)
        assert facts is not None
    if facts.format != FORMAT:
        raise SchemaRefused(
            f"the database has format {facts.format}, this program knows format {FORMAT}: "
            "run the version of hearth that wrote it, or a newer one"
        )
    return facts


def _facts(connection: Connection) -> SiteFacts | None:
    rows = {row[0]: row[1] for row in connection.execute(select(site.c.key, site.c.value))}
    return SiteFacts(rows["site_id"], rows["incarnation"], rows["format"]) if rows else None


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _require_known(found: str | None) -> None:
    if found is not None and found not in REVISIONS:
        raise SchemaRefused(
            f"the database is at revision {found}, this program knows revisions up to {NEWEST}: "
            "run the version of hearth that wrote it, or a newer one; to go back, restore a backup from before"
        )


def _require_empty(connection: Connection) -> None:
    ours = sorted(metadata.tables.keys() & set(inspect(connection).get_table_names()))
    if ours:
        raise SchemaRefused(
            f"the database has a table '{ours[0]}' but no revision, so hearth did not make it: "
            "name another database (database_url), or an empty one"
        )


def _require_whole(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise SchemaRefused(f"after the migration rows of '{broken[0]}' point to rows of '{broken[2]}' that are gone")


def _set_foreign_keys(connection: Connection, *, on: bool) -> None:
    # On the driver's own connection: SQLAlchemy would begin a transaction first, and inside one this is ignored.
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute(f"PRAGMA foreign_keys={'ON' if on else 'OFF'}")


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
