# ruff: noqa: E501 (a table is read line by line)
"""Broken copies of the program, to see that the properties catch them.

    python -m tests.property.mutants [NAME ...]

Each mutant is one textual change of one file and the property that must notice it. The change is made in a copy
of the package, in a folder of its own, and the property runs there in a process of its own.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "hearth"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change that makes the program wrong."""

    name: str
    file: str  # in src/hearth
    old: str  # there exactly once
    new: str
    caught_by: str  # module of tests/property, and function


RANGES, INSTANCE, TASK, OUTPUT = "domain/ranges.py", "domain/instance.py", "domain/task.py", "domain/output.py"
COMMAND, QUOTA, SPEC = "domain/command.py", "domain/quota.py", "domain/spec.py"
BELIEVED = "test_instance.test_an_instance_is_what_was_believed_of_it"
RETRIES = "test_instance.test_retries_stay_within_both_limits_and_use_them_up"
SETS = "test_ranges.test_union_difference_and_intersection_are_those_of_sets"
RECOUNT = "test_task.test_moves_in_batches_make_the_progress_that_a_recount_finds"
MIXTURE = "test_task.test_the_state_of_any_mixture_is_the_one_in_plain_words"
BYTEWISE = "test_output.test_the_stream_is_what_writing_byte_by_byte_would_make"
CUT = "test_output.test_a_cut_falls_between_characters_and_lets_the_rest_come"
REFERENCES = "test_command.test_known_references_become_their_values_and_nothing_else_changes"
LEFT = "test_quota.test_what_is_left_fits_and_one_more_does_not"
WITHIN = "test_plan.test_a_plan_stays_within_rooms_quotas_and_constraints"
IDLE = "test_plan.test_nothing_that_fits_is_left_while_there_is_room"
FIT, SHARED, HARDWARE = "scheduler/fit.py", "scheduler/plan.py", "domain/hardware.py"
SNAPSHOT = "domain/snapshot.py"
SNAPSHOTS = "test_snapshot.test_a_snapshot_is_what_its_parts_are"
BUNDLE, BUNDLED = "domain/bundle.py", "test_bundle.test_a_bundle_reads_as_its_rows_did"

