"""The agent's end of the spawner's socket: batches commands, tells every event once, finds a spawner again."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, cast

from hearth.agent.spawner.messages import (
    PROTOCOL,
    Answer,
    BrokenFrame,
    Command,
    Event,
    Forget,
    Frames,
    Hello,
    Lost,
    Renew,
    Start,
    Started,
    Stop,
    Welcome,
    decode_answers,
    encode,
)

_RETRY_SECONDS: Final = 0.05
_SPAWNER_DIED = "the spawner of this machine died, and the run with it"


class NoSpawner(ConnectionError):
    """No spawner answers at the socket."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"no spawner answers at {path}: {reason}")
        self.path = path


class _Known:
    """What this client believes about a run that is not over."""

    __slots__ = ("start", "started", "stopping")

    def __init__(self, start: Start | None) -> None:
        self.start = start  # kept until the spawner has answered
        self.started = False
        self.stopping = False


class SpawnerClient:
    """A connection to the spawner that heals by itself.

    `on_event` is called on the event loop: `Started` at most once, then exactly one end for every run that was
    started here or found by `open`. A run which the spawner no longer knows is `Lost`.
    """

    def __init__(self, path: Path, owner: str, on_event: Callable[[Event], None], clock: Callable[[], int]) -> None:
        self._path = path
        self._owner = owner
        self._on_event = on_event
        self._clock = clock
        self._runs: dict[str, _Known] = {}
        self._unforgotten: set[str] = set()  # ended and told; the spawner still keeps them
        self._pending: list[Command] = []
        self._flush_scheduled = False
        self._link: _Link | None = None
        self._boot = ""
        self._renewed: Renew | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.welcome: Welcome | None = None

    async def open(self, timeout: float = 10.0) -> tuple[Event, ...]:
        """Connect, and return the last word about every run that the spawner knows."""
        try:
            async with asyncio.timeout(timeout):
                link, welcome = await self._connect_patiently()
        except TimeoutError as error:
            raise NoSpawner(self._path, f"not within {timeout} seconds") from error
        for event in welcome.runs:
            if isinstance(event, Started):
                known = self._runs[event.key] = _Known(None)
                known.started = True
            else:
                self._unforgotten.add(event.key)
        self._adopt(link, welcome)
        self._keeper = asyncio.create_task(self._keep(), name="spawner-link")
        return welcome.runs

    async def close(self) -> None:
        """Let go of the connection; runs go on."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        if self._link is not None:
            self._flush()
            self._link.close()
            self._link = None

    def start(self, commands: Iterable[Start]) -> None:
        """Start runs; those known already are left as they are."""
        for command in commands:
            if command.key not in self._runs and command.key not in self._unforgotten:
                self._runs[command.key] = _Known(command)
                self._send(command)

    def stop(self, key: str) -> None:
        """Kill a run."""
        known = self._runs.get(key)
        if known is not None:
            known.stopping = True
            self._send(Stop(key))

    def forget(self, keys: Iterable[str]) -> None:
        """Let the spawner drop the statuses of ended runs."""
        ended = tuple(key for key in keys if key in self._unforgotten)
        if ended:
            self._unforgotten.difference_update(ended)
            self._send(Forget(ended))

    def renew(self, until: float | None) -> None:
        """Let all runs go on until this second of CLOCK_BOOTTIME, and no longer; None: as long as they like."""
        self._renewed = Renew(until)
        if self.welcome is not None and self.welcome.takes_renew:
            self._send(self._renewed)

    # The connection

    async def _keep(self) -> None:
        """Connect again whenever the link breaks."""
        while True:
            if self._link is not None:
                await self._link.broken.wait()
                self._link.close()
                self._link = None
            link, welcome = await self._connect_patiently()
            self._reconcile(link, welcome)

    async def _connect_patiently(self) -> tuple[_Link, Welcome]:
        while True:
            try:
                return await self._connect()
            except (OSError, BrokenFrame):
                await asyncio.sleep(_RETRY_SECONDS)

    async def _connect(self) -> tuple[_Link, Welcome]:
        loop = asyncio.get_running_loop()
        plug = _plug(self._path)
        try:
            _, link = await loop.create_unix_connection(lambda: _Link(self._heard), sock=plug)
        except BaseException:
            plug.close()
            raise
        try:
            link.send([Hello(PROTOCOL, self._owner)])
            welcome = await link.welcome
            if welcome.protocol != PROTOCOL:
                raise ConnectionError(f"the spawner speaks protocol {welcome.protocol}, this agent {PROTOCOL}")
        except BaseException:
            link.close()
            raise
        return link, welcome

    def _adopt(self, link: _Link, welcome: Welcome) -> None:
        self._link = link
        self._boot = welcome.boot
        self.welcome = welcome
        if self._renewed is not None and welcome.takes_renew:
            self._pending.insert(0, self._renewed)
        link.release()
        self._flush()

    def _reconcile(self, link: _Link, welcome: Welcome) -> None:
        """Compare what was believed with what the spawner knows."""
        same = welcome.boot == self._boot
        told = {event.key: event for event in welcome.runs}
        unsent = {command.key for command in self._pending if isinstance(command, Start)}
        again: list[Command] = []
        for key, known in list(self._runs.items()):
            event = told.get(key)
            if event is not None:
                self._heard(event)
                if known.stopping:
                    again.append(Stop(key))
            elif key in unsent:
                continue
            elif same and known.start is not None:
                again.append(known.start)  # it was under way when the link broke
                if known.stopping:
                    again.append(Stop(key))
            else:
                self._heard(Lost(key, self._clock(), _SPAWNER_DIED))
                self._unforgotten.discard(key)
        stale = tuple(key for key in told if key not in self._runs and key not in self._unforgotten)
        if stale:
            again.append(Forget(stale))
        self._unforgotten &= told.keys()
        self._pending = again + self._pending
        self._adopt(link, welcome)

    def _heard(self, event: Event) -> None:
        known = self._runs.get(event.key)
        if known is None:
            return
        if isinstance(event, Started):
            known.start = None
            if known.started:
                return
            known.started = True
        else:
            del self._runs[event.key]
            self._unforgotten.add(event.key)
        self._on_event(event)

    def _send(self, command: Command) -> None:
        self._pending.append(command)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._pending and self._link is not None and not self._link.broken.is_set():
            self._link.send(self._pending)
            self._pending = []


class _Link(asyncio.Protocol):
    """One connection; holds events back until the client has looked at the welcome."""

    def __init__(self, heard: Callable[[Event], None]) -> None:
        self.broken = asyncio.Event()
        self.welcome: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()
        self._heard = heard
        self._held: list[Event] | None = []
        self._frames = Frames()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A stream's transport is one, though uvloop's does not say so to isinstance().
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.broken.set()
        if not self.welcome.done():
            self.welcome.set_exception(exc or ConnectionResetError("the spawner closed the connection"))

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._frames.feed(data):
                for answer in decode_answers(payload):
                    self._answer(answer)
        except BrokenFrame:
            self.close()

    def _answer(self, answer: Answer) -> None:
        if isinstance(answer, Welcome):
            if not self.welcome.done():
                self.welcome.set_result(answer)
        elif self._held is not None:
            self._held.append(answer)
        else:
            self._heard(answer)

    def release(self) -> None:
        """Tell the events that came after the welcome, and all later ones as they come."""
        held, self._held = self._held or [], None
        for event in held:
            self._heard(event)

    def send(self, commands: list[Command]) -> None:
        """Write one frame."""
        if self._transport is not None:
            self._transport.write(encode(commands))

    def close(self) -> None:
        """Write what is left, then close."""
        if self._transport is not None:
            self._transport.close()
        self.welcome.cancel()


def _plug(path: Path) -> socket.socket:
    """Return a socket connected to a path, which may be longer than the 107 bytes that an address holds."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    plug = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        plug.connect(f"/proc/self/fd/{folder}/{path.name}")
        plug.setblocking(False)
    except BaseException:
        plug.close()
        raise
    finally:
        os.close(folder)
    return plug


def launch(socket_path: Path, site: str, pid_file: Path) -> subprocess.Popen[bytes]:
    """Start a spawner that outlives the caller."""
    words = ["--socket", str(socket_path), "--site", site, "--pid-file", str(pid_file)]
    return subprocess.Popen(
        [sys.executable, "-m", "hearth.agent.spawner", *words], stdin=subprocess.DEVNULL, start_new_session=True
    )
