"""A site's rows and the commands that change them: what accounts ask, and what nodes tell."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hearth.control import cancel, claim, report, submit, sync
from hearth.control.changes import Changes
from hearth.control.claim import Grant
from hearth.control.report import Outcome
from hearth.control.store_output import OutputLimits
from hearth.control.submit import NewTask
from hearth.domain.errors import HearthError
from hearth.domain.profile import Profile
from hearth.domain.quota import Limits
from hearth.domain.ranges import RangeSet
from hearth.domain.spec import TaskSpec
from hearth.scheduler.fit import NodeRoom
from hearth.store.door import Store
from hearth.store.queries import accounts, blobs, buckets, instances, tasks
from hearth.store.queries.instances import InstanceRow
from hearth.store.queries.tasks import TaskRow
from hearth.wire import agent as wire

SECOND = 1_000_000
LEASE = 600 * SECOND
BOOT = 7
LOSSES_ALLOWED = 2
PROFILE = Profile("docker-batch")
OFFER = wire.Offer(cores=4, memory_bytes=1 << 34, runtime="process", isolated=False, takes_images=False)

OUTPUT_LIMITS = OutputLimits(instance_bytes=1 << 20, task_bytes=1 << 24)

Key = tuple[int, int, int]  # task, number, attempt


def a_task(
    count: int = 1,
    *,
    numbers: str | None = None,
    name: str = "work",
    shortname: str | None = None,
    profile: str = PROFILE.name,
    uuid: str = "",
    **spec: Any,
) -> NewTask:
    """A task as the API hands it to `submit`."""
    given = RangeSet.count(count) if numbers is None else RangeSet.parse(numbers)
    return NewTask(name, shortname, profile, given, TaskSpec(from_ranges=numbers is not None, **spec), uuid)


def keys(grants: Iterable[Grant]) -> list[Key]:
    """Every attempt in these grants, in order."""
    return sorted((grant.task.id, number, grant.attempt) for grant in grants for number in grant.numbers)


def started(key: Key, at: int = 30) -> wire.Started:
    return wire.Started(*key, at)


def wrote(key: Key, data: bytes, *, offset: int = 0, stream: int = 0) -> wire.Output:
    return wire.Output(*key, stream, offset, data)


def exited(key: Key, exit_code: int = 0, at: int = 40) -> wire.Exited:
    return wire.Exited(*key, exit_code, at)


def succeeded(
    key: Key, *, at: int = 50, files: Sequence[wire.ResultFile] = (), notes: Sequence[str] = ()
) -> wire.Ended:
    return wire.Ended(*key, at=at, exit_code=0, started_at=30, exited_at=40, files=list(files), notes=list(notes))


def failed(key: Key, *, at: int = 50, files: Sequence[wire.ResultFile] = ()) -> wire.Ended:
    return wire.Ended(
        *key,
        at=at,
        exit_code=3,
        error_code="EXIT_CODE",
        error_message="the command ended with exit code 3",
        started_at=30,
        exited_at=40,
        files=list(files),
    )


def lost(key: Key) -> wire.Ended:
    return wire.Ended(*key, at=50, error_message="its process is not there any more", lost=True)


def given_back(key: Key, why: str) -> wire.Ended:
    return wire.Ended(*key, at=50, error_message=why, lost=True, returned=True)


@dataclass
class World:
    """The rows of one site; its clock stands until it is moved."""

    store: Store
    prefix: str = "0"  # of the ids that it makes
    now: int = 1000 * SECOND
    limits: OutputLimits = OUTPUT_LIMITS
    profiles: dict[str, Profile] = field(default_factory=lambda: {PROFILE.name: PROFILE})
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def new_uuid(self) -> str:
        return f"{self.prefix:0>8}-0000-7000-8000-{next(self._numbers):012x}"

    async def account(self, **limits: int) -> int:
        """Make an account; return its number."""
        number = f"{self.prefix}-{next(self._numbers)}"
        row = await self.store.write(
            accounts.create,
            uuid=f"account-{number}",
            email=f"{number}@example.org",
            limits=Limits(**limits),
            project_uuid=f"project-{number}",
            now=self.now,
        )
        return row.id

    async def node(self, name: str = "engine", *, boot: int = BOOT) -> int:
        """Make a node; return its number."""
        row = await self.store.write(sync.greet, self.said(name, boot=boot), self.now, self.now + LEASE)
        return row.id

    def said(
        self, name: str = "engine", *, boot: int = BOOT, counter: int = 1, holds: Sequence[wire.Held] = ()
    ) -> wire.Sync:
        """What a node says when it asks for work."""
        return wire.Sync(
            protocol=wire.PROTOCOL,
            node=name,
            boot=boot,
            counter=counter,
            seen=0,
            incarnation="",
            offer=OFFER,
            room=wire.Room(),
            holds=list(holds),
        )

    async def submit_all(self, account_id: int, *new: NewTask) -> list[str | HearthError]:
        """Submit tasks in one call; each outcome is a uuid or a refusal."""
        named = [
            (NewTask(t.name, t.shortname, t.profile, t.numbers, t.spec, t.uuid or self.new_uuid(), t.priority), p)
            for t in new
            for p in [self.profiles.get(t.profile)]
        ]
        return await self.store.write(submit.insert, account_id, named, self.now)

    async def submit(self, account_id: int, count: int = 1, **asked: Any) -> int:
        """Submit one task, raising its refusal; return its number."""
        [outcome] = await self.submit_all(account_id, a_task(count, **asked))
        if isinstance(outcome, HearthError):
            raise outcome
        return (await self.store.read(tasks.ids_of, [outcome]))[outcome]

    async def claim(self, node_id: int, cores: float = 4.0, *, ahead: int = 0, boot: int = BOOT) -> list[Grant]:
        """Give waiting instances to a node with that much room."""
        return await self.claim_for(NodeRoom(node_id, cores, 1 << 40, ahead), boot=boot)

    async def claim_for(self, *rooms: NodeRoom, boot: int = BOOT) -> list[Grant]:
        """Give waiting instances to nodes."""
        return await self.store.write(claim.claim, list(rooms), {r.node_id: boot for r in rooms}, self.now)

    async def report(self, **items: list[Any]) -> Outcome:
        """Store what a node tells."""
        return await self.store.write(
            report.report,
            self.message(**items),
            now=self.now,
            losses_allowed=LOSSES_ALLOWED,
            limits=self.limits,
        )

    def message(self, **items: list[Any]) -> wire.Report:
        return wire.Report(wire.PROTOCOL, "engine", BOOT, "", wire.Room(), seen=0, counter=1, **items)

    async def cancel(self, account_id: int, task_id: int, *, delete: bool = False) -> Changes:
        """Cancel, or delete, a task by its uuid."""
        task = await self.task(task_id)
        return await self.store.write(cancel.cancel, account_id, task.uuid, self.now, delete=delete)

    async def lose(self, *gone: Key, reason: str = "the node is gone") -> Changes:
        return await self.store.write(sync.lose, list(gone), self.now, reason=reason, losses_allowed=LOSSES_ALLOWED)

    async def task(self, task_id: int) -> TaskRow:
        row = await self.store.read(tasks.get, task_id)
        assert row is not None
        return row

    async def instance(self, task_id: int, number: int) -> InstanceRow:
        row = await self.store.read(instances.get, task_id, number)
        assert row is not None
        return row

    async def bucket(self, account_id: int, name: str) -> int:
        return (await self.store.write(buckets.create, account_id, name, self.now)).id

    async def result(self, account_id: int, path: str, data: bytes = b"result") -> wire.ResultFile:
        """Upload a file as agents do: a blob that no bucket shows yet."""
        blob = await self.store.write(blobs.add_small, account_id, data, self.now)
        return wire.ResultFile(path, blob, len(data), f"etag-{blob}")
