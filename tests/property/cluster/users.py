"""What users ask for beyond submit, cancel, delete and read: snapshots, pushes, the same request twice, tasks anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from hearth.control import derive, push, snapshot, submit
from hearth.control.accounts import Account
from hearth.control.once import Once
from hearth.domain.errors import HearthError, Invalid, Missing
from hearth.domain.ranges import RangeSet
from hearth.domain.snapshot import Wish
from hearth.domain.spec import TaskSpec
from tests.property.cluster.server import Server
from tests.property.cluster.snapshots import BUCKET

Ask = Callable[[str, Callable[[Server], Any]], Awaitable[Any]]
# What may happen next, and how often it usually does.
ACTIONS = {"snapshot": 6.0, "snapshot_often": 3.0, "push": 4.0, "submit_twice": 2.0, "run_again": 1.5}


@dataclass(slots=True)
class _Keyed:
    """A request with an Idempotency-Key, and what was answered so far."""

    account: Account
    new: submit.NewTask
    answers: set[str] = field(default_factory=set)


class Users:
    """Asks the server; what was wrong with an answer is told."""

    def __init__(
        self,
        chance: Random,
        ask: Ask,
        tell: Callable[[str], None],
        tasks: dict[str, Account],
        gone: Callable[[str], bool],
    ) -> None:
        """`tasks` are those that were acknowledged, with their owners; `gone` says whether one may be missing."""
        self._chance = chance
        self._ask = ask
        self._tell = tell
        self._tasks = tasks
        self._gone = gone
        self._keyed: dict[str, _Keyed] = {}
        self._count = 0

    async def act(self, name: str, accounts: list[Account]) -> None:
        """Do one of the actions."""
        if name == "submit_twice":
            await self._submit_twice(accounts)
        elif self._tasks:
            newest = list(self._tasks)[-3:]  # which may still run
            task = self._chance.choice(newest if self._chance.random() < 0.7 else list(self._tasks))
            await getattr(self, f"_{name}")(task, self._tasks[task])

    def _may(self, task: str, answer: object, *refusals: type[HearthError]) -> None:
        is_missing = isinstance(answer, Missing) and self._gone(task)
        if isinstance(answer, HearthError) and not is_missing and not isinstance(answer, refusals):
            self._tell(f"{task}: {answer!r}")

    async def _snapshot(self, task: str, owner: Account) -> None:
        answer = await self._ask(f"snapshot {task}", lambda s: snapshot.take_snapshot(s.site, owner.id, task, Wish()))
        self._may(task, answer, Invalid)

    async def _snapshot_often(self, task: str, owner: Account) -> None:
        seconds = self._chance.choice([0, 5, 20])
        answer = await self._ask(
            f"snapshot {task} every {seconds} s",
            lambda s: snapshot.take_periodic_snapshots(s.site, owner.id, task, seconds, Wish()),
        )
        self._may(task, answer)

    async def _push(self, task: str, owner: Account) -> None:
        answer = await self._ask(f"push to {task}", lambda s: push.push_resources(s.site, owner.id, task))
        self._may(task, answer, Invalid)

    async def _submit_twice(self, accounts: list[Account]) -> None:
        """Send a request and a copy of it at the same time, or a copy of an earlier one."""
        chance = self._chance
        if self._keyed and chance.random() < 0.5:
            key = chance.choice(list(self._keyed))
        else:
            self._count += 1
            key = f"key-{self._count}"
            new = submit.NewTask(
                key, None, "any", RangeSet.count(1), TaskSpec(snapshot_bucket=BUCKET), f"keyed-{self._count}"
            )
            self._keyed[key] = _Keyed(chance.choice(accounts), new)
        keyed = self._keyed[key]
        copies = [replace(keyed.new, uuid=f"{keyed.new.uuid}-{chance.getrandbits(40):x}") for _ in range(2)]
        answers = await asyncio.gather(
            *(
                self._ask(
                    f"submit {key} as {copy.uuid}",
                    lambda s, copy=copy: submit.submit_task(s.site, keyed.account, copy, Once(key, "the same")),
                )
                for copy in copies
            )
        )
        keyed.answers |= {answer for answer in answers if isinstance(answer, str)}
        if len(keyed.answers) > 1:
            self._tell(f"the request {key} made more than one task: {sorted(keyed.answers)}")
        for uuid in keyed.answers:
            self._tasks.setdefault(uuid, keyed.account)

    async def _run_again(self, task: str, owner: Account) -> None:
        again = self._chance.choice(list(derive.Again))
        self._count += 1
        uuid = f"again-{self._count}"

        async def run(server: Server) -> str:
            found = await server.store.read(derive.source, owner.id, task, again)
            # It stays: its name must be found whenever somebody asks for it.
            spec = replace(found.row.parsed_spec(), hardware=(), auto_delete=False, completion_ttl_seconds=0)
            new = submit.NewTask("again", None, "any", found.numbers, spec, uuid)
            return await submit.submit_task(server.site, owner, new)

        answer = await self._ask(f"{again.value} {task}", run)
        if isinstance(answer, str):
            self._tasks[answer] = owner

    def check(self, names: list[str]) -> None:
        """Check the names of all tasks that ever were: each key made one at most, and one if it was acknowledged."""
        for key, keyed in self._keyed.items():
            if (made := names.count(key)) != 1 and (made or keyed.answers):
                self._tell(f"the request {key} was answered with {keyed.answers}, and made {made} tasks")
