"""The spawner's loop: one thread that starts runs, reaps them, and tells whoever listens."""

from __future__ import annotations

import errno
import os
import select
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable

from hearth.agent.spawner import processes, procfs
from hearth.agent.spawner.cgroups import Cgroups, measure
from hearth.agent.spawner.messages import (
    PROTOCOL,
    Answer,
    BrokenFrame,
    Command,
    Forget,
    Frames,
    Hello,
    Lost,
    Outcome,
    Refused,
    Renew,
    Start,
    Started,
    Stop,
    Welcome,
    decode_commands,
    encode,
)
from hearth.agent.spawner.table import Run, Table

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_READ_BYTES = 262_144
_MOST_UNSENT_BYTES = 16 * 1024 * 1024
_COMMANDS_PER_TURN = 16  # so that ends are told while many starts wait
# While runs have a lease, so often the clock is read: time that a machine sleeps wakes nobody.
_LONGEST_WAIT_SECONDS = 10.0
_LEASE_OVER = "the lease of its node was over, and no agent renewed it"


def boot_seconds() -> float:
    """Return the seconds since this machine started, those that it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Agent:
    """One connection."""

    __slots__ = ("commands", "frames", "outgoing", "owner", "socket", "unsent")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.owner = ""
        self.frames = Frames()
        self.commands: deque[Command] = deque()
        self.outgoing: list[Answer] = []
        self.unsent = b""


class Spawner:
    """Owns the runs of one site on this machine."""

    def __init__(
        self,
        *,
        site: str,
        boot: str,
        listener: socket.socket,
        cgroups: Cgroups,
        clock: Callable[[], int],
    ) -> None:
        self._site = site
        self._boot = boot
        self._listener = listener
        self._cgroups = cgroups
        self._clock = clock
        self._table = Table()
        self._agents: dict[int, Agent] = {}
        self._leases: dict[str, float] = {}  # owner -> until when its runs may go on
        self._over: set[str] = set()  # owners whose lease was over, until they renew it
        self._selector = selectors.DefaultSelector()
        self._children = procfs.OwnChildren()
        self._ending = False
        self._reap_needed = False
        self._own_peak_bytes = procfs.own_peak_bytes()

    def serve(self) -> None:
        """Serve until SIGTERM, then kill every run and return."""
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, self._on_child)
        for number in ENDING_SIGNALS:
            signal.signal(number, self._on_term)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
        self._listener.setblocking(False)
        self._selector.register(reader, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        while not self._ending:
            self._turn(reader)
        self._kill_all(reader)

    def _on_child(self, number: int, frame: object) -> None:
        self._reap_needed = True

    def _on_term(self, number: int, frame: object) -> None:
        self._ending = True

    def _turn(self, wakeup: int) -> None:
        busy = any(agent.commands for agent in self._agents.values())
        for key, mask in self._selector.select(0 if busy else self._until_a_lease_ends()):
            descriptor = key.fd
            if descriptor == wakeup:
                os.read(wakeup, 4096)
            elif (agent := self._agents.get(descriptor)) is not None:
                if mask & selectors.EVENT_READ:
                    self._read(agent)
                if mask & selectors.EVENT_WRITE:
                    self._flush(agent)
            else:
                self._accept()
        if self._reap_needed:
            self._reap()
        for agent in list(self._agents.values()):
            self._obey(agent)
        if self._leases:
            self._end_leases()
        for agent in list(self._agents.values()):
            if agent.outgoing:
                self._flush(agent)

    def _kill_all(self, wakeup: int) -> None:
        """End every run; agents hear that they are lost, since no user asked for their end."""
        told: list[Answer] = []
        for run in self._table.unfinished():
            told.append(Lost(run.key, self._clock(), "the spawner of this machine was told to end"))
            self._kill(run)
            run.owner = ""
        self._selector.unregister(self._listener)
        self._listener.close()
        for agent in list(self._agents.values()):
            agent.outgoing += told
            self._flush(agent)
        while self._table.unfinished():
            self._reap()
            if self._table.unfinished():
                select.select([wakeup], [], [])
                os.read(wakeup, 4096)
        self._cgroups.close()

    # Connections

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        self._agents[connection.fileno()] = Agent(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _drop(self, agent: Agent) -> None:
        """Let go of a connection; its runs go on."""
        if self._agents.pop(agent.socket.fileno(), None) is not None:
            self._selector.unregister(agent.socket)
            agent.socket.close()

    def _read(self, agent: Agent) -> None:
        try:
            data = agent.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(agent)
            return
        try:
            for payload in agent.frames.feed(data):
                agent.commands.extend(decode_commands(payload))
        except BrokenFrame:
            self._drop(agent)

    def _flush(self, agent: Agent) -> None:
        if agent.socket.fileno() < 0:
            return
        if agent.outgoing:
            agent.unsent += encode(agent.outgoing)
            agent.outgoing = []
        waited = bool(self._selector.get_key(agent.socket).events & selectors.EVENT_WRITE)
        if agent.unsent:
            try:
                sent = agent.socket.send(agent.unsent)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(agent)
                return
            agent.unsent = agent.unsent[sent:]
            if len(agent.unsent) > _MOST_UNSENT_BYTES:  # an agent that hangs asks again when it is back
                self._drop(agent)
                return
        waits = bool(agent.unsent)
        if waits != waited:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if waits else 0)
            self._selector.modify(agent.socket, events)

    def _tell(self, owner: str, answer: Answer) -> None:
        for agent in self._agents.values():
            if agent.owner == owner:
                agent.outgoing.append(answer)

    # Leases

    def _until_a_lease_ends(self) -> float | None:
        """Return how long nothing but messages can matter."""
        if not self._leases or not self._table.has_running():
            return None
        return max(0.0, min(min(self._leases.values()) - boot_seconds(), _LONGEST_WAIT_SECONDS))

    def _end_leases(self) -> None:
        """Kill what goes on although its lease is over: it may run elsewhere by now."""
        now = boot_seconds()
        over = {owner for owner, until in self._leases.items() if until <= now}
        if not over:
            return
        for owner in over:
            del self._leases[owner]
        self._over |= over
        for run in self._table.unfinished():
            if run.owner in over and not run.ended_at:
                run.overdue = True
                self._kill(run)

    # Commands

    def _obey(self, agent: Agent) -> None:
        if agent.socket.fileno() < 0:
            return
        moved = False
        for _ in range(min(_COMMANDS_PER_TURN, len(agent.commands))):
            match agent.commands.popleft():
                case Start() as command:
                    moved = True
                    self._start(agent.owner, command)
                case Stop(key):
                    if (run := self._table.running(key)) is not None:
                        self._kill(run)
                case Forget(keys):
                    self._table.forget(keys)
                case Renew(until):
                    self._renew(agent.owner, until)
                case Hello(protocol, owner):
                    self._greet(agent, protocol, owner)
        if moved:
            os.chdir("/")

    def _greet(self, agent: Agent, protocol: int, owner: str) -> None:
        if protocol == PROTOCOL:
            agent.owner = owner
        agent.outgoing = [
            Welcome(
                PROTOCOL,
                self._boot,
                os.getpid(),
                self._cgroups.usable,
                self._cgroups.details,
                self._cgroups.folders,
                self._table.known(owner),
                takes_renew=True,
            )
        ]

    def _renew(self, owner: str, until: float | None) -> None:
        self._over.discard(owner)
        if until is None:
            self._leases.pop(owner, None)
        else:
            self._leases[owner] = until

    def _start(self, owner: str, command: Start) -> None:
        if not owner or command.key in self._table:
            return
        if owner in self._over:
            outcome = Lost(command.key, self._clock(), _LEASE_OVER)
            self._table.settle(owner, outcome)
            self._tell(owner, outcome)
            return
        limited = command.limits is not None and self._cgroups.usable
        try:
            os.chdir(command.directory)
            join: list[str] = []
            if limited and command.limits is not None:
                join = self._cgroups.create(command.key, command.limits)
            pid, report = processes.start(command, self._site, join)
        except (processes.CannotStart, OSError) as error:
            if limited:
                self._cgroups.remove(command.key)
            self._refuse(owner, command, error)
            return
        run = Run(command.key, owner, pid, self._clock())
        run.cgroup = limited
        run.report = report
        self._table.add(run)
        self._tell(owner, Started(run.key, pid, run.started_at))

    def _refuse(self, owner: str, command: Start, error: processes.CannotStart | OSError) -> None:
        outcome: Refused | Lost
        if isinstance(error, processes.CannotStart):
            outcome = Refused(command.key, self._clock(), error.exit_code, error.code, error.message)
        else:
            where = f" ({error.filename})" if error.filename else ""
            reason = os.strerror(error.errno or errno.EIO)
            outcome = Lost(command.key, self._clock(), f"this machine could not start the command: {reason}{where}")
        self._table.settle(owner, outcome)
        self._tell(owner, outcome)

    def _kill(self, run: Run) -> None:
        for kill in (os.killpg, os.kill):
            try:
                kill(run.pid, signal.SIGKILL)
            except OSError:
                pass

    # Ends

    def _reap(self) -> None:
        """Reap what has ended, kill what it left behind, and tell which runs are over."""
        self._reap_needed = False
        table = self._table
        while True:
            try:
                # The zombie holds its number while its group is killed, so no stranger can be hit.
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if info is None:
                break
            pid = info.si_pid
            main = table.main(pid) is not None
            if main:
                try:
                    os.killpg(pid, signal.SIGKILL)
                except OSError:
                    pass
            _, status, usage = os.wait4(pid, 0)
            cpu = int((usage.ru_utime + usage.ru_stime) * 1_000_000)
            peak = self._true_peak(usage.ru_maxrss * 1024)
            if main:
                code = os.waitstatus_to_exitcode(status)
                table.main_ended(pid, self._clock(), code if code >= 0 else 128 - code, cpu, peak)
            else:
                table.orphan_ended(pid, cpu, peak)
        for pid in table.doomed(self._children.read(), self._identify):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        for run in table.finished():
            self._finish(run)

    def _true_peak(self, peak: int) -> int:
        """Return a child's peak of memory; 0 when it is hidden by the spawner's own, which children start with."""
        if peak > self._own_peak_bytes:
            self._own_peak_bytes = procfs.own_peak_bytes()
        return peak if peak > self._own_peak_bytes else 0

    def _identify(self, pid: int) -> str | None:
        key = procfs.run_of(pid, self._site)
        if key is None:
            try:
                run = self._table.session(os.getsid(pid))
            except OSError:
                return None
            key = run.key if run is not None else None
        return key

    def _finish(self, run: Run) -> None:
        out_of_memory = False
        if run.cgroup:
            cpu, peak, out_of_memory = self._settle_cgroup(run)
            run.cpu_microseconds = max(run.cpu_microseconds, cpu)
            run.peak_memory_bytes = peak or run.peak_memory_bytes
        report = b"" if run.report is None else _drain(run.report)
        outcome: Outcome = run.ended(out_of_memory=out_of_memory, report=report)
        if run.overdue and run.exit_code == 128 + signal.SIGKILL:
            outcome = Lost(run.key, run.ended_at, _LEASE_OVER)
        self._table.settle(run.owner, outcome)
        self._tell(run.owner, outcome)

    def _settle_cgroup(self, run: Run) -> tuple[int, int, bool]:
        for pid in self._cgroups.members(run.key):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        cpu, _, peak = measure(self._cgroups.folders, run.key)
        out_of_memory = self._cgroups.out_of_memory(run.key)
        self._cgroups.remove(run.key)
        return cpu, peak, out_of_memory


def _drain(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""
    finally:
        os.close(descriptor)
