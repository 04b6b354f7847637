"""A whole cluster in one thread: the real server, the real logic of the agents, and everything that can go wrong.

    python -m tests.property.simulate --seeds 0-199 --steps 150 [--trace]

Time is virtual and chance comes from the seed, so a seed always tells the same story. Servers, agents and machines
crash and return, the network loses, delays, doubles and reorders, and users submit, cancel, delete and read; after
each commit and at each start of a process the laws of the design are checked (cluster/watch.py). When the faults
stop, everything must drain. One line per failing seed says what was broken, and when.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from unittest import mock

import msgspec
import structlog
from sqlalchemy import create_engine, event
from sqlalchemy.pool import StaticPool

from hearth.agent import logic, outbox
from hearth.control import cancel, delete, read_output, submit
from hearth.control.accounts import Account
from hearth.domain.errors import Conflict, HearthError, Missing
from hearth.domain.quota import Limits
from hearth.domain.ranges import RangeSet
from hearth.domain.spec import Retries, TaskSpec
from hearth.store.tables import metadata
from tests.property.cluster.clock import VirtualLoop
from tests.property.cluster.machine import Machine
from tests.property.cluster.network import Network, Unreachable, Weather
from tests.property.cluster.node import Node
from tests.property.cluster.server import LEASE, Server, add_account
from tests.property.cluster.snapshots import BUCKET as SNAPSHOTS
from tests.property.cluster.users import ACTIONS as USERS_ACTIONS
from tests.property.cluster.users import Users
from tests.property.cluster.watch import Watch

DRAIN_SECONDS = 7200.0
IMPOSSIBLE_CORES = 64
# What may happen next, and how often it usually does.
ACTIONS = {
    "submit": 12.0,
    "cancel": 3.0,
    "delete": 1.5,
    "read": 8.0,
    "crash_server": 2.0,
    "crash_agent": 3.0,
    "crash_machine": 1.0,
    "shut_agent_down": 1.0,
    "cut_off": 3.0,
    "change_weather": 3.0,
    **USERS_ACTIONS,
}


class Broken(Exception):
    """A law was broken."""


@dataclass(slots=True)
class Reader:
    """What a user has read of a task's fresh output."""

    text: bytes = b""
    is_whole: bool = True  # no answer was lost, so that all of it is here


@dataclass(slots=True)
class Story:
    """What happened with one seed."""

    seed: int
    broken: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    commits: int = 0
    processes: int = 0
    ended: dict[str, int] = field(default_factory=dict)


