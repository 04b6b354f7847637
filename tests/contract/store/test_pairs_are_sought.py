"""Rows that are asked for by pairs of keys are sought, however large their table is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event

from hearth.store.queries import instances, output, snapshots

PAIRS = [(task, number) for task in (1, 2, 3) for number in (0, 7)]


def test_no_table_is_read_whole(engine: Engine) -> None:
    plans: list[str] = []
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "

    def note(_: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        if statement.startswith("SELECT"):
            driver = connection.connection.driver_connection
            assert driver is not None
            plans.extend(str(row[-1]) for row in driver.execute(explain + statement, parameters).fetchall())

    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET enable_seqscan = off")  # or it would read empty tables whole
        event.listen(connection, "before_cursor_execute", note)
        instances.load(connection, PAIRS)
        output.written_before(connection, PAIRS)
        snapshots.open_by_key(connection, PAIRS)
    told = "\n".join(plans)
    assert len(plans) >= 3
    assert "SCAN" not in told, told
    assert "Seq Scan" not in told, told
