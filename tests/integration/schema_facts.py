"""What a database says about its own tables, in a form that two databases can be compared by."""

import re
from collections.abc import Iterator

from sqlalchemy import Connection, text

_OTHERS = "alembic_version"


def facts(connection: Connection) -> set[tuple[object, ...]]:
    """Return every table, column, key, index and constraint."""
    return set(_sqlite(connection) if connection.dialect.name == "sqlite" else _postgres(connection))


def _sqlite(connection: Connection) -> Iterator[tuple[object, ...]]:
    def rows(statement: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]

    for kind, name, table, sql in rows("SELECT type, name, tbl_name, sql FROM sqlite_master"):
        if table == _OTHERS or str(name).startswith("sqlite_"):
            continue
        words = re.sub(r"\s+", " ", str(sql))
        if kind == "index":
            yield "index", name, words  # order of columns, DESC, UNIQUE and WHERE are all in it
            continue
        yield "table", name, "WITHOUT ROWID" in words, "AUTOINCREMENT" in words
        for _, column, type_, required, default, key, hidden in rows(f'PRAGMA table_xinfo("{name}")'):
            yield "column", name, column, type_, required, default, key, hidden
        for _, _, target, here, there, *rules in rows(f'PRAGMA foreign_key_list("{name}")'):
            yield "foreign key", name, here, target, there, *rules
        for constraint in re.findall(r"CONSTRAINT (\w+ (?:UNIQUE|PRIMARY KEY|FOREIGN KEY|CHECK) ?\([^)]*\))", words):
            yield "constraint", name, constraint


def _postgres(connection: Connection) -> Iterator[tuple[object, ...]]:
    queries = {
        "column": "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name"
        " FROM information_schema.columns WHERE table_schema = current_schema() AND table_name <> :others",
        "index": "SELECT tablename, indexname, indexdef FROM pg_indexes"
        " WHERE schemaname = current_schema() AND tablename <> :others",
        "constraint": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = current_schema()::regnamespace AND conrelid::regclass::text <> :others",
    }
    for kind, query in queries.items():
        for row in connection.execute(text(query), {"others": _OTHERS}):
            yield kind, *row
