"""The laws of the design (DESIGN.md, section 5), each as a check of one story.

A check compares what clients were told, what instances wrote down and what the final database says, and yields a
sentence for each contradiction. Law 7 (memory) is a benchmark's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hearth.domain.instance import InstanceState
from hearth.domain.ranges import EMPTY, RangeSet
from tests.history.evidence import Key, Ran, at_once
from tests.history.output import output_stays
from tests.history.reading import acknowledged, asked_to_delete, gets_of_tasks, owners, runs_named
from tests.history.record import UUID, Exchange, Shown, TaskShown
from tests.history.truth import Row, Truth

FINAL = ("Success", "Failure", "Cancelled")
LOSSES = ("NODE_LOST", "NODE_LOST_TOO_OFTEN")
# Between what a process writes down of its start and its end, and what its spawner measures.
TOLERANCE = 250_000
S = InstanceState


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one platform's life."""

    exchanges: Sequence[Exchange] = ()
    shown: Sequence[Shown] = ()
    ran: Mapping[Key, Ran] = field(default_factory=dict)
    truth: Truth = field(default_factory=Truth)

    def views(self) -> dict[str, list[tuple[Exchange, TaskShown]]]:
        """Return what was shown of each task, in the order in which it was asked."""
        return gets_of_tasks(self.exchanges)


Check = Callable[[Story], Iterator[str]]


def acknowledged_requests_survive(story: Story) -> Iterator[str]:
    """Law 1."""
    deletes = asked_to_delete(story.exchanges)
    by_key: dict[tuple[str, str], set[str]] = {}
    for exchange, uuid in acknowledged(story.exchanges):
        if uuid not in story.truth.tasks and uuid not in deletes and not _goes_by_itself(exchange):
            yield f"task {uuid} was acknowledged, and is not there"
        if exchange.key:
            by_key.setdefault((exchange.account, exchange.key), set()).add(uuid)
    for (_, key), uuids in by_key.items():
        if len(uuids) > 1 and not any(_is_bulk(e) for e, u in acknowledged(story.exchanges) if u in uuids):
            yield f"requests with the key {key} made {len(uuids)} tasks: {sorted(uuids)}"
    known = {uuid: exchange for exchange, uuid in acknowledged(story.exchanges)}
    for exchange in story.exchanges:
        uuid = _uuid_of(exchange)
        made = known.get(uuid)
        is_task = exchange.path.endswith((uuid, "/stdout", "/stderr"))  # and no instance or snapshot of it
        if exchange.status == 404 and is_task and made is not None and made.account == exchange.account:
            assert exchange.heard is not None
            gone = deletes.get(uuid, exchange.heard + 1) < exchange.heard or _goes_by_itself(made)
            if not gone and made.heard is not None and exchange.sent >= made.heard:
                yield f"task {uuid} was acknowledged, then {exchange.method} {exchange.path} was answered with 404"
    for exchange in story.exchanges:
        row = story.truth.tasks.get(_uuid_of(exchange))
        asked = exchange.went_well and exchange.path.endswith(("/abort", "/cancel"))
        if asked and row is not None and row["cancel_requested_at"] is None and row["state"] not in FINAL:
            yield f"a cancel of task {row['uuid']} was acknowledged, and is forgotten"


def every_instance_ends_or_says_why(story: Story) -> Iterator[str]:
    """Law 2."""
    why = {_uuid_of(e): e for e in story.exchanges if e.went_well and e.path.endswith("/why")}
    for uuid, row in story.truth.tasks.items():
        if row["deleted_at"] is not None:
            continue
        ends = [RangeSet.parse(row[name]) for name in ("succeeded", "failed", "cancelled")]
        numbers = RangeSet.parse(row["numbers"])
        ended = ends[0] | ends[1] | ends[2]
        if sum(map(len, ends)) != len(ended) or ended - numbers:
            yield f"task {uuid}: instances ended twice, or never were: {[str(each) for each in ends]} of {numbers}"
        if ended != numbers and not (uuid in why and _says_why(why[uuid].told)):
            yield f"task {uuid}: instances {numbers - ended} did not end, and nothing says why ({row['state']})"


