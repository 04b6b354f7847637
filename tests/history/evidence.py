"""What instances really did, written down by themselves on the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.services.account import Json

Key = tuple[int, int, int]  # task, number, attempt: as the final database numbers them

# A line is one short write to a file that is opened for appending, so lines of many writers do not mix. The name of
# the run comes from the spawner (runtime `process`); `tick` is for scripts that want to be seen at work.
SCRIPT = """
tick() { echo "$1 ${HEARTH_RUN##*/} $(date +%s%N) $2" >> "$EVIDENCE"; }
tick begin
(eval "$BODY")
code=$?
tick end $code
exit $code
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What one attempt wrote down."""

    begin: int  # microseconds
    last: int  # when it was last seen at work
    end: int | None = None  # when its command was over; None: it did not get there
    exit_code: int | None = None
    begins: int = 1  # more than one: it was started twice


class Evidence:
    """A file on the host that instances of this platform append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        path.chmod(0o666)

    def fields(self, script: str, **constants: str) -> Json:
        """Return the fields of a task whose instances run `script` and leave evidence; they go into `submit`."""
        told = {"EVIDENCE": str(self.path), "BODY": script, "SCRIPT": SCRIPT, **constants}
        return {"command": "sh -c 'eval \"$SCRIPT\"'", "constants": told}

    def attempts(self) -> dict[Key, Ran]:
        """Return what each attempt left."""
        return read_evidence(self.path.read_text())


def read_evidence(text: str) -> dict[Key, Ran]:
    """Read the lines of an evidence file."""
    ran: dict[Key, Ran] = {}
    for line in text.splitlines():
        what, name, nanoseconds, *more = line.split()
        task, number, attempt = (int(part) for part in name.split("."))
        key, at = (task, number, attempt), int(nanoseconds) // 1000
        before = ran.get(key)
        if what == "begin":
            ran[key] = Ran(at, at) if before is None else Ran(before.begin, at, begins=before.begins + 1)
        elif before is not None:
            end, code = (at, int(more[0])) if what == "end" else (before.end, before.exit_code)
            ran[key] = Ran(before.begin, max(at, before.last), end, code, before.begins)
    return ran


def at_once(attempts: Mapping[Key, Ran]) -> int:
    """Return how many of these attempts were at work at one instant, at least."""
    steps = sorted(
        [(ran.begin, 1) for ran in attempts.values()] + [(ran.end or ran.last, -1) for ran in attempts.values()]
    )
    now = most = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most
