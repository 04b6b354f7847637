"""What an agent has to tell its server, in order, until the server has acknowledged it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hearth.agent.attempt import Key
from hearth.wire import agent as wire

REPORT_BYTES = 4 << 20
REPORT_ITEMS = 2000
# What an end weighs in a report, and each of its files beside the name.
END_BYTES = 300
FILE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """What one report carries of it."""

    started: list[wire.Started]
    outputs: list[wire.Output]
    exited: list[wire.Exited]
    ended: list[wire.Ended]
    size_bytes: int


@dataclass(slots=True)
class Outbox:
    """Starts, output, exits and ends that wait for a report."""

    started: list[wire.Started] = field(default_factory=list)
    outputs: deque[wire.Output] = field(default_factory=deque)
    exited: list[wire.Exited] = field(default_factory=list)
    ended: dict[Key, wire.Ended] = field(default_factory=dict)
    output_bytes: int = 0  # waiting, or in a report that is under way

    def is_empty(self, is_held_back: Callable[[Key], bool]) -> bool:
        """Answer whether nothing can be told now; ends that are held back cannot."""
        if self.started or self.outputs or self.exited:
            return False
        return not self.ended or all(is_held_back(key) for key in self.ended)

    def add_output(self, piece: wire.Output) -> None:
        """Tell a piece of output; pieces of one stream come in order."""
        self.outputs.append(piece)
        self.output_bytes += len(piece.data)

    def drop_output(self, key: Key) -> None:
        """Take back what was not told yet of an attempt's output."""
        kept: deque[wire.Output] = deque()
        for piece in self.outputs:
            if (piece.task, piece.number, piece.attempt) == key:
                self.output_bytes -= len(piece.data)
            else:
                kept.append(piece)
        self.outputs = kept

    def take(self, is_held_back: Callable[[Key], bool]) -> Batch:
        """Take what fits into one report; an end comes after all output of its attempt."""
        outputs: list[wire.Output] = []
        size = 0
        while self.outputs and size < REPORT_BYTES and len(outputs) < REPORT_ITEMS:
            piece = self.outputs.popleft()
            outputs.append(piece)
            size += len(piece.data)
        waiting = {(piece.task, piece.number, piece.attempt) for piece in self.outputs}
        over: dict[Key, wire.Ended] = {}
        for key, end in self.ended.items():
            if size >= REPORT_BYTES or len(over) >= REPORT_ITEMS:
                break
            if key not in waiting and not is_held_back(key):
                over[key] = end
                size += END_BYTES + weight(end.files)
        for key in over:
            del self.ended[key]
        started, self.started = self.started, []
        exited, self.exited = self.exited, []
        return Batch(
            # An end tells the start and the exit too.
            started=[s for s in started if (s.task, s.number, s.attempt) not in over],
            outputs=outputs,
            exited=[e for e in exited if (e.task, e.number, e.attempt) not in over],
            ended=list(over.values()),
            size_bytes=size,
        )

    def take_back(self, report: wire.Report) -> None:
        """Take back a report that may not have arrived: all of it is told again, in the same order."""
        self.started[:0] = report.started
        self.outputs.extendleft(reversed(report.outputs))
        self.exited[:0] = report.exited
        self.ended = {(e.task, e.number, e.attempt): e for e in report.ended} | self.ended

    def acknowledged(self, report: wire.Report) -> None:
        """Note that the server has what the report carried."""
        self.output_bytes -= sum(len(piece.data) for piece in report.outputs)


def weight(files: list[wire.ResultFile]) -> int:
    """Return about how many bytes files take in a report."""
    return sum(FILE_BYTES + len(file.path) for file in files)
