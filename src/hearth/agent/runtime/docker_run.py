"""One run and its container, from the first request to its end.

    look ──► missing, created ──► launch ──► watch ──► end
      ▲  └─► running ──────────► follow its log ──► end
      │  └─► ended ────────────► read its log ───► end
      └── the engine went away at any point: wait for it, then look again

The container is the truth: whatever broke off, one look at it tells how to go on.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from hearth.agent import cgroup_files, network_files
from hearth.agent.runtime.base import Exited, Lost, Refused, RunEvent, RunSpec, Started, Usage
from hearth.agent.runtime.docker_container import (
    container_config,
    container_name,
    exec_failure,
    refusal,
    refusal_of_exec,
)
from hearth.agent.runtime.docker_engine import (
    Attached,
    Container,
    EngineGone,
    EngineRefused,
    Listener,
    listener,
)
from hearth.agent.runtime.docker_output import Spool
from hearth.agent.runtime.docker_recovery import pause_seconds
from hearth.agent.runtime.docker_site import Site

KILLED = 137
# After a container's end its output connection ends by itself; an engine that forgets to close it is not
# waited for longer than this, and the log is read instead.
OUTPUT_GRACE_SECONDS = 10.0
SETTLING_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Run:
    """One run: knows its container and drives it to its end."""

    def __init__(self, site: Site, key: str, *, spec: RunSpec | None, spool: tuple[Path, Path] | None) -> None:
        self.key = key
        self.name = container_name(site.name, key)
        self.ended = asyncio.Event()
        self.usage = Usage()
        self._site = site
        self._spec = spec  # None: found running, started by an earlier agent
        self._spool_paths = spool
        self._spool: Spool | None = None
        self.stop_asked = asyncio.Event()
        self._may_exist = spec is None  # whether there may be a container already
        self._was_running = spec is None
        self._interrupted = False  # the engine went away when the command may have run
        self._listener: Listener | None = None  # the engine's process when the command began or was found
        self._announced_at = 0
        self._cgroup: cgroup_files.CgroupFiles | None = None
        self._process: int | None = None  # a descriptor of the container's first process
        self._network_of = 0  # a process in the run's own network; 0: it has none

    async def drive(self) -> None:
        """Bring the run to its end and tell it."""
        try:
            outcome = await self._outcome()
        except Exception as error:
            log.exception("run.broke", run=self.key)
            await self._abandon()
            outcome = self._lost(f"The agent could not follow the run: {type(error).__name__}: {error}")
        finally:
            if self._spool is not None:
                self._spool.close()
            self._let_go()
        self._cgroup = None
        self.ended.set()
        self._site.emit(outcome)

    async def stop(self) -> None:
        """Kill the run, again and again until it has ended."""
        self.stop_asked.set()
        tries = 0
        while not self.ended.is_set():
            if self._may_exist:
                try:
                    await self._site.engine.kill(self.name)
                except (EngineGone, EngineRefused) as error:
                    log.warning("run.kill_failed", run=self.key, error=str(error))
            tries += 1
            try:
                await asyncio.wait_for(self.ended.wait(), pause_seconds(tries))
            except TimeoutError:
                continue

    def measure(self) -> Usage:
        """Read what the run has used so far."""
        if self._cgroup is not None and (usage := self._cgroup.read()) is not None:
            received, sent = (network_files.read(self._network_of) if self._network_of else None) or (0, 0)
            self.usage = Usage(
                cpu_microseconds=max(usage.cpu_microseconds, self.usage.cpu_microseconds),
                memory_bytes=usage.memory_bytes,
                peak_memory_bytes=max(usage.peak_memory_bytes, self.usage.peak_memory_bytes),
                network_in_bytes=max(received, self.usage.network_in_bytes),
                network_out_bytes=max(sent, self.usage.network_out_bytes),
            )
        return self.usage

    async def _outcome(self) -> RunEvent:
        failures = 0
        while True:
            try:
                return await self._advance()
            except (EngineGone, EngineRefused, _OutputBroke) as error:
                failures += 1
                self._interrupted = self._interrupted or isinstance(error, EngineGone)
                self._may_exist = True
                await self._site.recovery.pause(failures, error)

    async def _advance(self) -> RunEvent:
        container = await self._site.engine.inspect(self.name) if self._may_exist else None
        if container is None or container.never_started:
            if self._was_running:
                return self._lost("The container engine returned without the run's container.")
            return await self._begin(container)
        if container.is_running:
            # Whatever happened to the engine, the command outlived it.
            self._interrupted, self._listener = False, listener(self._site.engine.docker_host)
            self._was_running = True
            self._take_pid(container)
            self._announce(container)
            await self._follow(container)
            container = await self._site.engine.inspect(container.id)
            if container is None:
                return self._lost("The run's container was removed by somebody else.")
        else:
            await self._read_log(container)
        return await self._end(container)

    async def _begin(self, container: Container | None, *, fetched: bool = False) -> RunEvent:
        assert self._spec is not None
        self._interrupted = False
        async with self._site.starting:
            if self.stop_asked.is_set():
                if container is not None:
                    await self._site.engine.remove(container.id)
                return self._stopped_before_start()
            self._open_spool(anew=False)
            launched = await self._launch(self._spec, container)
        if launched is None:
            if fetched:
                return self._lost("The container engine drops the run's image as soon as it has it.")
            return await self._fetch_image(self._spec) or await self._begin(None, fetched=True)
        if not isinstance(launched, _Launched):
            return launched
        try:
            shown = await self._watch(launched)
        finally:
            await launched.output.close()
        if shown is None:
            return self._lost("The run's container was removed by somebody else.")
        return await self._end(shown)

    async def _fetch_image(self, spec: RunSpec) -> Refused | Exited | None:
        """Make the run's image present, unless it is stopped meanwhile; None: go on."""
        if spec.image is None:
            message = "The run names no image, and the docker runtime runs nothing without one."
            return Refused(spec.key, self._site.now(), 125, "IMAGE_MISSING", message)
        preparing = asyncio.ensure_future(self._site.images.prepare(spec.image))
        stopping = asyncio.create_task(self.stop_asked.wait())
        try:
            await asyncio.wait([preparing, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not preparing.done():
                return self._stopped_before_start()
            refused = preparing.result()
        finally:
            preparing.cancel()
            stopping.cancel()
        return None if refused is None else replace(refused, key=spec.key)

    async def _launch(self, spec: RunSpec, container: Container | None) -> _Launched | Refused | Exited | Lost | None:
        """Create (unless it is there already), attach, start: in this order nothing of the output is missed.

        None: its image is not present.
        """
        if spec.image is None:
            return None
        engine = self._site.engine
        self._may_exist = True
        try:
            if container is not None:
                created = container.id
            else:
                config = container_config(spec, self._site.name, self._site.facts, self._site.network)
                created = await engine.create(self.name, config)
            output = await engine.attach(created)
        except EngineRefused as error:
            if error.status == 404 and "no such image" in error.message.lower():
                return None
            if error.status == 409:  # of that name exists what we did not know of: look at it
                raise
            return refusal(spec, error, self._site.now()) or self._lost(f"The engine failed: {error.message}")
        try:
            if self.stop_asked.is_set():
                await output.close()
                await engine.remove(created)
                return self._stopped_before_start()
            self._listener = listener(engine.docker_host)
            await engine.start(created)
        except EngineRefused as error:
            await output.close()
            answer = refusal(spec, error, self._site.now())
            await engine.remove(created)
            return answer or self._lost(f"The engine could not start the run: {error.message}")
        except BaseException:
            await output.close()
            raise
        self._was_running = True
        return _Launched(created, output)

    async def _watch(self, launched: _Launched) -> Container | None:
        engine, spool = self._site.engine, self._open_spool(anew=False)
        async with aclosing(launched.output.frames()) as frames:
            copying = asyncio.create_task(spool.take(frames))
            waiting = asyncio.create_task(engine.wait(launched.container))
            try:
                shown = await engine.inspect(launched.container)
                if shown is not None:
                    self._take_pid(shown)
                    if not self._executes(shown):
                        # Its first process may still fail to become the command, which ends it at once.
                        await asyncio.wait([waiting], timeout=SETTLING_SECONDS)
                    if not waiting.done():
                        self._announce(shown)
                await _ended(waiting, copying)
                await asyncio.wait([copying], timeout=OUTPUT_GRACE_SECONDS)
                whole = copying.done() and copying.exception() is None
            finally:
                await _cancelled(waiting)
                await _cancelled(copying)
        shown = await engine.inspect(launched.container)
        if shown is not None and not whole:
            await self._read_log(shown)
        return shown

    async def _follow(self, container: Container) -> None:
        """Copy the log of a running container until it ends."""
        engine, spool = self._site.engine, self._open_spool(anew=True)
        async with aclosing(engine.logs(container, follow=True)) as frames:
            copying = asyncio.create_task(spool.fill(frames))
            waiting = asyncio.create_task(engine.wait(container.id))
            try:
                await _ended(waiting, copying)
            finally:
                await _cancelled(waiting)
                await _cancelled(copying)
        # Engines end a followed log before its last lines, so it is read once more when it is whole.
        await self._read_log(container)

    async def _read_log(self, container: Container) -> None:
        async with aclosing(self._site.engine.logs(container, follow=False)) as frames:
            await self._open_spool(anew=True).fill(frames)

    async def _end(self, container: Container) -> RunEvent:
        spool = self._open_spool(anew=True)
        if await self._ended_from_outside(container):
            return self._lost("The run was ended from outside, by the container engine or whoever commands it.")
        if self._announced_at == 0 and self._spec is not None and container.exit_code == 1:
            refused = refusal_of_exec(self._spec, spool.tail_of_stderr(), self._site.now())
            if refused is not None:
                return refused
        self._announce(container)
        return exited(self.key, container, self.usage, spool)

    async def _ended_from_outside(self, container: Container) -> bool:
        site = self._site
        if site.facts.runs_survive_restart or self.stop_asked.is_set():
            return False
        # An engine that went away took the run with it, and one that shuts down ends its runs while it
        # still answers those who are connected.
        now_listens = listener(site.engine.docker_host)
        if self._interrupted or (now_listens and self._listener and now_listens != self._listener):
            return True
        return await site.engine.has_signalled(container, until=site.now())

    def _take_pid(self, container: Container) -> None:
        if container.is_running and container.pid:
            self._let_go()
            try:
                self._process = os.pidfd_open(container.pid)
            except OSError:
                return
            found = cgroup_files.of_process(container.pid)
            # The pid is the engine's; if that is on another machine, it means somebody else here.
            self._cgroup = found if found is not None and container.id in found.path else None
            if self._cgroup is None:
                self._let_go()
                return
            self._network_of = container.pid if network_files.has_own(container.pid) else 0
            # All processes of a container end with its first one, and its cgroup goes a little later.
            asyncio.get_running_loop().add_reader(self._process, self._measure_last)
            self.measure()

    def _measure_last(self) -> None:
        self._network_of = 0
        self.measure()
        self._let_go()

    def _let_go(self) -> None:
        if self._process is not None:
            asyncio.get_running_loop().remove_reader(self._process)
            os.close(self._process)
            self._process = None
            self._network_of = 0

    def _executes(self, container: Container) -> bool:
        """Tell whether it can be seen that the container's first process has become the command."""
        if self._cgroup is None:
            return False
        try:
            words = Path(f"/proc/{container.pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return words != [b""] and words[1:2] != [b"init"]

    def _announce(self, container: Container) -> None:
        if self._announced_at == 0:
            self._announced_at = container.started_at or self._site.now()
            if self._spec is not None:
                self._site.emit(Started(self.key, self._announced_at))

    def _open_spool(self, *, anew: bool) -> Spool:
        if self._spool is None:
            assert self._spool_paths is not None
            self._spool = Spool(*self._spool_paths, anew=anew)
        return self._spool

    def _stopped_before_start(self) -> Exited:
        at = self._site.now()
        return Exited(self.key, at, KILLED, Usage(), started_at=at)

    def _lost(self, message: str) -> Lost:
        return Lost(self.key, self._site.now(), message)

    async def _abandon(self) -> None:
        """Make sure that what cannot be followed does not run on."""
        failures = 0
        while self._may_exist:
            try:
                await self._site.engine.remove(self.name)
                return
            except (EngineGone, EngineRefused) as error:
                failures += 1
                await self._site.recovery.pause(failures, error)


class _OutputBroke(Exception):
    """The connection for output broke, the one that waits for the end did not."""


@dataclass(frozen=True, slots=True)
class _Launched:
    container: str
    output: Attached


def exited(key: str, container: Container, usage: Usage, spool: Spool) -> Exited:
    """Tell how a container ended."""
    exit_code = container.exit_code
    if exit_code == 1:
        # Some errors of exec come when the engine believes that the command has started.
        exit_code = exec_failure(spool.tail_of_stderr()) or exit_code
    return Exited(
        key=key,
        at=max(container.finished_at, container.started_at),  # engines note a quick end before the start
        exit_code=exit_code,
        usage=usage,
        started_at=container.started_at,
        out_of_memory=container.out_of_memory and exit_code != 0,
    )


async def _ended(waiting: asyncio.Task[None], copying: asyncio.Task[None]) -> None:
    """Return when the container has ended; raise when its output cannot be copied any more."""
    await asyncio.wait([waiting, copying], return_when=asyncio.FIRST_COMPLETED)
    if copying.done() and not waiting.done():
        broke = copying.exception()
        if broke is not None and not isinstance(broke, (EngineGone, EngineRefused)):
            raise broke
        # The end of the container is told a little after that of its output, and an engine that went away
        # breaks both connections.
        await asyncio.wait([waiting], timeout=SETTLING_SECONDS)
        if not waiting.done():
            raise _OutputBroke(f"No more output comes: {broke or 'the connection was closed'}.")
    await waiting


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