def one_attempt_is_published(story: Story) -> Iterator[str]:
    """Law 3."""
    tasks = {row["id"]: row for row in story.truth.tasks.values()}
    for (task, number), row in story.truth.instances.items():
        name = f"instance {number} of task {_name(tasks, task)}"
        ran = story.ran.get((task, number, row["attempt"]))
        if not _leaves_evidence(story, task) or row["state"] not in (S.SUCCEEDED, S.FAILED):
            continue
        if row["state"] == S.SUCCEEDED and (ran is None or ran.end is None or ran.exit_code != 0):
            yield f"{name} succeeded with attempt {row['attempt']}, which did not: {ran}"
        if ran is not None and ran.end is not None and row["error_code"] not in LOSSES:
            yield from _accounts_for(name, row, ran)
    for bucket in story.shown:
        for key, text in bucket.files.items():
            for run in runs_named(text):
                final = story.truth.instances.get(run[:2])
                if final is not None and final["attempt"] != run[2]:
                    yield f"{bucket.bucket}/{key} is of attempt {run}, and attempt {final['attempt']} counts"
                elif final is not None and final["state"] not in (S.SUCCEEDED, S.FAILED, S.CANCELLED):
                    yield f"{bucket.bucket}/{key} was shown before {run} ended"
    for attempt, found in story.ran.items():
        if found.begins > 1:
            yield f"attempt {attempt} was started {found.begins} times"
    for exchange, view in _all_views(story):
        numbers = [number for number, _ in view.completed]
        if len(numbers) != len(set(numbers)):
            yield f"{exchange.path} shows an instance twice among those that completed"


def _accounts_for(name: str, row: Row, ran: Ran) -> Iterator[str]:
    """The times that are kept are those of the attempt that counts."""
    assert ran.end is not None
    began, ended = row["started_at"], row["exited_at"] or row["ended_at"]
    if began is None or not (began - TOLERANCE <= ran.begin and ran.end <= ended + TOLERANCE):
        yield f"{name} accounts for {began} to {ended}, and its attempt ran from {ran.begin} to {ran.end}"


def losses_cost_no_retries(story: Story) -> Iterator[str]:
    """Law 4."""
    tasks = {row["id"]: row for row in story.truth.tasks.values()}
    failed: dict[tuple[int, int], int] = {}
    lost: dict[tuple[int, int], int] = {}
    for (task, number, attempt), row in story.truth.attempts.items():
        if row["error_code"] == "NODE_FAULT":
            continue  # given back before it began: it counts for nothing
        where = lost if row["error_code"] in LOSSES else failed
        where[(task, number)] = where.get((task, number), 0) + 1
        yield from _failed_by_itself(story, (task, number, attempt), row)
    for (task, number), row in story.truth.instances.items():
        if row["state"] == S.CANCELLED:
            continue
        name = f"instance {number} of task {_name(tasks, task)}"
        too_often = row["error_code"] == "NODE_LOST_TOO_OFTEN"
        failures = failed.get((task, number), 0) + (row["state"] == S.FAILED and not too_often)
        losses = lost.get((task, number), 0) + too_often
        if (row["failures"], row["losses"]) != (failures, losses):
            yield (
                f"{name} counts {row['failures']} failures and {row['losses']} losses, and its attempts were "
                f"{failures} failures and {losses} losses"
            )
        if row["state"] == S.FAILED:
            yield from _failed_by_itself(story, (task, number, row["attempt"]), row)
            rule = tasks.get(task, {})
            allowed = rule.get("retry_per_instance")
            if allowed and not rule["retry_total"] and not too_often and failures != allowed + 1:
                yield f"{name} failed for good after {failures} failures, and {allowed} retries were asked for"
    for task, row in tasks.items():
        retries = sum(count for key, count in failed.items() if key[0] == task)
        if row["deleted_at"] is None and row["retries"] != retries:
            yield f"task {row['uuid']} counts {row['retries']} retries, and {retries} of its attempts were tried again"


def _failed_by_itself(story: Story, key: Key, row: Row) -> Iterator[str]:
    """A failure of the user's is one that the command itself came to."""
    if row["error_code"] != "EXIT_CODE" or not _leaves_evidence(story, key[0]):
        return
    ran = story.ran.get(key)
    if ran is None or ran.end is None or ran.exit_code != row["exit_code"]:
        yield f"attempt {key} is told as a failure with exit code {row['exit_code']}, and what it did is {ran}"