MUTANTS = [
    Mutant("ranges that touch stay apart", RANGES, "low <= result[-1][1] + 1", "low <= result[-1][1]", SETS),
    Mutant("a span that ends inside another shortens it", RANGES, "if high > result[-1][1]:", "if True:", SETS),
    Mutant("a difference leaves the hole's end", RANGES, "holes[hole][1] + 1)", "holes[hole][1])", SETS),
    Mutant("a hole counts for one span only", RANGES, "holes[at][1] < low", "holes[at][0] < low", SETS),
    Mutant("the first are one more", RANGES, "low + size - 1)", "low + size)", "test_ranges.test_the_first_are_the_smallest"),
    Mutant("the end is not a member", RANGES, "<= number <=", "<= number <", "test_ranges.test_membership_is_that_of_the_set"),
    Mutant("one number is written as a range", RANGES, '"{low}" if', '"{low}," if', "test_ranges.test_what_is_written_is_read_back"),
    Mutant("a range is read without its end", RANGES, "spans.append((low, high))\n        spans", "spans.append((low, low))\n        spans",
           "test_ranges.test_a_text_means_its_numbers_however_it_is_written"),
    Mutant("no fence", INSTANCE, "if attempt != instance.attempt or not", "if not", BELIEVED),
    Mutant("the end is not fenced", INSTANCE, " or not instance.state.is_live:", ":", BELIEVED),
    Mutant("a claim of anything", INSTANCE, "is not InstanceState.WAITING:", "is None:", BELIEVED),
    Mutant("a loss counts as a failure", INSTANCE, "losses=instance.losses + counts)", "losses=instance.losses + counts, failures=9)", BELIEVED),
    Mutant("one loss too many", INSTANCE, "gone.losses <= event", "gone.losses - 1 <= event", BELIEVED),
    Mutant("a cancelled instance succeeds", INSTANCE, "is InstanceState.CANCELLING:\n        return replace(measured",
           "is None:\n        return replace(measured", BELIEVED),
    Mutant("a cancelled instance waits after a loss", INSTANCE, "is InstanceState.CANCELLING:\n        return replace(gone",
           "is None:\n        return replace(gone", BELIEVED),
    Mutant("a cancel undoes an end", INSTANCE, "if instance.state.is_final or instance.state", "if instance.state", BELIEVED),
    Mutant("every failure publishes", INSTANCE, "[Retried(event.attempt, event.failure, counts=True)]",
           "[Retried(event.attempt, event.failure, counts=True), Published(event.attempt)]", BELIEVED),
    Mutant("a retry keeps its node", INSTANCE, "instance,\n        node_id=None,", "instance,", BELIEVED),
    Mutant("a retry ends", INSTANCE, "state=InstanceState.WAITING, ended_at=None)", "state=InstanceState.WAITING)", BELIEVED),
    Mutant("a start is believed twice", INSTANCE, "if instance.state is not InstanceState.DISPATCHED:", "if instance.state.is_final:",
           BELIEVED),
    Mutant("a cancel stops twice", INSTANCE, "instance.state is InstanceState.CANCELLING:\n                return", "False:\n                return",
           "test_instance.test_saying_a_thing_twice_changes_nothing"),
    Mutant("the looser limit counts", INSTANCE, "task_retries < self.total) and (", "task_retries < self.total) or (", RETRIES),
    Mutant("one retry too few", INSTANCE, "failures <= self.per_instance", "failures < self.per_instance", RETRIES),
    Mutant("one retry too many", INSTANCE, "task_retries < self.total", "task_retries <= self.total", RETRIES),
    Mutant("there and back is forgotten", TASK, ")[number] = is_in", ").setdefault(number, is_in)", RECOUNT),
    Mutant("counts only grow", TASK, "(1 if is_in else -1)", "1", RECOUNT),
    Mutant("who started is replaced", TASK, "progress.started | RangeSet", "RangeSet", RECOUNT),
    Mutant("failures hide cancels", TASK, "if progress.cancelled:", "if progress.cancelled and not progress.failed:", MIXTURE),
    Mutant("dispatched is not queued", TASK, " or progress.dispatched > 0", "", MIXTURE),
    Mutant("a cancel hides a delete", TASK, "if delete_requested:", "if delete_requested and not cancel_requested:", MIXTURE),
    Mutant("uploading is before the run", TASK, "if progress.ended or progress.uploading:", "if progress.ended:", MIXTURE),
    Mutant("an open line goes on", OUTPUT, "tail == (number, attempt)", "tail[0] == number", BYTEWISE),
    Mutant("no line ends for another", OUTPUT, 'text = b"\\n" + text', "pass", BYTEWISE),
    Mutant("the last line end is followed by a prefix", OUTPUT, "data if ends_open else data[:-1]", "data", BYTEWISE),
    Mutant("each chunk begins a line", OUTPUT, "if lead is not Lead.CONTINUE:", "if True:",
           "test_output.test_where_a_chunk_is_cut_does_not_show"),
    Mutant("a cut inside a character", OUTPUT, "return _whole_characters(window)", "return len(window)", CUT),
    Mutant("a full window waits", OUTPUT, "len(data) < limit:", "len(data) <= limit:", CUT),
    Mutant("three bytes of four are whole", OUTPUT, "4 if byte >> 3 == 30", "3 if byte >> 3 == 30", CUT),
    Mutant("names have no dots", COMMAND, "_.\\-]+", "_\\-]+", REFERENCES),
    Mutant("what is unknown is nothing", COMMAND, "values.get(match[1], match[0])", 'values.get(match[1], "")', REFERENCES),
    Mutant("words are split at blanks", COMMAND, "shlex.split(command)", "command.split()",
           "test_command.test_quoted_words_arrive_as_they_were"),
    Mutant("one instance too many", QUOTA, "limits.max_instances - live if", "limits.max_instances - live + 1 if", LEFT),
    Mutant("cores are rounded up", QUOTA, "/ cores_each + 1e-9", "/ cores_each + 0.5", LEFT),
    Mutant("the looser quota counts", QUOTA, "left = min(left", "left = max(left", LEFT),
    Mutant("less than nothing", QUOTA, "max(0, left)", "left", LEFT),
    Mutant("constraints are not looked at", FIT, " or unmet(shape, room.machine):", ":", WITHIN),
    Mutant("images go anywhere", FIT, "(shape.needs_image and not room.takes_images)", "False", WITHIN),
    Mutant("a GPU is nowhere", HARDWARE, "hardware.gpu is not (machine.gpus > 0):", "machine.gpus < 0:", WITHIN),
    Mutant("memory is without end", FIT, "return times if memory_bytes <= 0 else", "return times if True else", WITHIN),
    Mutant("what was given is still free", SHARED, "rooms[node_id] = rooms[node_id].without(", "rooms[node_id].without(", WITHIN),
    Mutant("a share stays what it was", SHARED, "shares[account] = shares[account].holding(took, task.shape.cores)", "pass", WITHIN),
    Mutant("one turn is all", SHARED, "if took == most and left == 0 and took < len(task.waiting):", "if False:", IDLE),
    Mutant("an account that had a turn is done", SHARED, "        if queue:\n            heapq", "        if False:\n            heapq", IDLE),
    Mutant("classes are mixed", SHARED, "return self.shape.scheduling, -self.priority", "return 0, -self.priority",
           "test_plan.test_a_higher_class_is_never_held_up_by_a_lower_one"),
    Mutant("a specification that changes by itself", SPEC, "    secrets_by_prefix: tuple[str, ...] = ()",
           "    secrets_by_prefix: tuple[str, ...] = ()\n\n    def __post_init__(self) -> None:\n"
           "        object.__setattr__(self, 'tags', tuple(dict.fromkeys(self.tags)) + ('x',))",
           "test_spec.test_a_specification_is_read_back_as_it_was_written"),
    Mutant("a snapshot forgets its failures", SNAPSHOT, "FAILURE if self.failed_parts else", "FAILURE if False else", SNAPSHOTS),
    Mutant("a snapshot counts sizes twice", SNAPSHOT, "size_bytes=self.size_bytes + more_size", "size_bytes=self.size_bytes * 2 + more_size", SNAPSHOTS),
    Mutant("an end is no news of a snapshot", SNAPSHOT, "files=self.files + files,\n            is_heard_of=True", "files=self.files + files", SNAPSHOTS),
    Mutant("a snapshot is due at once", SNAPSHOT, "// step + 1)", "// step)",
           "test_snapshot.test_the_next_one_is_a_whole_number_of_intervals_after_the_submission_and_the_first_to_come"),
    Mutant("a bundle joins what two attempts wrote", BUNDLE, "(whole[-1].number, whole[-1].attempt, end) == (*chunk[1:3], chunk.instance_start)", "(whole[-1].number, end) == (chunk.number, chunk.instance_start)", BUNDLED),
    Mutant("a bundle forgets where its chunks begin", BUNDLE, "        begin += size\n    return found", "        begin += 0\n    return found", BUNDLED),
]  # fmt: skip


