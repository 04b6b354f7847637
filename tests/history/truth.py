"""The final database of a platform, as far as the laws are about it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.history.evidence import Key

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Truth:
    """Rows by their keys."""

    tasks: Mapping[str, Row] = field(default_factory=dict)  # by uuid
    instances: Mapping[tuple[int, int], Row] = field(default_factory=dict)
    attempts: Mapping[Key, Row] = field(default_factory=dict)  # those that did not become their instance's end
    limits: Mapping[str, Row] = field(default_factory=dict)  # by e-mail
    emails: Mapping[int, str] = field(default_factory=dict)


def read_truth(data: Path) -> Truth:
    """Read the database of a data directory; its server may run."""
    connection = sqlite3.connect(f"file:{data / 'hearth.db'}?mode=ro", uri=True, timeout=20)
    connection.row_factory = sqlite3.Row
    try:

        def rows(table: str) -> list[Row]:
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]

        accounts = rows("accounts")
        return Truth(
            tasks={row["uuid"]: row for row in rows("tasks")},
            instances={(row["task_id"], row["number"]): row for row in rows("instances")},
            attempts={(row["task_id"], row["number"], row["attempt"]): row for row in rows("attempts")},
            limits={row["email"]: json.loads(row["limits"]) for row in accounts},
            emails={row["id"]: row["email"] for row in accounts},
        )
    finally:
        connection.close()
