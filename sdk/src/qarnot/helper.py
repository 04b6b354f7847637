"""Loggers that write plain lines to a stream."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

DEFAULT_LOG_FORMAT = "%(message)s"


class Log:
    """Makes the loggers that a connection uses when it is given none."""

    @staticmethod
    def get_logger_for_stream(
        stream: TextIO | None = None, name: str | None = None, log_format: str = DEFAULT_LOG_FORMAT
    ) -> logging.Logger:
        """Return a logger that writes to `stream` (default: the standard output)."""
        logger = logging.getLogger(name or f"qarnot.{'stderr' if stream is sys.stderr else 'stdout'}")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
        handler = logging.StreamHandler(stream if stream is not None else sys.stdout)
        handler.setFormatter(logging.Formatter(log_format))
        logger.addHandler(handler)
        return logger