def an_end_is_final(story: Story) -> Iterator[str]:
    """Law 5."""
    for uuid, views in story.views().items():
        ended = [(exchange, view) for exchange, view in views if view.state in FINAL]
        for exchange, first in ended[:1]:
            for later, view in views:
                same = (view.state, view.end_date) == (first.state, first.end_date)
                if exchange.heard is not None and later.sent >= exchange.heard and not same:
                    yield (
                        f"task {uuid} was {first.state} at {first.end_date}, and later {view.state} at {view.end_date}"
                    )
                    break
        for (exchange, view), (later, after) in pairwise(views):
            gone = dict(view.completed).keys() - dict(after.completed).keys()
            changed = [n for n, done in view.completed if n not in gone and dict(after.completed)[n] != done]
            if exchange.heard is not None and later.sent >= exchange.heard and changed:
                yield f"instances {changed} of task {uuid} changed after their end"
        yield from _nothing_ran_on(story, uuid, views)
    by_instance: dict[tuple[int, int], list[tuple[Key, Ran]]] = {}
    for key, ran in sorted(story.ran.items()):
        by_instance.setdefault(key[:2], []).append((key, ran))
    for attempts in by_instance.values():
        for (key, ran), (successor, next_ran) in pairwise(attempts):
            if (ran.end or ran.last) > next_ran.begin:
                yield f"attempt {key} was still at work when attempt {successor} began"


def _nothing_ran_on(story: Story, uuid: str, views: Sequence[tuple[Exchange, TaskShown]]) -> Iterator[str]:
    row = story.truth.tasks.get(uuid)
    if row is None:
        return
    over: dict[int, int] = {}  # instance: when somebody was told first that it is over
    before = EMPTY
    for exchange, view in views:
        now = view.executed
        assert exchange.heard is not None
        for number in now - before:
            over[number] = exchange.heard
        before = before | now
    for (task, number, attempt), ran in story.ran.items():
        if task == row["id"] and number in over and max(ran.last, ran.end or 0) > over[number]:
            yield f"attempt {attempt} of instance {number} of task {uuid} ran on after its end was told"


def states_match_counts(story: Story) -> Iterator[str]:
    """Law 6, and that ranges only grow."""
    for uuid, views in story.views().items():
        for _, view in views:
            yield from (f"task {uuid}: {wrong}" for wrong in contradictions(view))
        for (exchange, view), (later, after) in pairwise(views):
            if exchange.heard is None or later.sent < exchange.heard:
                continue
            for name in ("succeeded", "failed", "cancelled", "executed", "not_well", "started"):
                if lost := getattr(view, name) - getattr(after, name):
                    yield f"task {uuid}: instances {lost} left the range {name}"
            if after.results_count < view.results_count:
                yield f"task {uuid}: its results went from {view.results_count} to {after.results_count}"


def contradictions(view: TaskShown) -> Iterator[str]:
    """Say what one answer contradicts of itself."""
    ended = view.succeeded | view.failed | view.cancelled
    if len(ended) != len(view.succeeded) + len(view.failed) + len(view.cancelled) or ended - view.numbers:
        yield f"its ends are no parts of {view.numbers}: {view.succeeded}, {view.failed}, {view.cancelled}"
    if view.executed != ended or view.not_well != view.failed | view.cancelled:
        yield f"executed {view.executed} and failed {view.not_well} are no unions of its ends"
    if view.succeeded - view.started:
        yield f"{view.succeeded - view.started} succeeded without a start"
    if dict(view.completed).keys() - set(ended):
        yield f"{sorted(dict(view.completed).keys() - set(ended))} completed, and are in no range"
    if ended == view.numbers:
        state = "Cancelled" if view.cancelled else "Failure" if view.failed else "Success"
        right = {state}
    else:
        right = {"PendingCancel", "PendingDelete"}
        if view.running:
            right |= {"PartiallyExecuting", "FullyExecuting"}
        else:
            right |= {"Submitted", "PartiallyDispatched", "FullyDispatched", "PartiallyExecuting", "UploadingResults"}
    if view.state not in right:
        yield f"it is {view.state} with {len(ended)} of {len(view.numbers)} ended and {view.running} running"
    if abs(view.progress - 100.0 * len(ended) / (len(view.numbers) or 1)) > 0.01:
        yield f"its progress is {view.progress} with {len(ended)} of {len(view.numbers)} ended"
    if (view.end_date is not None) != (view.state in FINAL):
        yield f"it is {view.state}, and its end is {view.end_date}"


