"""A platform of its own for one measurement: started in a temporary folder, watched, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TICK = os.sysconf("SC_CLK_TCK")


class Platform:
    """A running `hearth up` with the process runtime."""

    def __init__(self, data: Path, process: subprocess.Popen[bytes]) -> None:
        self.data = data
        self._process = process
        lines = (data / "qarnot.conf").read_text().splitlines()
        values = dict(line.split("=", 1) for line in lines if "=" in line)
        self.url, self.token = values["url"], values["token"]

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Make one REST call and return the decoded answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": self.token, "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=300) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Read the platform's own database: for what the API does not tell."""
        with contextlib.closing(sqlite3.connect(self.data / "hearth.db", timeout=60)) as connection:
            return connection.execute(query, values).fetchall()

    def wait_for_tasks(self, timeout_seconds: float = 300.0) -> None:
        """Wait until no task is active."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if self.rows("SELECT active_tasks FROM accounts")[0][0] == 0:
                return
            time.sleep(0.005)
        raise TimeoutError("tasks did not end in time")

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time of server, store threads, agent and spawner so far (children not counted)."""
        used: dict[str, float] = {"server": 0.0, "store": 0.0, "agent": 0.0, "spawner": 0.0}
        for role in ("server", "agent", "spawner"):
            pid = int((self.data / "run" / f"{role}.pid").read_text())
            for thread in Path(f"/proc/{pid}/task").iterdir():
                fields = (thread / "stat").read_text().rsplit(")", 1)[1].split()
                # The server's event loop is its main thread; the others are the store's (and the blobs').
                part = "store" if role == "server" and thread.name != str(pid) else role
                used[part] += (int(fields[11]) + int(fields[12])) / TICK
        return used


@contextlib.contextmanager
def platform(*, cores: int, folder: Path | None = None) -> Iterator[Platform]:
    """Start a platform whose node runs `cores` instances at a time, and end it."""
    data = Path(tempfile.mkdtemp(prefix="hearth-bench-", dir=folder))
    command = [sys.executable, "-m", "hearth.cli.main", "up", "--data", str(data / "data"), "--runtime", "process"]
    command += ["--api-port", "0", "--storage-port", "0", "--node-cores", str(cores)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not (data / "data" / "run" / "server.json").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the platform did not start; try: " + " ".join(command))
            time.sleep(0.02)
        running = Platform(data / "data", process)
        _warm(running)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        shutil.rmtree(data, ignore_errors=True)


def _warm(running: Platform) -> None:
    """Run a few instances, so that no first use is measured."""
    for _ in range(3):
        running.call("POST", "/tasks", trivial("warm", 4))
        running.wait_for_tasks()


def trivial(name: str, instances: int) -> dict[str, object]:
    """Return a task of instances that do nothing."""
    command = [{"key": "DOCKER_CMD", "value": "/bin/true"}]
    return {"name": name, "profile": "docker-batch", "instanceCount": instances, "constants": command}
