"""`hearth up`: a small parent that keeps server, agent and spawner running.

Each is a process of its own in a session of its own, so that none dies with another, nor with the parent: a
parent that was killed leaves a working site, and the next `hearth up` takes the running processes over.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hearth.cli.children import Child, adopt, command_of, start
from hearth.data_directory import DataDirectory, be_the_only_one, open_directory
from hearth.domain.errors import Unavailable
from hearth.settings import Settings, load

_RUNTIMES = {
    "docker": "each instance in a container (docker)",
    "sandbox": "each instance in a sandbox (bubblewrap)",
    "process": "not isolated: each instance a plain process of this user",
}
ROLES = ("spawner", "server", "agent")
READY_SECONDS = 30.0
# How long tasks wait for something that does not come by itself before the operator hears of it.
STUCK_SECONDS = 3.0
# A role that lives this long has recovered: its next end is restarted at once.
HEALTHY_SECONDS = 30.0
PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
# How `main` ends when it was asked for something impossible.
REFUSED = "exit code 2"
# How long each role may take to end, in the order in which they are ended.
GRACE = {"agent": 15.0, "server": 8.0, "spawner": 5.0}


def run(settings: Settings, *, leave_running: bool) -> int:
    """Run until SIGTERM or Ctrl-C; return the exit code."""
    return asyncio.run(_Up(settings, leave_running).run())


@dataclass(slots=True)
class _Role:
    name: str
    child: Child | None = None
    began: float = 0.0
    failures: int = 0
    starts: int = 0


class _Up:
    def __init__(self, settings: Settings, leave_running: bool) -> None:
        self._settings = settings
        self._without_options = load({"data": settings.data})
        self._leave_running = leave_running
        self._directory = open_directory(settings.data)
        self._roles = {name: _Role(name) for name in ROLES}
        self._ports = (settings.api_port, settings.storage_port)
        self._is_up = False

    async def run(self) -> int:
        lock = _lock(self._directory)
        stop = asyncio.Event()
        presses = [0]

        def stopping() -> None:
            presses[0] += 1
            stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping)
        try:
            self._adopt()
            jobs = [asyncio.create_task(self._keep(role)) for role in self._roles.values()]
            jobs.append(asyncio.create_task(self._announce_and_wait(stop)))
            jobs.append(asyncio.create_task(self._tell_stuck()))
            try:
                done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
                for job in done:
                    job.result()
            finally:
                for job in jobs:
                    job.cancel()
                await asyncio.gather(*jobs, return_exceptions=True)
                await self._end_all(presses)
        finally:
            self._directory.pid_file("up").unlink(missing_ok=True)
            os.close(lock)
        return 0

    # Starting ----------------------------------------------------------------------------------------

    def _adopt(self) -> None:
        """Take over what an earlier parent left running."""
        for role in self._roles.values():
            child = adopt(self._directory.pid_file(role.name), self._mark(role.name))
            if child is None:
                continue
            role.child, role.began = child, time.monotonic()
            print(f"  took over the running {role.name} (process {child.pid})", file=sys.stderr)
        agent = self._roles["agent"].child
        if agent is not None and command_of(agent.pid)[1:] != self._command("agent")[1:]:
            agent.signal(signal.SIGTERM)  # it is started again, with the runtime and the cores that are asked for now
        server = self._roles["server"].child
        if server is None:
            self._directory.doors.unlink(missing_ok=True)
            return
        doors = self._doors()
        if doors is None:
            return
        running = (_port(doors["api"]), _port(doors["storage"]))
        if all(wanted in (0, port) for wanted, port in zip(self._ports, running, strict=True)):
            self._ports = running
        else:
            server.signal(signal.SIGTERM)  # it is started again, on the ports that are asked for now
            self._directory.doors.unlink(missing_ok=True)

    def _mark(self, role: str) -> tuple[str, ...]:
        """Return words that the command line of a process of this role and directory has."""
        if role == "spawner":
            return ("hearth.agent.spawner", self._directory.site_id)
        return ("hearth.cli.main", role, str(self._directory.root))

    def _command(self, role: str) -> list[str]:
        python = [sys.executable, "-m"]
        directory = self._directory
        if role == "spawner":
            return [
                *python,
                "hearth.agent.spawner",
                *("--socket", str(directory.spawner_socket)),
                *("--site", directory.site_id),
                *("--pid-file", str(directory.pid_file("spawner"))),
            ]
        common = [*python, "hearth.cli.main", role, "--data", str(directory.root)]
        if role == "server":
            api, storage = self._ports
            return [
                *common,
                *("--host", self._settings.host),
                *("--api-port", str(api)),
                *("--storage-port", str(storage)),
                *self._told("specification_aliases", "unknown_hardware"),
            ]
        cores = str(self._settings.node_cores)
        of_node = self._told("node_specification_key", "node_cpu_model", "node_gpus", "node_ssd")
        return [*common, "--runtime", self._settings.runtime, "--node-cores", cores, *of_node]

    def _told(self, *names: str) -> list[str]:
        """Return the options that set what a role would not find out by itself, from HEARTH_* or hearth.toml."""
        told: list[str] = []
        for name in names:
            value = getattr(self._settings, name)
            if value != getattr(self._without_options, name):
                text = ",".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
                told.append(f"--{name.replace('_', '-')}={text}")
        return told

    async def _keep(self, role: _Role) -> None:
        """Start the role, and again whenever it ends, with a growing pause."""
        while True:
            if role.child is None:
                pause = PAUSES[min(role.failures, len(PAUSES) - 1)]
                if pause:
                    await asyncio.sleep(pause)
                if role.name == "server":
                    self._directory.doors.unlink(missing_ok=True)
                role.child = start(
                    self._command(role.name),
                    pid_file=self._directory.pid_file(role.name),
                    writes_pid_file=role.name == "spawner",
                    log=self._directory.log / f"{role.name}.log",
                )
                role.began = time.monotonic()
                role.starts += 1
            status = await role.child.ended()
            if status == REFUSED and role.starts == 1:
                # What it was told to do is wrong: a second try would say the same.
                log = self._directory.log / f"{role.name}.log"
                raise Unavailable(_last_lines(log, 1).strip().removeprefix("hearth: "))
            role.failures = 1 if time.monotonic() - role.began > HEALTHY_SECONDS else role.failures + 1
            role.child = None
            print(
                f"hearth: the {role.name} ended ({status}) and is started again; "
                f"see {self._directory.log / (role.name + '.log')}",
                file=sys.stderr,
            )

    def _doors(self) -> dict[str, str] | None:
        try:
            doors: dict[str, object] = msgspec.json.decode(self._directory.doors.read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        server = self._roles["server"].child
        if server is None or doors.get("pid") != server.pid:
            return None
        return {name: str(value) for name, value in doors.items()}

    async def _ready(self, stop: asyncio.Event) -> dict[str, str] | None:
        """Return the doors once the server has opened them; None when it is time to stop before that."""
        deadline = time.monotonic() + READY_SECONDS
        while not stop.is_set():
            doors = self._doors()
            if doors is not None:
                # From now on a server that is started again comes back where clients know it.
                self._ports = (_port(doors["api"]), _port(doors["storage"]))
                return doors
            if self._roles["server"].failures >= 2 or time.monotonic() > deadline:
                raise Unavailable(
                    f"the server does not start; its last words in {self._directory.log / 'server.log'} are:\n"
                    + _last_lines(self._directory.log / "server.log")
                )
            await asyncio.sleep(0.02)
        return None

    async def _announce_and_wait(self, stop: asyncio.Event) -> None:
        doors = await self._ready(stop)
        if doors is not None:
            self._announce(doors, await self._node(stop))
            self._is_up = True
            await stop.wait()

    async def _node(self, stop: asyncio.Event) -> str:
        """Say what the local node runs with, or what keeps it from running."""
        deadline = time.monotonic() + READY_SECONDS
        while not stop.is_set() and time.monotonic() < deadline and self._roles["agent"].failures < 2:
            try:
                node = msgspec.json.decode(self._directory.offer.read_bytes())
            except (FileNotFoundError, msgspec.DecodeError):
                node = {}
            agent = self._roles["agent"].child
            if agent is not None and node.get("pid") == agent.pid:
                return f"{node['cores']:g} cores, {_RUNTIMES[node['runtime']]}"
            await asyncio.sleep(0.02)
        return "does not run yet; its last words are:\n" + _last_lines(self._directory.log / "agent.log")

    def _announce(self, doors: dict[str, str], node: str) -> None:
        configuration = _shown(self._directory.configuration)
        print("Hearth is up.")
        print(f"  API            {doors['api']}")
        print(f"  storage        {doors['storage']}")
        print(f"  node           {node}")
        print(f"  configuration  {configuration}")
        print(f"  logs           {_shown(self._directory.log)}")
        python = shlex.quote(_shown(Path(sys.executable)))
        print(f"Next: {python} -c \"import qarnot; print(qarnot.Connection('{configuration}').profiles_names())\"")
        print("Ctrl-C ends it.", flush=True)

    async def _tell_stuck(self) -> None:
        """Say what waits and will not go on by itself, once each time that it lasts."""
        since: dict[str, float] = {}
        told: set[str] = set()
        while True:
            now = time.monotonic()
            stuck = self._stuck()
            since = {sentence: since.get(sentence, now) for sentence in stuck}
            told &= stuck
            for sentence in sorted(stuck - told):
                if now - since[sentence] >= STUCK_SECONDS:
                    told.add(sentence)
                    print(f"hearth: tasks wait that need help: {sentence} (GET /tasks/ID/why)", file=sys.stderr)
            await asyncio.sleep(0.5)

    def _stuck(self) -> set[str]:
        try:
            return set(msgspec.json.decode(self._directory.stuck.read_bytes(), type=dict[str, int]))
        except (FileNotFoundError, msgspec.MsgspecError):
            return set()

    # Ending ------------------------------------------------------------------------------------------

    async def _end_all(self, presses: Sequence[int]) -> None:
        """End agent, server and spawner, in this order; a second Ctrl-C does not wait."""
        names = ["agent", "server"] if self._leave_running else ["agent", "server", "spawner"]
        if self._is_up:
            fate = "what runs is left to the next start" if self._leave_running else "what runs is queued again"
            print(f"Ending; {fate} ...", file=sys.stderr)
        for name in names:
            child = self._roles[name].child
            if child is None or not child.is_alive():
                continue
            leave = name == "agent" and self._leave_running
            child.signal(signal.SIGHUP if leave else signal.SIGTERM)
            deadline = time.monotonic() + GRACE[name]
            while child.is_alive() and time.monotonic() < deadline and presses[0] < 2:
                await asyncio.sleep(0.02)
            if child.is_alive():
                child.signal(signal.SIGKILL)
                await child.ended()
            self._directory.pid_file(name).unlink(missing_ok=True)
        self._directory.doors.unlink(missing_ok=True)


def _lock(directory: DataDirectory) -> int:
    """Be the only parent of this directory."""
    return be_the_only_one(
        directory.pid_file("up"),
        f"data: {directory.root} is in use by another `hearth up` (process {{}}); end that one first, "
        "or choose another directory with --data",
    )


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def _last_lines(log: Path, count: int = 5) -> str:
    try:
        return "\n".join("  " + line for line in log.read_text("utf-8", errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return "  (nothing)"


def _shown(path: Path) -> str:
    """Return a path as short as it can be typed from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