def shown_output_stays(story: Story) -> Iterator[str]:
    """Law 8."""
    return output_stays(story.exchanges)


def nobody_sees_what_is_anothers(story: Story) -> Iterator[str]:
    """Law 9."""
    owner = owners(story.exchanges)
    tasks = {row["id"]: story.truth.emails.get(row["account_id"]) for row in story.truth.tasks.values()}
    for exchange in story.exchanges:
        asked = set(UUID.findall(f"{exchange.path} {exchange.query} {exchange.body}"))
        foreign = {uuid for uuid in exchange.mentions - asked if owner.get(uuid, exchange.account) != exchange.account}
        if foreign:
            yield f"{exchange.account} asked for {exchange.method} {exchange.path} and saw {sorted(foreign)}"
        uuid = _uuid_of(exchange)
        if exchange.went_well and owner.get(uuid, exchange.account) != exchange.account:
            yield f"{exchange.account} did {exchange.method} {exchange.path}, which is {owner[uuid]}'s"
    for bucket in story.shown:
        for key, text in bucket.files.items():
            if any(tasks.get(run[0], bucket.account) != bucket.account for run in runs_named(text)):
                yield f"{bucket.account} saw {bucket.bucket}/{key}, which is of another account's task"


def quotas_hold(story: Story) -> Iterator[str]:
    """Law 10."""
    of_account: dict[str, dict[Key, Ran]] = {}
    tasks = {row["id"]: row for row in story.truth.tasks.values()}
    for key, ran in story.ran.items():
        if (row := tasks.get(key[0])) is not None:
            of_account.setdefault(story.truth.emails[row["account_id"]], {})[key] = ran
    for email, ran_there in of_account.items():
        limits = story.truth.limits.get(email, {})
        most, allowed = at_once(ran_there), limits.get("max_instances", 0)
        if allowed and most > allowed:
            yield f"{email} had {most} instances at work at once, and may have {allowed}"
    made: dict[str, int] = {}
    for row in story.truth.tasks.values():
        if row["deleted_at"] is None:
            email = story.truth.emails[row["account_id"]]
            made[email] = made.get(email, 0) + 1
    for email, count in made.items():
        allowed = story.truth.limits.get(email, {}).get("max_tasks", 0)
        if allowed and count > allowed:
            yield f"{email} has {count} tasks, and may have {allowed}"


LAWS: dict[str, Check] = {
    "1 acknowledged requests survive": acknowledged_requests_survive,
    "2 every instance ends or says why": every_instance_ends_or_says_why,
    "3 one attempt is published": one_attempt_is_published,
    "4 losses cost no retries": losses_cost_no_retries,
    "5 an end is final": an_end_is_final,
    "6 states match counts": states_match_counts,
    "8 shown output stays": shown_output_stays,
    "9 nobody sees what is another's": nobody_sees_what_is_anothers,
    "10 quotas hold": quotas_hold,
}


def check(story: Story, leaving_out: Collection[str] = ()) -> list[str]:
    """Return each contradiction, with the law that it breaks."""
    laws = {law: holds for law, holds in LAWS.items() if law not in leaving_out}
    return [f"law {law}: {sentence}" for law, holds in laws.items() for sentence in holds(story)]


def _all_views(story: Story) -> Iterable[tuple[Exchange, TaskShown]]:
    return (each for views in story.views().values() for each in views)


def _name(tasks: Mapping[int, Row], task: int) -> str:
    return str(tasks[task]["uuid"]) if task in tasks else f"number {task}"


def _uuid_of(exchange: Exchange) -> str:
    found = UUID.search(exchange.path)
    return found[0] if found else ""


def _is_bulk(exchange: Exchange) -> bool:
    return isinstance(exchange.body, list)


def _goes_by_itself(exchange: Exchange) -> bool:
    """Whether the task was to be removed by the platform itself."""
    asked = exchange.body if isinstance(exchange.body, list) else [exchange.body or {}]
    return any(each.get("autoDeleteOnCompletion") or each.get("completionTimeToLive") for each in asked)


def _says_why(told: object) -> bool:
    return bool(told)


def _leaves_evidence(story: Story, task: int) -> bool:
    """Whether instances of a task write evidence: at least one did."""
    return any(key[0] == task for key in story.ran)
