"""The documented `qarnot` SDK, written for Hearth.

import qarnot

conn = qarnot.connection.Connection("qarnot.conf")
task = conn.create_task("hello world", "docker-batch", 4)
task.constants["DOCKER_CMD"] = "echo hello world from ${INSTANCE_ID}!"
task.run()
print(task.stdout())
"""

from __future__ import annotations

import httpx

from hearth_client.http import http_error
from qarnot import (
    bucket,
    connection,
    error,
    exceptions,
    helper,
    job,
    pool,
    project,
    status,
    storage,
    task,
)
from qarnot._refusals import exception_for
from qarnot._version import __version__
from qarnot.connection import Connection
from qarnot.secrets import Secrets

__all__ = [
    "Connection",
    "Secrets",
    "__version__",
    "bucket",
    "connection",
    "error",
    "exceptions",
    "helper",
    "job",
    "pool",
    "project",
    "raise_on_error",
    "status",
    "storage",
    "task",
]


def raise_on_error(response: httpx.Response) -> None:
    """Raise the exception that an answer outside 2xx stands for."""
    if not response.is_success:
        raise exception_for(http_error(response))