PARTS, ONCE, CLEAN_UP = "control/snapshot_parts.py", "control/once.py", "control/clean_up.py"
REPORT, SYNC, CHANGES, LOGIC = "control/report.py", "control/sync.py", "control/changes.py", "agent/logic.py"
STORE_OUTPUT = "control/store_output.py"
OUTBOX = "agent/outbox.py"
DOOR, PLAN, LAWS = "api/agent.py", "scheduler/plan.py", "test_simulate.laws_hold"

# For the simulation: it tries seeds until one is broken, which takes a while. The first nine need few.
CLUSTER_MUTANTS = [
    Mutant("a loss counts as the user's failure", REPORT, "if end.lost:", "if False:", LAWS),
    Mutant("counters only grow", CHANGES, "more = task.progress.live - before.progress.live", "more = abs(task.progress.live - before.progress.live)", LAWS),
    Mutant("quotas are ignored", PLAN, "most = min(left, shares[account].more(task.shape.cores), len(task.waiting))", "most = min(left, len(task.waiting))", LAWS),
    Mutant("an end does not wait for its output", OUTBOX, "if key not in waiting and not", "if not", LAWS),
    Mutant("output that comes twice is stored twice", STORE_OUTPUT, "data = piece.data[have - piece.offset :]", "data = piece.data", LAWS),
    Mutant("cancelled runs are not killed", LOGIC, "        if attempt.phase is Phase.RUNNING and attempt.exit is None:\n            self._kill(attempt, effects)\n        elif",
           "        if attempt.phase is Phase.RUNNING and attempt.exit is None:\n            effects.extend(self._finish(attempt, RunEnd(1), 0.0))\n        elif", LAWS),
    Mutant("snapshots wait for attempts that are over", PARTS, "    parts.close_all(ENDED_FIRST)", "    pass", LAWS),
    Mutant("a key is not remembered", ONCE, "requests.put(connection, account_id, request.row_key, told)", "pass", LAWS),
    Mutant("tasks go before their time", "store/queries/clean_up.py", "tasks.c.expires_at <= now,", "tasks.c.expires_at <= now + 20_000_000,", LAWS),
    Mutant("output of any attempt is taken", STORE_OUTPUT, "if stored.instance.attempt != piece.attempt or not stored.instance.state.is_live:", "if False:", LAWS),
    Mutant("an end of any attempt is taken", INSTANCE, "if attempt != instance.attempt or not", "if not", LAWS),
    Mutant("a lease that never arrived is not sent again", SYNC, "(difference.resend if instance.boot == sync.boot else difference.lost).append(key)",
           "difference.lost.extend([key] * (instance.boot != sync.boot))", LAWS),
    Mutant("a lost stop is not said again", SYNC, "difference.stops.append(wire.Stop(*key, cancelled=True))", "pass", LAWS),
    Mutant("what is not the node's any more runs on", SYNC, "difference.stops.extend(wire.Stop(*key, cancelled=False) for key in sorted(held))", "pass", LAWS),
    Mutant("leases end early", SYNC, "nodes.with_lease_over(connection, now)", "nodes.with_lease_over(connection, now + 50_000_000)", LAWS),
    Mutant("the agent never gives up", LOGIC, "mono >= self._lease_until", "False", LAWS),
    Mutant("a report that failed is forgotten", OUTBOX, "self.outputs.extendleft(reversed(report.outputs))", "pass", LAWS),
    Mutant("a deadline ends what has begun", CLEAN_UP, "task is not None and task.requeued == 0 and len(task.progress.waiting) == task.progress.total", "task is not None and task.progress.waiting", LAWS),
    Mutant("a found run of a cancelled task is unknown", DOOR, "missing |= {stop.task for stop in difference.stops if stop.cancelled}", "pass", LAWS),
]  # fmt: skip


