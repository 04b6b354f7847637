"""What every process of the platform needs: the clock, its log, its signals, its files."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from pathlib import Path

import structlog


def now() -> int:
    """Return the time of the wall clock in microseconds."""
    return time.time_ns() // 1000


def quiet_collector() -> None:
    """Let the garbage collector look less often: nearly all that is made here dies by its reference count."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def log_to_stderr() -> None:
    """Log as lines of key=value on standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")


def signalled(*numbers: signal.Signals) -> asyncio.Event:
    """Return an event that is set when one of these signals arrives."""
    event = asyncio.Event()
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Let a file have new content, whole at any moment."""
    part = path.with_name(path.name + ".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    part.replace(path)
