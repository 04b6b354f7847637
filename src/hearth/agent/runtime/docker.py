"""The docker runtime: every run is a container of an engine that outlives the agent.

The engine keeps the processes, how they ended and what they wrote, so an agent that died and returned finds
its runs by their labels and makes the spool files whole from the engine's log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import structlog

from hearth.agent.runtime.base import Found, Image, Lost, Refused, RunEvent, RunSpec, Usage
from hearth.agent.runtime.docker_container import LABEL_RUN, LABEL_SITE, container_name, spool_of
from hearth.agent.runtime.docker_engine import Container, Engine, EngineFacts, EngineGone, EngineRefused, available
from hearth.agent.runtime.docker_images import Images
from hearth.agent.runtime.docker_output import Spool
from hearth.agent.runtime.docker_recovery import Recovery
from hearth.agent.runtime.docker_run import KILLED, Run, exited
from hearth.agent.runtime.docker_site import Site

__all__ = ["DockerRuntime", "available"]

TERMINATED = 143

T = TypeVar("T")

log = structlog.get_logger(__name__)


class DockerRuntime:
    """Runs in containers of Docker or podman."""

    name = "docker"
    isolated = True
    takes_images = True

    def __init__(
        self,
        docker_host: str,
        site: str,
        now: Callable[[], int],
        *,
        network: str = "bridge",
        starts_at_once: int = 8,
        sample_seconds: float = 1.0,
    ) -> None:
        """`docker_host` as in DOCKER_HOST; `network` is the engine's network for runs that may use one."""
        self.events: asyncio.Queue[RunEvent] = asyncio.Queue()
        self._site_name = site
        self._now = now
        self._network = network
        self._starts_at_once = starts_at_once
        self._sample_seconds = sample_seconds
        self._engine = Engine(docker_host)
        self._recovery = Recovery(self._engine)
        self._images = Images(self._engine, self._recovery, now)
        self._site: Site | None = None
        self._runs: dict[str, Run] = {}
        self._drivers: dict[str, asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[None]] = set()

    async def open(self) -> list[Found]:
        """Connect, and return every run of this site that the engine still knows."""
        facts = await self._patiently(self._engine.facts)
        self._site = Site(
            name=self._site_name,
            engine=self._engine,
            facts=facts,
            images=self._images,
            recovery=self._recovery,
            starting=asyncio.Semaphore(self._starts_at_once),
            network=self._network,
            now=self._now,
            emit=self.events.put_nowait,
        )
        label = f"{LABEL_SITE}={self._site_name}"
        ids = await self._patiently(lambda: self._engine.containers([label]))
        taking = asyncio.Semaphore(self._starts_at_once)

        async def take(container: str) -> Found | None:
            async with taking:
                return await self._patiently(lambda: self._find(facts, container))

        found = await asyncio.gather(*(take(container) for container in ids))
        self._spawn(self._sample())
        return [each for each in found if each is not None]

    async def prepare(self, image: Image) -> Refused | None:
        """Make an image present, pulling it if need be."""
        return await self._images.prepare(image)

    async def start(self, specs: Sequence[RunSpec]) -> None:
        """Start runs; keys that are known are left as they are."""
        for spec in specs:
            if spec.key not in self._runs:
                self._drive(Run(self._opened(), spec.key, spec=spec, spool=(spec.stdout, spec.stderr)))

    async def stop(self, key: str) -> None:
        """Kill a run."""
        run = self._runs.get(key)
        if run is not None and not run.ended.is_set():
            self._spawn(run.stop())

    async def usage(self, key: str) -> Usage:
        """Measure a run; after its end, what was measured last."""
        run = self._runs.get(key)
        return run.measure() if run is not None else Usage()

    def renew(self, until: float | None) -> None:
        """Nothing to do: an engine ends no container by itself, so an agent that returns must."""

    async def forget(self, keys: Sequence[str]) -> None:
        """Remove the containers of ended runs; what the engine does not do now is tried again later."""
        await asyncio.gather(*(self._forget(key) for key in keys))

    async def close(self) -> None:
        """Let go of connections; containers run on."""
        tasks = [*self._drivers.values(), *self._others]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._images.close()
        await self._recovery.close()
        await self._engine.close()

    async def _find(self, facts: EngineFacts, id: str) -> Found | None:
        container = await self._engine.inspect(id)
        if container is None:
            return None
        key, spool = container.labels.get(LABEL_RUN, ""), spool_of(container)
        if not key or spool is None or container.never_started:
            await self._engine.remove(id)
            return None
        for path in spool:
            path.parent.mkdir(parents=True, exist_ok=True)
        run = Run(self._opened(), key, spec=None, spool=spool)
        if container.is_running:
            self._drive(run)
            return Found(key, container.started_at, exited=None)
        self._runs[key] = run
        run.ended.set()
        whole = Spool(*spool, anew=True)
        try:
            async with aclosing(self._engine.logs(container, follow=False)) as frames:
                await whole.fill(frames)
            end = exited(key, container, Usage(), whole)
        finally:
            whole.close()
        if _ended_with_its_engine(container, facts):
            message = "The container engine stopped while the run was going on."
            self.events.put_nowait(Lost(key, self._now(), message))
            return Found(key, container.started_at, exited=None)
        return Found(key, container.started_at, end)

    async def _forget(self, key: str) -> None:
        run = self._runs.get(key)
        if run is not None and not run.ended.is_set():
            if run.stop_asked.is_set():
                self._spawn(self._forget_at_end(run))
            return
        self._runs.pop(key, None)
        self._drivers.pop(key, None)
        name = container_name(self._site_name, key)
        try:
            await self._engine.remove(name)
        except (EngineGone, EngineRefused) as error:
            log.warning("run.forget_later", run=key, error=str(error))
            self._spawn(self._remove_later(name))

    async def _forget_at_end(self, run: Run) -> None:
        await run.ended.wait()
        await self._forget(run.key)

    async def _remove_later(self, name: str) -> None:
        await self._patiently(lambda: self._engine.remove(name))

    async def _patiently(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        failures = 0
        while True:
            try:
                return await ask()
            except (EngineGone, EngineRefused) as error:
                failures += 1
                await self._recovery.pause(failures, error)

    async def _sample(self) -> None:
        """Measure all runs now and then: nothing can be measured after a run's end."""
        while True:
            await asyncio.sleep(self._sample_seconds)
            for key, driver in self._drivers.items():
                if not driver.done():
                    self._runs[key].measure()

    def _drive(self, run: Run) -> None:
        self._runs[run.key] = run
        self._drivers[run.key] = asyncio.create_task(run.drive(), name=f"run {run.key}")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    def _opened(self) -> Site:
        if self._site is None:
            raise RuntimeError("The docker runtime must be opened before it can start runs.")
        return self._site


def _ended_with_its_engine(container: Container, facts: EngineFacts) -> bool:
    """Tell whether a container that nobody watched ended because its engine did."""
    if facts.runs_survive_restart or container.out_of_memory:
        return False
    if container.finished_at == 0:
        return True
    if container.started_at >= facts.started_at:
        return False
    # Found dead by the engine when that came back, or ended by signals when it left.
    returned = container.finished_at >= facts.started_at
    return returned or container.exit_code in (KILLED, TERMINATED)
