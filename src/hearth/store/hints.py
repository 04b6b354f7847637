"""What a query knows better than the planner."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Boolean


class unlikely(FunctionElement[bool]):
    """A condition that few rows meet. SQLite is told so; PostgreSQL counts for itself."""

    inherit_cache = True
    type = Boolean()


@compiles(unlikely)
def _plain(element: unlikely, compiler: SQLCompiler, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(unlikely, "sqlite")
def _told(element: unlikely, compiler: SQLCompiler, **options: Any) -> str:
    return f"unlikely({compiler.process(element.clauses, **options)})"


class HintedCompiler(SQLiteCompiler):
    """Writes the hints of a SELECT behind its tables, `INDEXED BY ...`, as SQLAlchemy does for other databases."""

    def get_from_hint_text(self, table: Any, text: str) -> str:  # type: ignore[override]
        return text
