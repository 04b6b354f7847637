"""The node program: carries out what `logic` decides, and tells it what happened."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import structlog

from hearth.agent import attempt as decide
from hearth.agent.attempt import Filled, Key, RunEnd
from hearth.agent.collecting import PENDING_OUTPUT_BYTES, Collecting
from hearth.agent.disk import DiskRules, is_fault, require_floor
from hearth.agent.folders import Folders, key_of, key_text
from hearth.agent.health import Health
from hearth.agent.lease import StoredLease, boot_seconds
from hearth.agent.link import Gone, Link, NotOurs, Superseded, Unreachable
from hearth.agent.logic import BUSY_DELAY, Logic
from hearth.agent.manifest import Manifest, read_manifest
from hearth.agent.measure import Meter
from hearth.agent.preparing import Preparing
from hearth.agent.pushes import Pushes
from hearth.agent.resources import Resources
from hearth.agent.runtime.base import Exited, Found, Lost, Refused, RunEvent, RunSpec, Runtime, Started
from hearth.agent.shared import Shared, broken, could_not, retry_seconds, wall
from hearth.agent.snapshots import Snapshots
from hearth.agent.tail import RELEASE_BYTES, Tails
from hearth.wire import agent as wire

_log = structlog.get_logger(__name__)

POLL_SECONDS = 0.05
# With few runs output is looked for more often: a line should be with its followers in less than 100 ms.
QUICK_POLL_SECONDS = 0.02
QUICK_POLL_RUNS = 16
# Orders come often; the lease that they renew need not be told each time.
RENEW_SECONDS = 0.2


class Agent:
    """One boot of the agent of one node."""

    def __init__(
        self,
        *,
        node: str,
        boot: int,
        offer: wire.Offer,
        root: Path,
        link: Link,
        runtime: Runtime,
        disk: DiskRules | None = None,
    ) -> None:
        self.logic = Logic(node, boot, offer)
        self._root = root
        self._disk = disk or DiskRules()
        self._link = link
        self._runtime = runtime
        self._folders = Folders(root)
        self._resources = Resources(root, link, self._disk)
        self._tails = Tails(self.logic.output)
        self._news = asyncio.Event()  # there may be something to report
        self._jobs: set[asyncio.Task[None]] = set()
        self._busy: dict[Key, int] = {}  # jobs that use an attempt's folder
        self._unwanted: set[Key] = set()  # discarded while such a job was under way
        self._starts: list[RunSpec] = []
        self._gone: list[str] = []
        self._stopping = asyncio.Event()
        self._lease = StoredLease(root / "lease")
        self._renewed_until = 0.0
        self._has_left = False
        self._shared = Shared(
            logic=self.logic,
            link=link,
            runtime=runtime,
            folders=self._folders,
            resources=self._resources,
            tails=self._tails,
            carry_out=self._carry_out,
            spawn=self._spawn,
            in_folder=self._spawn_in_folder,
            using=self._using,
            news=self._news.set,
        )
        self._preparing = Preparing(self._shared)
        self._collecting = Collecting(self._shared)
        self._snapshots = Snapshots(self._shared)
        self._pushes = Pushes(self._shared)
        self._meter = Meter(self.logic, runtime, self._news.set)

    @property
    def details(self) -> str:
        """How resources come to runs here, for people."""
        return self._resources.details

    async def run(self) -> None:
        """Work until `stop` was called and everything is told, or a newer agent of this node appears."""
        await self._recover()
        loops = [
            asyncio.create_task(loop())
            for loop in (
                self._sync_forever,
                self._report_forever,
                self._listen_forever,
                self._poll_forever,
                Health(self._shared, root=self._root, disk=self._disk).look_forever,
                self._meter.forever,
            )
        ]
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait([*loops, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*loops, stopping, *self._jobs):
                task.cancel()
            await asyncio.gather(*loops, stopping, *self._jobs, return_exceptions=True)
            if not self._has_left and not self.logic.attempts:
                self._resources.mounts.clean(self._root)
            await self._runtime.close()

    async def stop(self, timeout_seconds: float) -> None:
        """End all runs, tell the server that they are to run again, then let `run` return."""
        self._carry_out(self.logic.shut_down(wall()))
        deadline = time.monotonic() + timeout_seconds
        while self.logic.attempts and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        self._stopping.set()

    def leave(self, *, without_end: bool = False) -> None:
        """Let `run` return at once; the runs go on, and the next boot of the agent finds them.

        `without_end`: also when their lease is over, because the server is leaving too and gives them to nobody.
        """
        self._has_left = True
        if without_end:
            self._renew(None)
        self._stopping.set()

    async def _recover(self) -> None:
        found = await self._runtime.open()
        self._folders.find([key_of(run.key) for run in found])
        kept = [run for run in found if self._folders.has(key_of(run.key))]
        manifests = await asyncio.to_thread(self._keep_resources, kept)
        await asyncio.to_thread(self._folders.remove_others)
        for run in found:
            key = key_of(run.key)
            if not self._folders.has(key) or self._folders.was_given_up(key):
                # Its folder is gone, or an earlier boot killed it: not held, so the server takes it for lost.
                await self._runtime.stop(run.key)
                self._discard(key)
                continue
            end = None if run.exited is None else _end_of(run.exited)
            manifest = manifests.get(key)
            filled = Filled(manifest.microseconds, True, manifest.version) if manifest is not None else None
            self.logic.recover(key, run.started_at, end, filled)
            self._tails.add(key, str(self._folders.stdout(key)), str(self._folders.stderr(key)))
        if (until := self._lease.load()) is not None:
            self.logic.resume_lease(until - boot_seconds() + time.monotonic(), time.monotonic())
        if found:
            _log.info("found runs of an earlier agent", runs=len(found))

    def _keep_resources(self, found: list[Found]) -> dict[Key, Manifest]:
        """Keep what runs of an earlier agent use of the cache; remove what was made for others."""
        manifests: dict[Key, Manifest] = {}
        kept: list[tuple[str, object, Manifest]] = []
        for run in found:
            key = key_of(run.key)
            folder = self._folders.path(key)
            with contextlib.suppress(OSError, ValueError):
                manifests[key] = read_manifest(folder) or Manifest()
                kept.append((folder, key, manifests[key]))
        if removed := self._resources.recover(kept):
            _log.info("removed overlays of runs that are no more", overlays=removed)
        return {key: manifest for key, manifest in manifests.items() if manifest != Manifest()}

    # The server ------------------------------------------------------------------------------------------

    async def _sync_forever(self) -> None:
        failures = 0
        while True:
            slept = boot_seconds() - time.monotonic()
            sync = self.logic.next_sync(time.monotonic())
            try:
                orders = await self._link.sync(sync, self.logic.heartbeat_seconds + 30.0)
            except Unreachable as error:
                if failures == 0:
                    _log.warning("the server cannot be reached; what runs goes on", error=str(error))
                self._link.look_again()
                await asyncio.sleep(retry_seconds(failures))
                failures += 1
                self._shared.is_server_away = True
                self._carry_out(self.logic.tick(time.monotonic(), wall()))
                continue
            except Superseded:
                _log.error("another agent of this node has taken over; this one ends", node=self.logic.node)
                raise
            if failures:
                _log.info("the server is back")
                failures = 0
                self._shared.is_server_away = False
            self._resources.cache.use(orders.incarnation)
            effects = self.logic.orders(orders)
            if self.logic.lease_until is not None and not self._has_left:
                until = self.logic.lease_until + slept
                if until - self._renewed_until >= RENEW_SECONDS:
                    self._renew(until)
            self._carry_out(effects)

    def _renew(self, until: float | None) -> None:
        """Say until when runs may go on if this agent dies: to what can end them, and to the next agent."""
        self._runtime.renew(until)
        try:
            self._lease.store(until)
        except OSError as error:
            _log.warning("the lease could not be written down", error=str(error))
        self._renewed_until = until or 0.0

    async def _report_forever(self) -> None:
        failures = 0
        while True:
            due = self.logic.report_due(time.monotonic())
            if due is None:
                await self._news.wait()
                self._news.clear()
                continue
            delay = due - time.monotonic()
            if delay > BUSY_DELAY:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), delay)
                self._news.clear()
                continue
            if delay > 0:
                await asyncio.sleep(delay)
            message = self.logic.next_report(time.monotonic())
            try:
                receipt = await self._link.report(message)
            except (Unreachable, Gone, NotOurs) as error:
                self.logic.report_failed(message)
                if failures == 0:
                    _log.warning("a report did not get through; it will be told again", error=str(error))
                await asyncio.sleep(retry_seconds(failures))
                failures += 1
                continue
            failures = 0
            self._release(message, receipt)
            self._carry_out(self.logic.receipt(message, receipt))

    def _release(self, message: wire.Report, receipt: wire.Receipt) -> None:
        """Give back what the server has of large outputs."""
        unheard = {(known.task, known.number, known.attempt) for known in receipt.known}
        for piece in message.outputs:
            key = (piece.task, piece.number, piece.attempt)
            if piece.offset >= RELEASE_BYTES and key not in unheard:
                with contextlib.suppress(OSError):
                    self._tails.acknowledged(key, piece.stream, piece.offset + len(piece.data))

    # Effects ---------------------------------------------------------------------------------------------

    def _carry_out(self, effects: list[decide.Effect]) -> None:
        """Do what was decided, and what follows from it; starts and discards of one batch go together."""
        todo = list(effects)
        while todo:
            following: list[decide.Effect] = []
            for effect in todo:
                match effect:
                    case decide.Prepare(key):
                        following.extend(self._preparing.prepare(key))
                    case decide.Start(key):
                        self._starts.append(self._shared.specs[key])
                    case decide.Kill(key):
                        self._start_now()  # a run must be known to the runtime when it is to be killed
                        self._kill(key)
                    case decide.Resume(key, stdout_bytes, stderr_bytes):
                        self._tails.rewind(key, stdout_bytes, stderr_bytes, self.logic.works[key[0]].output_bytes)
                    case decide.Collect(key, upload):
                        following.extend(self._collecting.collect(key, upload))
                    case decide.Discard(key):
                        self._discard(key)
                    case decide.TakeSnapshot():
                        following.extend(self._snapshots.take(effect))
                    case decide.Push():
                        following.extend(self._pushes.push(effect))
            todo = following
        self._start_now()
        if self._gone:
            gone, self._gone = self._gone, []
            self._spawn(self._runtime.forget(gone))
        self._news.set()

    def _kill(self, key: Key) -> None:
        attempt = self.logic.attempts.get(key)
        if attempt is not None and attempt.verdict is not None:
            # If we die before that is told, the next boot must not take the kill for the user's failure.
            with contextlib.suppress(OSError):
                self._folders.give_up(key)
        self._spawn(self._runtime.stop(key_text(key)))

    def _start_now(self) -> None:
        if self._starts:
            starts, self._starts = self._starts, []
            self._spawn(self._start(starts))

    async def _start(self, specs: list[RunSpec]) -> None:
        runs = [spec.key for spec in specs]
        try:
            require_floor(self._root, self._disk)  # what is written to a full disk fails, and looks like the user's
            await self._runtime.start(specs)
        except Exception as error:
            if is_fault(error):
                _log.warning("this node starts nothing for now", runs=runs, error=str(error))
            else:
                _log.exception("runs could not be started", runs=runs)
            for spec in specs:
                await self._runtime.stop(spec.key)
                self._carry_out(self._not_started(key_of(spec.key), error))

    def _not_started(self, key: Key, error: Exception) -> list[decide.Effect]:
        mono = time.monotonic()
        if is_fault(error):
            return self.logic.fault(key, could_not("start it", error), wall(), mono)
        return self.logic.exited(key, broken("start it", error), mono)

    def _spawn_in_folder(self, key: Key, work: Coroutine[Any, Any, None]) -> None:
        """Spawn a job that uses the attempt's folder: nobody else gets the folder before the job is over."""
        self._spawn(self._in_folder(self._using(key), work))

    async def _in_folder(self, using: contextlib.AbstractContextManager[None], work: Coroutine[Any, Any, None]) -> None:
        with using:
            await self._guard(work)

    @contextlib.contextmanager
    def _using(self, key: Key) -> Iterator[None]:
        self._busy[key] = self._busy.get(key, 0) + 1
        try:
            yield
        except asyncio.CancelledError:
            raise  # the folder is kept: a thread of the job may still be at work
        except BaseException:
            self._used(key)
            raise
        self._used(key)

    def _used(self, key: Key) -> None:
        self._busy[key] -= 1
        if not self._busy[key]:
            del self._busy[key]
            if key in self._unwanted:
                self._unwanted.remove(key)
                self._give_back(key)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        job = asyncio.create_task(self._guard(work))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("an effect failed")

    def _discard(self, key: Key) -> None:
        self._shared.specs.pop(key, None)
        self._shared.notes.pop(key, None)
        self._tails.drop(key)
        self._gone.append(key_text(key))
        if key in self._busy:
            self._unwanted.add(key)
        else:
            self._give_back(key)

    def _give_back(self, key: Key) -> None:
        slot = self._folders.release(key)
        if slot is not None:
            self._spawn(self._clear(key, slot))

    async def _clear(self, key: Key, slot: int) -> None:
        folder = self._folders.folder(slot)
        await asyncio.to_thread(self._resources.unmount, folder)
        self._resources.cache.release_trees(key)
        await asyncio.to_thread(self._folders.clear, slot)
        self._folders.recycle(slot)

    # What runs tell --------------------------------------------------------------------------------------

    async def _listen_forever(self) -> None:
        events = self._runtime.events
        while True:
            batch = [await events.get()]
            while not events.empty():
                batch.append(events.get_nowait())
            effects: list[decide.Effect] = []
            for event in batch:
                effects.extend(self._heard(event))
            self._carry_out(effects)

    def _heard(self, event: RunEvent) -> list[decide.Effect]:
        key = key_of(event.key)
        mono = time.monotonic()
        match event:
            case Started(_, at):
                return self.logic.started(key, at)
            case Exited():
                self.logic.started(key, event.started_at)
                return self.logic.exited(key, _end_of(event), mono)
            case Refused():
                end = RunEnd(event.at, event.exit_code, event.code, event.message)
                return self.logic.exited(key, end, mono)
            case Lost(is_fault=True):
                return self.logic.fault(key, event.message, event.at, mono)
            case Lost():
                return self.logic.exited(key, RunEnd(event.at, lost=True, error_message=event.message), mono)

    async def _poll_forever(self) -> None:
        while True:
            is_quick = 0 < self._tails.count() <= QUICK_POLL_RUNS
            await asyncio.sleep(QUICK_POLL_SECONDS if is_quick else POLL_SECONDS)
            mono = time.monotonic()
            told = False
            for key in self._tails.followed():
                attempt = self.logic.attempts.get(key)
                if attempt is None or attempt.phase is not decide.Phase.RUNNING or not attempt.confirmed:
                    continue
                before = self.logic.pending_output_bytes
                with contextlib.suppress(OSError):  # the end will say what is wrong with its files
                    if before >= PENDING_OUTPUT_BYTES:
                        self._tails.trim(key)
                        continue
                    self._tails.poll(key, mono, at_most=1 << 20)
                told |= self.logic.pending_output_bytes != before
            effects = self.logic.tick(mono, wall())
            if effects:
                self._carry_out(effects)
            elif told or self.logic.report_due(mono) is not None:
                self._news.set()


def _end_of(exited: Exited) -> RunEnd:
    code = message = ""
    if exited.out_of_memory:
        code, message = "OUT_OF_MEMORY", "it was ended because it used more memory than it may"
    return RunEnd(
        exited.at,
        exited.exit_code,
        code,
        message,
        cpu_microseconds=exited.usage.cpu_microseconds,
        peak_memory=exited.usage.peak_memory_bytes,
    )
