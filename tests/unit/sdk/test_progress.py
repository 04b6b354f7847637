"""Lines that show how far something is, and loggers that write plain lines."""

import io
import sys

import pytest

from qarnot._progress import ProgressLine, Transfer
from qarnot.helper import Log


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_bar_that_is_written_over():
    terminal = Terminal()
    line = ProgressLine(terminal)
    line.show(0.5, "FullyExecuting")
    line.show(2.0, "Success")
    line.end()
    line.end()
    assert terminal.getvalue() == (
        f"\r[{'#' * 15}{'.' * 15}]  50% FullyExecuting\x1b[K\r[{'#' * 30}] 100% Success\x1b[K\n"
    )


def test_what_is_no_terminal_stays_silent():
    stream = io.StringIO()
    line = ProgressLine(stream)
    line.show(0.5, "x")
    line.end()
    assert stream.getvalue() == ""


def test_live_progress_shows_the_task_on_a_terminal(connection, platform, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    task = connection.create_task("t", "docker-batch")
    task.submit()
    platform.script(task.uuid, {"state": "FullyExecuting", "progress": 25.0}, {"state": "Success", "progress": 100.0})
    assert task.wait(live_progress=True)
    assert "  25% FullyExecuting" in terminal.getvalue()
    assert terminal.getvalue().endswith(" 100% Success\x1b[K\n")


def test_a_transfer_counts_bytes_for_a_function_or_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    told = []
    for progress in (lambda *facts: told.append(facts), True, None):
        transfer = Transfer(progress, 10, "name")
        transfer(4)
        transfer(6)
        transfer.end()
    assert told == [(4, 10, "name"), (10, 10, "name")]
    assert terminal.getvalue().count("name") == 2


@pytest.mark.parametrize("times", [1, 2])
def test_a_logger_writes_each_line_once(times):
    stream = io.StringIO()
    for _ in range(times):
        logger = Log.get_logger_for_stream(stream, "qarnot.test")
    logger.info("hello %s", "world")
    assert stream.getvalue() == "hello world\n"
