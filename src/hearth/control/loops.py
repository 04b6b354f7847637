"""What a server does by itself: place work, end leases that are over, remove what was deleted.

Each loop catches, logs and goes on; each says at /metrics how long its last round took and when it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from hearth.control.claim import claim_some
from hearth.control.clean_up import keep_limits
from hearth.control.compact import compact_output
from hearth.control.delete import sweep_deleted
from hearth.control.once import forget_old
from hearth.control.site import Site
from hearth.control.snapshot import take_due_snapshots
from hearth.control.sweep import sweep_once
from hearth.control.sync import expire
from hearth.control.waits import Waits

_log = structlog.get_logger(__name__)

SECOND = 1_000_000


@dataclass(slots=True)
class Beat:
    """When a loop's last round ended and how long it took, in microseconds."""

    rounds: int = 0
    failures: int = 0
    ended_at: int = 0
    took: int = 0


class Bell:
    """Wakes a loop; rung while it works, it works once more."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake the loop, from its own event loop."""
        self._event.set()

    async def wait(self, timeout_seconds: float) -> None:
        """Wait for a ring, or until the time is over."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout_seconds)
        except TimeoutError:
            pass
        self._event.clear()


class Loops:
    """The loops of one server."""

    def __init__(self, site: Site, bell: Bell) -> None:
        self._site = site
        self._bell = bell
        self._waits = Waits(
            site.store,
            now=site.now,
            heartbeat_seconds=site.settings.heartbeat_seconds,
            show=lambda stuck: site.show_stuck(stuck),
        )
        self._after = 0  # the shape after which the next claim goes on
        names = (
            "dispatch",
            "leases",
            "deleted",
            "blobs",
            "snapshots",
            "limits",
            "requests",
            "followers",
            "output",
            "waits",
        )
        self.beats = {name: Beat() for name in names}

    async def run(self) -> None:
        """Run all loops until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat("dispatch", self._dispatch, self._bell.wait, every_seconds=1.0))
            group.create_task(self._repeat("leases", self._expire_leases, asyncio.sleep, every_seconds=1.0))
            group.create_task(self._repeat("waits", self._waits.look, asyncio.sleep, every_seconds=1.0))
            group.create_task(self._repeat("deleted", self._remove_deleted, asyncio.sleep, every_seconds=2.0))
            group.create_task(self._repeat("followers", self._poll_followed, asyncio.sleep, every_seconds=2.0))
            group.create_task(self._repeat("output", self._compact_output, asyncio.sleep, every_seconds=30.0))
            group.create_task(self._repeat("blobs", self._sweep_blobs, asyncio.sleep, every_seconds=60.0))
            group.create_task(self._repeat("limits", self._keep_limits, asyncio.sleep, every_seconds=1.0))
            group.create_task(self._repeat("requests", self._forget_requests, asyncio.sleep, every_seconds=600.0))
            group.create_task(self._repeat("snapshots", self._take_snapshots, asyncio.sleep, every_seconds=1.0))

    async def _repeat(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        pause: Callable[[float], Awaitable[None]],
        *,
        every_seconds: float,
    ) -> None:
        beat = self.beats[name]
        while True:
            began = self._site.now()
            try:
                await work()
            except Exception:
                beat.failures += 1
                _log.exception("loop failed", loop=name)
                await asyncio.sleep(min(30.0, every_seconds))
            beat.rounds += 1
            beat.ended_at = self._site.now()
            beat.took = beat.ended_at - began
            await pause(every_seconds)

    async def _dispatch(self) -> None:
        site = self._site
        lease = int(site.settings.lease_seconds * SECOND)
        is_whole_pass = False  # of all shapes, and nothing of them could be given so far
        while rooms := site.fleet.rooms(heard_since=site.now() - lease):
            is_whole_pass |= self._after == 0
            done = await site.store.write(claim_some, rooms, site.fleet.boots(), site.now(), after=self._after)
            self._after = done.after
            if done.grants:
                site.fleet.grant(done.grants)
                is_whole_pass = False
            elif is_whole_pass and not done.after:
                return

    async def _expire_leases(self) -> None:
        site = self._site
        lease = int(site.settings.lease_seconds * SECOND)
        site.usages.forget_silent(site.now() - lease)
        changes = await site.store.write(
            expire, site.now(), not_before=site.started_at + lease, losses_allowed=site.settings.losses_allowed
        )
        if changes is not None:
            _log.warning("leases ended without a word from their node", tasks=sorted(changes.tasks))
            site.work_waits()

    async def _remove_deleted(self) -> None:
        while await self._site.store.write(sweep_deleted):
            await asyncio.sleep(0)

    async def _keep_limits(self) -> None:
        await keep_limits(self._site.store, self._site.now())

    async def _forget_requests(self) -> None:
        while await self._site.store.write(forget_old, self._site.now()):
            await asyncio.sleep(0)

    async def _take_snapshots(self) -> None:
        await take_due_snapshots(self._site)

    async def _poll_followed(self) -> None:
        await self._site.hub.poll(self._site.store)

    async def _compact_output(self) -> None:
        while await compact_output(self._site.store, self._site.now()):
            await asyncio.sleep(0)

    async def _sweep_blobs(self) -> None:
        while (await sweep_once(self._site.store, self._site.blobs, self._site.now())).more:
            await asyncio.sleep(0)