def survivors(mutants: Sequence[Mutant], at_once: int = 2, *, tell: bool = False) -> list[str]:
    """Run every mutant against its property; return what nobody noticed, and why."""
    with ThreadPoolExecutor(at_once) as pool:
        return [problem for problem in pool.map(lambda mutant: _run(mutant, tell), mutants) if problem]


def _run(mutant: Mutant, tell: bool) -> str:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "hearth"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        file = copy / mutant.file
        text = file.read_text()
        if text.count(mutant.old) != 1:
            return (
                f"{mutant.name}: {mutant.old!r} is {text.count(mutant.old)} times in {mutant.file}; write a new mutant"
            )
        file.write_text(text.replace(mutant.old, mutant.new))
        run = subprocess.run(
            [sys.executable, "-m", "tests.property.mutants", "--check", mutant.caught_by, folder],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([folder, str(ROOT)]), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if tell:
            print(f"{mutant.name}: {run.stdout[:400].strip()}", flush=True)
    if run.returncode == 0:
        return f"{mutant.name}: {mutant.caught_by} holds although {mutant.file} is wrong"
    if run.returncode != _CAUGHT:
        return f"{mutant.name}: the property could not be run:\n{run.stderr[-2000:]}"
    return ""


_CAUGHT = 3


def _check(caught_by: str, folder: str) -> int:
    """In the process of one mutant: return `_CAUGHT` if the property fails on the copy in `folder`."""
    from hypothesis import settings

    module, function = caught_by.split(".")
    test = getattr(importlib.import_module(f"tests.property.{module}"), function)
    import hearth

    assert hearth.__file__ is not None
    assert hearth.__file__.startswith(folder), f"{hearth.__file__} is not the copy"
    test = settings(settings.get_profile("mutants"))(test) if hasattr(test, "hypothesis") else test
    try:
        test()
    except Exception as found:
        print(type(found).__name__, found)
        return _CAUGHT
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        sys.exit(_check(*sys.argv[2:4]))
    wanted = [mutant for mutant in MUTANTS + CLUSTER_MUTANTS if not sys.argv[1:] or mutant.name in sys.argv[1:]]
    found = survivors(wanted, tell=True)
    print("\n".join(found) or f"all {len(wanted)} were caught")
    sys.exit(bool(found))
