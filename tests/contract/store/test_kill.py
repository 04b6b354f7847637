"""`kill -9` at any moment: what was acknowledged is there, and what is there is whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from hearth.store import tables
from hearth.store.door import open_engine
from tests.contract.store.truth import check_all, every

ROOT = Path(__file__).parents[3]
KILLS = {"sqlite": 10, "postgresql": 3}  # PostgreSQL is a process of its own: only the writer dies


def killed_after(url: str, prefix: str, lines: int) -> list[int]:
    """Let a program write until it acknowledged so many, kill it, and return all that it acknowledged."""
    command = [sys.executable, "-m", "tests.contract.store.writer_to_kill", url, prefix]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}) as writer:
        assert writer.stdout is not None
        heard = b""
        while heard.count(b"\n") < lines:
            part = writer.stdout.read1(4096)
            assert part, f"the writer ended by itself with {writer.wait()}"
            heard += part
        writer.send_signal(signal.SIGKILL)
        heard += writer.stdout.read()
    whole_lines = heard[: heard.rfind(b"\n") + 1]
    return [int(line) for line in whole_lines.split()]


def test_every_acknowledged_write_is_there_after_kill_9(url: str):
    chance = random.Random(20)
    acknowledged: list[int] = []
    kills = KILLS[url.partition(":")[0].partition("+")[0]]
    for kill in range(kills):
        acknowledged += killed_after(url, f"{kill:x}", chance.randrange(1, 60))
        engine = open_engine(url)
        with engine.begin() as connection:
            stored = {row["id"] for row in every(connection, tables.tasks)}
            check_all(connection)
        engine.dispose()
        assert set(acknowledged) <= stored
    assert len(acknowledged) == len(set(acknowledged)) >= kills
