"""Statements that run for thousands of rows: compiled once, then handed to the driver as they are.

SQLAlchemy's own `executemany` builds a dictionary per row, which costs several times what the database does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

# psycopg takes positional parameters too, though SQLAlchemy's dialect asks for named ones.
_POSITIONAL = {"sqlite": "qmark", "postgresql": "format"}


class Bulk:
    """An INSERT, UPDATE or DELETE with named binds, run for rows of values in the order of `names`."""

    def __init__(self, build: Callable[[], ClauseElement], names: Sequence[str]) -> None:
        self._build = build
        self._names = tuple(names)
        self._compiled: dict[str, tuple[str, tuple[int, ...] | None]] = {}

    def run(self, connection: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run the statement for each row, if there is any."""
        values = list(rows)
        if not values:
            return
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = self._compile(dialect)
        sql, order = compiled
        if order is not None:
            values = [tuple(row[index] for index in order) for row in values]
        connection.exec_driver_sql(sql, values)

    def _compile(self, dialect: Dialect) -> tuple[str, tuple[int, ...] | None]:
        positional = type(dialect)(paramstyle=_POSITIONAL[dialect.name])  # type: ignore[call-arg]
        compiled = self._build().compile(dialect=positional, column_keys=list(self._names))
        assert isinstance(compiled, SQLCompiler) and compiled.positiontup is not None
        order = tuple(self._names.index(name) for name in compiled.positiontup)
        return str(compiled), None if order == tuple(range(len(self._names))) else order
