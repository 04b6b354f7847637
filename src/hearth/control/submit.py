"""Submit tasks: one, or thousands in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from hearth.control.accounts import Account
from hearth.control.hardware import NO_RULES, HardwareRules, Shaper
from hearth.control.once import Done, Once, Outcome, nth_slice, once
from hearth.control.site import Site
from hearth.domain.constants import run_seconds
from hearth.domain.demand import Shape
from hearth.domain.errors import Conflict, HearthError, Invalid, Missing
from hearth.domain.profile import Profile
from hearth.domain.quota import Limits, require_room_for_tasks
from hearth.domain.ranges import RangeSet
from hearth.domain.spec import TaskSpec
from hearth.domain.task import TaskState
from hearth.store.queries import accounts_counters, buckets, clean_up, history, shapes, tasks

# How many tasks one transaction takes: nobody else's write should wait longer than some 20 ms. A list that comes
# twice under one key is recognised slice by slice, so a server with another number would not know its slices.
SLICE = 200


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task as it was submitted, checked in itself but not yet against what there is."""

    name: str
    shortname: str | None  # None: the uuid
    profile: str
    numbers: RangeSet
    spec: TaskSpec
    uuid: str
    priority: int = 0
    project_id: int | None = None  # None: the account's default


async def submit_tasks(
    site: Site, account: Account, new: Sequence[NewTask | HearthError], request: Once | None = None
) -> list[Outcome]:
    """Accept tasks, each by itself; return its uuid or why it was refused, in the same order.

    Those that are refusals already stay what they are.
    """
    outcomes: list[Outcome] = []
    began = site.now()
    rules = HardwareRules.of(site.settings)
    for begin in range(0, len(new), SLICE):
        part = new[begin : begin + SLICE]
        key = nth_slice(request, begin // SLICE)
        done = await site.store.write(
            _insert_once, account.id, _with_profiles(site, part), site.now(), key, began, rules
        )
        began = done.began
        outcomes.extend(done.outcomes)
        site.work_waits()
    return outcomes


async def submit_task(site: Site, account: Account, new: NewTask, request: Once | None = None) -> str:
    """Accept one task and return its uuid; raise why it was refused."""
    now = site.now()
    rules = HardwareRules.of(site.settings)
    done = await site.store.write(_insert_once, account.id, _with_profiles(site, [new]), now, request, now, rules)
    [outcome] = done.outcomes
    if isinstance(outcome, HearthError):
        raise outcome
    site.work_waits()
    return outcome


_Item = tuple[NewTask, Profile | None] | HearthError


def _with_profiles(site: Site, new: Sequence[NewTask | HearthError]) -> list[_Item]:
    return [task if isinstance(task, HearthError) else (task, site.profiles.get(task.profile)) for task in new]


def _insert_once(
    connection: Connection,
    account_id: int,
    items: Sequence[_Item],
    now: int,
    request: Once | None,
    began: int,
    rules: HardwareRules,
) -> Done:
    def make() -> list[Outcome]:
        told = iter(insert(connection, account_id, [item for item in items if isinstance(item, tuple)], now, rules))
        return [next(told) if isinstance(item, tuple) else item for item in items]

    return once(connection, account_id, request, began, make)


def insert(
    connection: Connection,
    account_id: int,
    new: Sequence[tuple[NewTask, Profile | None]],
    now: int,
    rules: HardwareRules = NO_RULES,
) -> list[str | HearthError]:
    """Store what can be accepted, in one transaction."""
    counters = accounts_counters.lock(connection, [account_id])[account_id]
    checks = _Checks(connection, account_id, counters, [task for task, _ in new], now)
    shaper = Shaper(connection, rules)
    outcomes: list[str | HearthError] = []
    rows = []
    asked: list[Shape] = []
    for task, profile in new:
        try:
            profile = checks.require_profile(task, profile)
            shape = shaper.shape(profile, task.spec)
            checks.require(task)
        except HearthError as refusal:
            outcomes.append(refusal)
        else:
            rows.append(_row(account_id, task, shape, now))
            asked.append(shape)
            outcomes.append(task.uuid)
    if rows:
        shape_ids = shapes.ids_of(connection, account_id, set(asked))
        for row, shape in zip(rows, asked, strict=True):
            row["shape_id"] = shape_ids[shape]
        tasks.insert_many(connection, rows)
        accepted = [task for (task, _), outcome in zip(new, outcomes, strict=True) if isinstance(outcome, str)]
        ids = tasks.ids_of(connection, [task.uuid for task in accepted])
        tasks.add_tags(
            connection,
            [
                {"account_id": account_id, "tag": tag, "task_id": ids[task.uuid]}
                for task in accepted
                for tag in dict.fromkeys(task.spec.tags)
            ],
        )
        submitted = TaskState.SUBMITTED.value
        history.add(connection, [history.line(account_id, ids[t.uuid], now, "state", submitted) for t in accepted])
        clean_up.remove(connection, checks.replaced, now)
        change = accounts_counters.Change(tasks=len(rows), active_tasks=len(rows))
        accounts_counters.apply(connection, {account_id: change})
    return outcomes


class _Checks:
    """What a submit is checked against, read once for the whole slice."""

    def __init__(
        self,
        connection: Connection,
        account_id: int,
        counters: accounts_counters.Counters,
        new: Sequence[NewTask],
        now: int,
    ) -> None:
        self._connection, self._account_id, self._now = connection, account_id, now
        self._made: set[str] = set()
        self.limits: Limits = counters.limits
        self.have = counters.tasks
        self.replaced: list[int] = []  # ended tasks that go, so that there is room
        self._may_go: list[int] | None = None
        self._left = len(new)
        self.taken = tasks.shortnames_taken(connection, account_id, [t.shortname for t in new if t.shortname])
        names = {resource.name for task in new for resource in task.spec.resources}
        self.absent = {name for name in names if buckets.find(connection, account_id, name) is None}

    @staticmethod
    def require_profile(task: NewTask, profile: Profile | None) -> Profile:
        """Return the profile; raise when there is none, or it cannot make sense of the task's constants."""
        if profile is None:
            raise Invalid("profile", f"there is no profile '{task.profile}'; GET /profiles lists those that there are")
        run_seconds(profile, task.spec)
        return profile

    def require(self, task: NewTask) -> None:
        """Raise when the task cannot be accepted; else count it."""
        for resource in task.spec.resources:
            if resource.name in self.absent:
                raise Missing("bucket", resource.name)
        if len(task.numbers) > self.limits.max_instances_per_task:
            raise Invalid(
                "advancedRanges" if task.spec.from_ranges else "instanceCount",
                f"{len(task.numbers)} instances are more than the {self.limits.max_instances_per_task} "
                "that one task may have; submit several tasks",
            )
        going = self._going()
        require_room_for_tasks(self.limits, self.have - len(going), 1)
        if task.shortname and task.shortname in self.taken:
            raise Conflict(f"shortname: '{task.shortname}' is the name of another task of yours; choose another")
        if (results := task.spec.result_bucket) and results not in self._made:
            buckets.create(self._connection, self._account_id, results, self._now)
            self._made.add(results)
        if task.shortname:
            self.taken.add(task.shortname)
        self.replaced += going
        if going and self._may_go:
            del self._may_go[: len(going)]
        self.have += 1 - len(going)

    def _going(self) -> list[int]:
        """Return the oldest ended tasks that may go, as many as make room for one more."""
        most = self.limits.max_tasks
        if not most or self.have < most:
            return []
        if self._may_go is None:
            self._may_go = clean_up.oldest_that_may_go(
                self._connection, self._account_id, self._left + self.have - most
            )
        return self._may_go[: self.have + 1 - most]


def _row(account_id: int, task: NewTask, shape: Shape, now: int) -> dict[str, object]:
    numbers = str(task.numbers)
    total = task.spec.retries.total
    each = task.spec.retries.per_instance or task.spec.max_retries_per_instance
    return {
        "account_id": account_id,
        "uuid": task.uuid,
        "shortname": task.shortname or task.uuid,
        "name": task.name,
        "profile": task.profile,
        "spec": tasks.spec_to_json(task.spec),
        "numbers": numbers,
        "instance_total": len(task.numbers),
        "waiting": numbers,
        "waiting_count": len(task.numbers),
        "retry_total": total,
        "retry_per_instance": each,
        "project_id": task.project_id,
        "queue_deadline_at": now + task.spec.max_queue_seconds * 1_000_000 if task.spec.max_queue_seconds else None,
        "completion_ttl_seconds": task.spec.completion_ttl_seconds,
        "auto_delete": int(task.spec.auto_delete),
        "demand_cores": shape.cores,
        "demand_memory": shape.memory_bytes,
        "scheduling": int(shape.scheduling),
        "priority": task.priority,
        "state": TaskState.SUBMITTED.value,
        "state_changed_at": now,
        "created_at": now,
        "modified_at": now,
    }