class Simulation:
    """One cluster, from its first task to its last."""

    def __init__(self, seed: int, steps: int) -> None:
        self.story = Story(seed)
        self.chance = Random(seed)
        self.steps = steps
        self.loop = VirtualLoop()
        self.loop.set_exception_handler(self._escaped)
        self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        event.listen(self.engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys=ON"))
        metadata.create_all(self.engine)
        self.network = Network(Random(seed + 1))
        self.machines = [
            Machine(f"node-{number}", self.chance.choice([1.0, 2.0, 4.0]), seed, ends_leases=self.chance.random() < 0.7)
            for number in range(self.chance.randint(1, 4))
        ]
        for machine in self.machines:
            machine.started = functools.partial(self._started, machine)
        self.watch = Watch(self.engine, self.machines, self._is_tended, self._tell)
        self.nodes: dict[str, Node] = {}
        self.boots = 0
        self.server: Server | None = None
        self.returns: dict[str, float] = {}  # what is down, and when it comes back
        self.accounts: list[Account] = []
        self.tasks: dict[str, Account] = {}  # acknowledged
        self.impossible: list[str] = []
        self.deleted: set[str] = set()
        self.going: set[str] = set()  # tasks that go by themselves
        self.watch.deletes = self.deleted
        self.users = Users(self.chance, self._command, self._tell, self.tasks, self._may_be_gone)
        self.readers: dict[str, Reader] = {}
        # Some seeds know no server crashes, others nothing else: rare meetings of two faults need room.
        self.weights = {name: usual * self.chance.choice([0.0, 0.3, 1.0, 2.0]) for name, usual in ACTIONS.items()}
        self.weights["submit"] = self.weights["submit"] or 1.0
        self.pause = self.chance.choice([0.3, 1.0, 4.0])

    # Telling

    def _tell(self, law: str) -> None:
        self.story.broken.append(f"at {self.loop.time():.3f}: {law}")

    def note(self, text: str) -> None:
        """Write a line of the trace."""
        self.story.trace.append(f"{self.loop.time():10.3f} {text}")

    def _escaped(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and not isinstance(error, Unreachable):
            self._tell(f"{context['message']}: {_place(error)}")

    def _is_tended(self, machine: Machine) -> bool:
        node = self.nodes.get(machine.name)
        if machine.ends_leases:
            return True
        return node is not None and machine.lease_until is not None and not node.came_too_late

    def _started(self, machine: Machine, run: Any) -> None:
        self.note(f"{machine.name} starts {run.key}")
        self.watch.started(machine, run)

    def _committed(self) -> None:
        self.story.commits += 1
        self.watch.committed()

    # The story

    def run(self) -> Story:
        """Let it happen."""
        asyncio.set_event_loop(self.loop)
        _LISTENERS.append(self._loop_failed)
        try:
            self.loop.run_until_complete(self._run())
        except Broken:
            pass
        finally:
            _LISTENERS.remove(self._loop_failed)
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.set_exception_handler(lambda loop, context: None)
            self.loop.run_until_complete(asyncio.sleep(0.001))
            self.loop.close()
            asyncio.set_event_loop(None)
            self.engine.dispose()
        self.story.processes = len(self.watch.processes)
        return self.story

    def _loop_failed(self, error: BaseException | None) -> None:
        self._tell(f"a loop of the server failed: {_place(error) if error else ''}")

    async def _run(self) -> None:
        with self.engine.begin() as connection:
            for number in range(2):
                limits = Limits(
                    max_tasks=self.chance.choice([4, 100]),
                    max_instances=self.chance.choice([2, 5, 100]),
                    max_cores=self.chance.choice([3, 100]),
                )
                key = add_account(connection, number, msgspec.json.encode(limits).decode())
                self.accounts.append(Account(key, f"account-{number}", f"user{number}@example.org", limits))
        self._start_server()
        for machine in self.machines:
            self._start_agent(machine)
        for _ in range(self.steps):
            self._return_what_is_due()
            await self._act()
            await asyncio.sleep(self.pause * self.chance.choice([0.0, 0.1, 1.0, 3.0, 10.0]) * self.chance.random())
            self._stop_if_broken()
        await self._drain()

    def _stop_if_broken(self) -> None:
        if self.story.broken:
            raise Broken

    async def _act(self) -> None:
        [name] = self.chance.choices(list(self.weights), list(self.weights.values()))
        if name in USERS_ACTIONS:
            await self.users.act(name, self.accounts)
        else:
            await getattr(self, f"_{name}")()

    # Users

    async def _command(self, what: str, make: Callable[[Server], Any]) -> Any:
        """Ask the server for something; return its answer, an error it gave, or None when it died or is away."""
        server = self.server
        if server is None:
            return None
        try:
            answer = await server.command(make(server))
        except HearthError as refusal:
            answer = refusal
        self.note(f"{what}: {answer!r:.80}")
        return answer

    async def _submit(self) -> None:
        chance = self.chance
        account = chance.choice(self.accounts)
        size = chance.choice([1, 1, 2, 5, 12])
        cores = chance.choice([1, 1, 1, 2, IMPOSSIBLE_CORES]) if chance.random() < 0.3 else 1
        spec = TaskSpec(
            result_bucket=chance.choice(["", "", "results"]),
            results_prefix=f"{len(self.story.trace)}/",
            upload_on_cancel=chance.random() < 0.3,
            snapshot_bucket=SNAPSHOTS,
            snapshot_prefix=f"{len(self.story.trace)}/",
            max_queue_seconds=chance.choice([None, None, None, 5, 60]),
            completion_ttl_seconds=chance.choice([0, 0, 0, 1, 30]),
            auto_delete=chance.random() < 0.1,
            retries=Retries(chance.choice([None, None, 1, 5]), chance.choice([None, 1, 2])),
            hardware=({"discriminator": "MinimumCoreHardwareConstraint", "coreCount": cores},),
        )
        new = submit.NewTask("a task", None, "any", RangeSet.count(size), spec, f"uuid-{len(self.story.trace)}")
        answer = await self._command(
            f"submit {size} x {cores} cores", lambda s: submit.submit_task(s.site, account, new)
        )
        if isinstance(answer, str):
            self.tasks[answer] = account
            if spec.auto_delete or spec.completion_ttl_seconds:
                self.going.add(answer)
            if cores > max(machine.cores for machine in self.machines) or cores > account.limits.max_cores:
                self.impossible.append(answer)

    def _some_task(self) -> str | None:
        return self.chance.choice(list(self.tasks)) if self.tasks else None

    async def _cancel(self, task: str | None = None) -> None:
        task = task or self._some_task()
        if task is not None:
            account = self.tasks[task].id
            answer = await self._command(f"cancel {task}", lambda s: cancel.cancel_task(s.site, account, task))
            self._expect(task, answer)

    async def _delete(self) -> None:
        task = self._some_task()
        if task is not None:
            account = self.tasks[task].id
            self.deleted.add(task)
            answer = await self._command(f"delete {task}", lambda s: delete.delete_task(s.site, account, task))
            self._expect(task, answer)

    async def _read(self) -> None:
        task = self._some_task()
        if task is None or self.server is None:
            return
        account = self.tasks[task].id

        def reading(fresh: bool) -> Callable[[Server], Any]:
            read = read_output.read_fresh if fresh else read_output.read
            return lambda server: read(server.site, account, read_output.Wanted(task, 0))

        reader = self.readers.setdefault(task, Reader())
        answer = await self._command(f"read {task}", reading(True))
        if isinstance(answer, read_output.Answer):
            reader.text += answer.bytes()
        else:
            reader.is_whole = False
        whole = await self._command(f"read all of {task}", reading(False))
        if isinstance(whole, read_output.Answer) and reader.is_whole and not whole.bytes().startswith(reader.text):
            self._tell(f"output of {task} was taken back: {reader.text!r} was read, and all is {whole.bytes()!r}")
        self._expect(task, answer)

    def _may_be_gone(self, task: str) -> bool:
        return task in self.deleted or task in self.going

    def _expect(self, task: str, answer: object) -> None:
        if isinstance(answer, Missing) and not self._may_be_gone(task):
            self._tell(f"{task} was accepted, and now is {answer}")
        elif isinstance(answer, HearthError) and not isinstance(answer, Missing | Conflict):
            self._tell(f"{task}: {answer!r}")

    # Faults

    def _start_server(self) -> None:
        self.server = Server(self.engine, Random(self.chance.random()), self._committed)
        self.network.server = functools.partial(self._serve, self.server)

    async def _serve(
        self, server: Server, method: str, path: str, body: bytes, gone: asyncio.Event
    ) -> tuple[int, bytes]:
        answer = await server.handle(method, path, body, gone)
        if answer is None:
            raise Unreachable("the server died")
        if answer[0] >= 500:
            self._tell(f"{method} {path} was answered with {answer}")
        return answer

    async def _crash_server(self) -> None:
        if self.server is not None:
            self.note("the server dies")
            self.server.kill()
            self.server, self.network.server = None, None
            self._away("server", [0.1, 1.0, 10.0, 1.5 * LEASE])

    def _start_agent(self, machine: Machine) -> None:
        self.boots += 1
        self.nodes[machine.name] = Node(machine, self.boots, self.network, Random(self.chance.random()))
        self.note(f"{machine.name} boots as {self.boots} with {sorted(machine.runs)}")

    def _kill_agent(self) -> Machine | None:
        machine = self.chance.choice(self.machines)
        node = self.nodes.pop(machine.name, None)
        if node is None:
            return None
        node.crash()
        return machine

    async def _crash_agent(self) -> None:
        machine = self._kill_agent()
        if machine is not None:
            self.note(f"the agent of {machine.name} dies; its processes live")
            self._away(machine.name, [0.1, 2.0, 10.0, 0.7 * LEASE])

    async def _crash_machine(self) -> None:
        machine = self._kill_agent()
        if machine is not None:
            self.note(f"{machine.name} loses power")
            machine.lose_power()
            self._away(machine.name, [0.5, 10.0, 2 * LEASE])

    async def _shut_agent_down(self) -> None:
        machine = self.chance.choice(self.machines)
        node = self.nodes.get(machine.name)
        if node is not None:
            self.note(f"{machine.name} is shut down")
            node.shut_down()
            await asyncio.sleep(self.chance.uniform(0, 6))
            if self.nodes.get(machine.name) is node:
                del self.nodes[machine.name]
                node.crash()
                self._away(machine.name, [0.1, 10.0])

    async def _cut_off(self) -> None:
        name = self.chance.choice(self.machines).name
        self.note(f"{name} is cut off")
        self.network.cut_off.add(name)
        self._away(f"cut {name}", [2.0, 20.0, 2.5 * LEASE])

    async def _change_weather(self) -> None:
        chance = self.chance
        self.network.weather = Weather(
            loss=chance.choice([0.0, 0.0, 0.02, 0.2]),
            doubling=chance.choice([0.0, 0.1, 0.5]),
            delay=chance.choice([0.001, 0.01, 0.3]),
            late=chance.choice([0.0, 0.0, 0.01, 0.05]),
        )
        self.note(f"{self.network.weather}")

    def _away(self, name: str, seconds: list[float]) -> None:
        back = self.loop.time() + self.chance.choice(seconds) * self.chance.uniform(0.5, 1.5)
        self.returns.setdefault(name, back)

    def _return_what_is_due(self, *, all_of_it: bool = False) -> None:
        for name, when in list(self.returns.items()):
            if not all_of_it and when > self.loop.time():
                continue
            del self.returns[name]
            if name == "server":
                self.note("the server is back")
                self._start_server()
            elif name.startswith("cut "):
                self.note(f"{name} is over")
                self.network.cut_off.discard(name.removeprefix("cut "))
            else:
                self._start_agent(next(machine for machine in self.machines if machine.name == name))

    # The end

    async def _drain(self) -> None:
        self.note("the faults stop")
        self._return_what_is_due(all_of_it=True)
        self.network.weather = Weather()
        deadline = self.loop.time() + DRAIN_SECONDS
        for task in self.impossible:
            await self._cancel(task)
        while self._unfinished() and self.loop.time() < deadline:
            await asyncio.sleep(5.0)
            self._stop_if_broken()
        for what in self._unfinished():
            self._tell(f"not drained: {what}")
        await asyncio.sleep(1.2 * LEASE)
        self._stop_if_broken()
        self.watch.finished()
        self.users.check(self.watch.names)
        for node in self.nodes.values():
            agent = node.logic
            left = (
                agent.attempts,
                node.machine.runs,
                agent.room._used_cores,
                agent.room.queued,
                agent.pending_output_bytes,
            )
            if any(left):
                self._tell(f"{node.machine.name} is not empty at the end: {left}")
        for row in self.watch.rows("SELECT state, count(*) AS times FROM tasks GROUP BY state"):
            self.story.ended[row["state"]] = row["times"]

    def _unfinished(self) -> list[object]:
        left: list[object] = [
            f"task {row['id']} is {row['state']}"
            for row in self.watch.rows("SELECT id, state FROM tasks WHERE ended_at IS NULL")
        ]
        return left + [key for node in self.nodes.values() for key in node.logic.attempts]


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" ({trace.tb_frame.f_code.co_filename.split('/')[-1]}:{trace.tb_lineno})"
    return f"{type(error).__name__}: {error}{where}"


_LISTENERS: list[Callable[[BaseException | None], None]] = []


def _hear(logger: Any, method: str, line: dict[str, Any]) -> Any:
    if line.get("event") == "loop failed":
        for listener in _LISTENERS:
            listener(sys.exc_info()[1])
    raise structlog.DropEvent


def quiet() -> None:
    """Let the product's log go nowhere, but hear of failing loops."""
    structlog.configure(processors=[_hear], cache_logger_on_first_use=False)


def simulate(seed: int, steps: int) -> Story:
    """Run one seed, with reports so small that what belongs together often does not travel together."""
    with mock.patch.object(outbox, "REPORT_ITEMS", 3), mock.patch.object(logic, "ASK_FIRST_SECONDS", 0.5):
        return Simulation(seed, steps).run()


def main() -> int:
    """Run the seeds that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0-19", help="ranges, for example 0-199,500")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--trace", action="store_true", help="print what happened")
    options = parser.parse_args()
    quiet()
    failing = 0
    seeds = RangeSet.parse(options.seeds, "--seeds")
    for seed in seeds:
        story = simulate(seed, options.steps)
        if options.trace:
            print("\n".join(story.trace))
            print(f"seed {seed}: {story.commits} commits, {story.processes} processes, {story.ended}")
        if story.broken:
            failing += 1
            again = f"python -m tests.property.simulate --seeds {seed} --steps {options.steps} --trace"
            print(f"seed {seed}: {story.broken[0]}   [{again}]", flush=True)
    print(f"{len(seeds) - failing} of {len(seeds)} seeds hold")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
