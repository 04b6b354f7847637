"""The node program: carries out what `logic` decides, and tells it what happened."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import structlog

from hearth.agent import attempt as decide
from hearth.agent import results
from hearth.agent.attempt import Key, RunEnd
from hearth.agent.command import notes_on, refusal_of_image, run_spec
from hearth.agent.folders import Folders, key_of, key_text
from hearth.agent.lease import StoredLease, boot_seconds
from hearth.agent.link import Gone, Link, NotOurs, Superseded, Unreachable
from hearth.agent.logic import Logic
from hearth.agent.resources import Resources, Unfit, read_manifest, write_manifest
from hearth.agent.runtime.base import Exited, Image, Lost, Refused, RunEvent, RunSpec, Runtime, Started
from hearth.agent.tail import Tails
from hearth.domain.command import expand
from hearth.domain.errors import Invalid
from hearth.wire import agent as wire

_log = structlog.get_logger(__name__)

POLL_SECONDS = 0.05
# Output that waits for the server; beyond it the spool files wait instead.
PENDING_OUTPUT_BYTES = 8 << 20
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
# So often resources are tried again while the server answers otherwise, some two minutes: then another node may try.
PREPARE_TRIES = 60
UPLOADS_AT_ONCE = 8
# Orders come often; the lease that they renew need not be told each time.
RENEW_SECONDS = 0.2


def wall() -> int:
    """Return the time of the wall clock in microseconds."""
    return time.time_ns() // 1000


class Agent:
    """One boot of the agent of one node."""

    def __init__(self, *, node: str, boot: int, offer: wire.Offer, root: Path, link: Link, runtime: Runtime) -> None:
        self.logic = Logic(node, boot, offer)
        self._link = link
        self._runtime = runtime
        self._folders = Folders(root)
        self._resources = Resources(root, link)
        self._tails = Tails(self.logic.output)
        self._specs: dict[Key, RunSpec] = {}
        self._images: dict[Image, asyncio.Task[Refused | None]] = {}
        self._news = asyncio.Event()  # there may be something to report
        self._jobs: set[asyncio.Task[None]] = set()
        self._busy: dict[Key, int] = {}  # jobs that use an attempt's folder
        self._unwanted: set[Key] = set()  # discarded while such a job was under way
        self._server_away = False
        self._starts: list[RunSpec] = []
        self._gone: list[str] = []
        self._uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._stopping = asyncio.Event()
        self._lease = StoredLease(root / "lease")
        self._renewed_until = 0.0
        self._has_left = False

    async def run(self) -> None:
        """Work until `stop` was called and everything is told, or a newer agent of this node appears."""
        await self._recover()
        loops = [
            asyncio.create_task(loop())
            for loop in (self._sync_forever, self._report_forever, self._listen_forever, self._poll_forever)
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
        await asyncio.to_thread(self._folders.recover, [key_of(run.key) for run in found])
        for run in found:
            key = key_of(run.key)
            if not self._folders.has(key) or self._folders.was_given_up(key):
                # Its folder is gone, or an earlier boot killed it: not held, so the server takes it for lost.
                await self._runtime.stop(run.key)
                self._discard(key)
                continue
            end = None if run.exited is None else _end_of(run.exited)
            self.logic.recover(key, run.started_at, end)
            self._tails.add(key, str(self._folders.stdout(key)), str(self._folders.stderr(key)))
        if (until := self._lease.load()) is not None:
            self.logic.resume_lease(until - boot_seconds() + time.monotonic(), time.monotonic())
        if found:
            _log.info("found runs of an earlier agent", runs=len(found))

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
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
                self._server_away = True
                self._carry_out(self.logic.tick(time.monotonic(), wall()))
                continue
            except Superseded:
                _log.error("another agent of this node has taken over; this one ends", node=self.logic.node)
                raise
            if failures:
                _log.info("the server is back")
                failures = 0
                self._server_away = False
            self._resources.use(orders.incarnation)
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
            if (delay := due - time.monotonic()) > 0:
                await asyncio.sleep(delay)
            message = self.logic.next_report(time.monotonic())
            try:
                receipt = await self._link.report(message)
            except (Unreachable, Gone, NotOurs) as error:
                self.logic.report_failed(message)
                if failures == 0:
                    _log.warning("a report did not get through; it will be told again", error=str(error))
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
                continue
            failures = 0
            self._carry_out(self.logic.receipt(message, receipt))

    # Effects ---------------------------------------------------------------------------------------------

    def _carry_out(self, effects: list[decide.Effect]) -> None:
        """Do what was decided, and what follows from it; starts and discards of one batch go together."""
        todo = list(effects)
        while todo:
            following: list[decide.Effect] = []
            for effect in todo:
                match effect:
                    case decide.Prepare(key):
                        following.extend(self._prepare(key))
                    case decide.Start(key):
                        self._starts.append(self._specs[key])
                    case decide.Kill(key):
                        self._start_now()  # a run must be known to the runtime when it is to be killed
                        self._kill(key)
                    case decide.Resume(key, stdout_bytes, stderr_bytes):
                        self._tails.rewind(key, stdout_bytes, stderr_bytes, self.logic.works[key[0]].output_bytes)
                    case decide.Collect(key, upload):
                        following.extend(self._collect(key, upload))
                    case decide.Discard(key):
                        self._discard(key)
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
        try:
            await self._runtime.start(specs)
        except Exception as error:
            _log.exception("runs could not be started", runs=[spec.key for spec in specs])
            for spec in specs:
                await self._runtime.stop(spec.key)
                self._carry_out(self.logic.exited(key_of(spec.key), _broken("start it", error), time.monotonic()))

    def _spawn_in_folder(self, key: Key, work: Coroutine[Any, Any, None]) -> None:
        """Spawn a job that uses the attempt's folder: nobody else gets the folder before the job is over."""
        self._busy[key] = self._busy.get(key, 0) + 1
        self._spawn(self._in_folder(key, work))

    async def _in_folder(self, key: Key, work: Coroutine[Any, Any, None]) -> None:
        await self._guard(work)  # a job that is cancelled keeps the folder: a thread of it may still be at work
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

    def _prepare(self, key: Key) -> list[decide.Effect]:
        """Make the attempt ready: at once when only a folder is needed, else in a job of its own."""
        work = self.logic.works[key[0]]
        refusal = refusal_of_image(work, self._runtime)
        if refusal is not None:
            return self._refuse(key, "IMAGES_NEED_DOCKER", refusal)
        try:
            self._folders.make(key)
            spec = self._specs[key] = run_spec(work, key, self._folders, self._runtime)
        except Invalid as error:
            return self._refuse(key, "BAD_COMMAND", error.message)
        except Exception as error:
            _log.exception("an attempt could not be prepared", run=key_text(key))
            return self.logic.failed(key, _broken("make its folder", error), 0.0)
        if work.resources or (spec.image is not None and not self._is_present(spec.image)):
            self._spawn_in_folder(key, self._prepare_slowly(key, work, spec))
            return []
        return self._ready(key, spec)

    def _is_queued(self, key: Key) -> bool:
        attempt = self.logic.attempts.get(key)
        return attempt is not None and attempt.phase is decide.Phase.QUEUED

    def _ready(self, key: Key, spec: RunSpec) -> list[decide.Effect]:
        if not self._is_queued(key):
            return []  # it was taken away meanwhile
        self._tails.add(key, str(spec.stdout), str(spec.stderr), self.logic.works[key[0]].output_bytes)
        return self.logic.prepared(key, time.monotonic())

    def _refuse(self, key: Key, code: str, message: str, exit_code: int | None = None) -> list[decide.Effect]:
        end = RunEnd(wall(), exit_code=exit_code, error_code=code, error_message=message)
        return self.logic.failed(key, end, time.monotonic())

    def _is_present(self, image: Image) -> bool:
        pulling = self._images.get(image)
        return pulling is not None and pulling.done() and not pulling.cancelled() and pulling.result() is None

    async def _prepare_slowly(self, key: Key, work: wire.Work, spec: RunSpec) -> None:
        failures = tries = 0
        while self._is_queued(key):
            try:
                if spec.image is not None and (refused := await self._pull(spec.image)) is not None:
                    self._carry_out(self._refuse(key, refused.code, refused.message, refused.exit_code))
                    return
                if work.resources:
                    placed, notes = await self._resources.place(key[0], spec.directory)
                    write_manifest(self._folders.path(key), placed, notes)
                self._carry_out(self._ready(key, spec))
                return
            except Gone as error:
                self._carry_out(self._refuse(key, "RESOURCE_MISSING", f"a resource is not there any more: {error}"))
                return
            except Unfit as error:
                self._carry_out(self._refuse(key, "RESOURCE_UNFIT", str(error)))
                return
            except (Unreachable, OSError) as error:
                # The server is away, or the disk is full: it may pass. The lease says how long to wait for a server.
                tries += isinstance(error, OSError) or not self._server_away
                if tries >= PREPARE_TRIES:
                    self._carry_out(self.logic.failed(key, _broken("get its resources", error), time.monotonic()))
                    return
                _log.warning("resources did not arrive; trying again", run=key_text(key), error=str(error))
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
            except Exception as error:
                _log.exception("an attempt could not be prepared", run=key_text(key))
                self._carry_out(self.logic.failed(key, _broken("prepare it", error), time.monotonic()))
                return

    async def _pull(self, image: Image) -> Refused | None:
        pulling = self._images.get(image)
        if pulling is None:
            pulling = self._images[image] = asyncio.create_task(self._runtime.prepare(image))
        try:
            refused = await asyncio.shield(pulling)
        except Exception:
            self._images.pop(image, None)
            raise
        if refused is not None:
            self._images.pop(image, None)  # it may be pushed later
        return refused

    def _discard(self, key: Key) -> None:
        self._specs.pop(key, None)
        self._tails.drop(key)
        self._gone.append(key_text(key))
        if key in self._busy:
            self._unwanted.add(key)
        else:
            self._give_back(key)

    def _give_back(self, key: Key) -> None:
        slot = self._folders.release(key)
        if slot is not None:
            self._spawn(self._clear(slot))

    async def _clear(self, slot: int) -> None:
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
            case Lost():
                return self.logic.exited(key, RunEnd(event.at, lost=True, error_message=event.message), mono)

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            mono = time.monotonic()
            told = False
            for key in self._tails.followed():
                attempt = self.logic.attempts.get(key)
                if attempt is None or attempt.phase is not decide.Phase.RUNNING or not attempt.confirmed:
                    continue
                if self.logic.pending_output_bytes >= PENDING_OUTPUT_BYTES:
                    break
                before = self.logic.pending_output_bytes
                with contextlib.suppress(OSError):  # the end will say what is wrong with its files
                    self._tails.poll(key, mono, at_most=1 << 20)
                told |= self.logic.pending_output_bytes != before
            effects = self.logic.tick(mono, wall())
            if effects:
                self._carry_out(effects)
            elif told or self.logic.report_due(mono) is not None:
                self._news.set()

    # Ends ------------------------------------------------------------------------------------------------

    def _collect(self, key: Key, upload: bool) -> list[decide.Effect]:
        """Hand over what the run left: at once when that is little output and nothing to upload."""
        work = self.logic.works[key[0]]
        mono = time.monotonic()
        is_little = not upload and self.logic.pending_output_bytes < PENDING_OUTPUT_BYTES
        with contextlib.suppress(OSError):
            if is_little and not self._tails.poll(key, mono, at_most=1 << 20, flush=True):
                notes = notes_on(work, self._runtime) + self._tails.notes(key)
                return self.logic.collected(key, [], notes, None, mono)
        self._spawn_in_folder(key, self._collect_slowly(key, work, upload))
        return []

    async def _collect_slowly(self, key: Key, work: wire.Work, upload: bool) -> None:
        try:
            files, notes, failure = await self._collected(key, work, upload)
        except NotOurs:
            return  # the receipt of the next report says so too
        except Exception as error:
            _log.exception("a run could not be collected", run=key_text(key))
            files, notes, failure = [], [], _broken("collect what it left", error)
        self._carry_out(self.logic.collected(key, files, notes, failure, time.monotonic()))

    async def _collected(
        self, key: Key, work: wire.Work, upload: bool
    ) -> tuple[list[wire.ResultFile], list[str], RunEnd | None]:
        while self._tails.poll(key, time.monotonic(), at_most=1 << 20, flush=True):
            self._news.set()
            while self.logic.pending_output_bytes >= PENDING_OUTPUT_BYTES:
                await asyncio.sleep(0.01)
        files: list[wire.ResultFile] = []
        notes = notes_on(work, self._runtime) + self._tails.notes(key)
        failure = None
        if upload:
            try:
                files, more = await self._upload(key, work)
                notes += more
            except (results.BadFilter, Invalid) as error:
                failure = RunEnd(wall(), None, "BAD_RESULTS_FILTER", str(error))
            except results.TooMany as error:
                failure = RunEnd(wall(), None, "TOO_MANY_RESULTS", str(error))
            except _Unwanted:
                pass
        return files, notes, failure

    async def _upload(self, key: Key, work: wire.Work) -> tuple[list[wire.ResultFile], list[str]]:
        placed, notes = await asyncio.to_thread(read_manifest, self._folders.path(key))
        constants = run_spec(work, key, self._folders, self._runtime).environment
        selection = await asyncio.to_thread(
            results.select,
            self._folders.job(key),
            placed,
            expand(work.results_whitelist, constants),
            expand(work.results_blacklist, constants),
        )
        files: list[wire.ResultFile] = []
        paths = iter(selection.files.items())

        async def some() -> None:
            for path, file in paths:
                files.append(await self._upload_one(key, work, path, file))

        workers = [asyncio.create_task(some()) for _ in range(min(UPLOADS_AT_ONCE, len(selection.files)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return sorted(files, key=lambda file: file.path), notes + selection.notes

    async def _upload_one(self, key: Key, work: wire.Work, path: str, file: Path) -> wire.ResultFile:
        failures = 0
        async with self._uploads:
            while True:
                attempt = self.logic.attempts.get(key)
                if attempt is None or attempt.phase is not decide.Phase.COLLECTING:
                    raise NotOurs(key_text(key))
                if attempt.cancelled and not work.upload_on_cancel:
                    raise _Unwanted
                try:
                    size = os.stat(file).st_size
                    stored = await self._link.put_result(key, _blocks(file), size)
                    return wire.ResultFile(path, stored.blob, stored.size, stored.etag)
                except (Unreachable, Gone) as error:
                    _log.warning("a result did not get through; trying again", run=key_text(key), error=str(error))
                    await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                    failures += 1


class _Unwanted(Exception):
    """The user does not want the results any more."""


def _broken(what: str, error: Exception) -> RunEnd:
    """Return the end of an attempt that this node failed: it may run elsewhere."""
    return RunEnd(wall(), lost=True, error_message=f"the node could not {what}: {error or type(error).__name__}")


async def _blocks(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as source:
        while block := await asyncio.to_thread(source.read, 1 << 20):
            yield block


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
