"""The agents' door: sync, report, and the files that move under the right of a lease."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import structlog

from hearth.control.fleet import Session, StaleSync, held_keys
from hearth.control.lease_files import Holder, listing, require_blob, require_holder
from hearth.control.report import Outcome, report
from hearth.control.site import Site
from hearth.control.store_output import OutputLimits
from hearth.control.sync import Difference, compare, greet, lose
from hearth.control.work import work
from hearth.domain.errors import HearthError, Invalid, NotAllowed
from hearth.store.queries import tasks
from hearth.store.queries.nodes import NodeRow
from hearth.wire import agent as wire

_log = structlog.get_logger(__name__)

SECOND = 1_000_000
# How often a node's row is written while it talks all the time.
WRITE_EVERY = SECOND
BODY_LIMIT = 64 << 20

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class AgentDoor:
    """An ASGI application for the paths below /agent/v1."""

    def __init__(self, site: Site, node_token: str) -> None:
        self._site = site
        self._token = node_token.encode()
        self._bells: dict[int, asyncio.Event] = {}
        self._node_ids: dict[str, int] = {}
        self._sync_decoder = msgspec.msgpack.Decoder(wire.Sync)
        self._report_decoder = msgspec.msgpack.Decoder(wire.Report)
        self._encoder = msgspec.msgpack.Encoder()
        self._limits = OutputLimits(
            site.settings.output_limit_instance_mb << 20, site.settings.output_limit_task_mb << 20
        )

    def wake(self, node_id: int) -> None:
        """Let the node's parked request look again."""
        bell = self._bells.get(node_id)
        if bell is not None:
            bell.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix("/agent/v1/")
        try:
            self._authorize(scope)
            match scope["method"], path.split("/"):
                case "POST", ["sync"]:
                    body = self._sync_decoder.decode(await _body(receive))
                    await self._answer(send, await self._sync(body, receive))
                case "POST", ["report"]:
                    await self._answer(send, await self._report(self._report_decoder.decode(await _body(receive))))
                case "GET", ["resources", task]:
                    files = await self._site.store.read(listing, _number("task", task))
                    await self._answer(send, wire.Listing(files))
                case "GET", ["blobs", task, blob]:
                    await self._send_blob(send, _number("task", task), _number("blob", blob))
                case "PUT", ["results", task, number, attempt]:
                    holder = Holder(*(_number(n, v) for n, v in zip(_HOLDER, (task, number, attempt), strict=True)))
                    await self._answer(send, await self._take_result(holder, receive))
                case _:
                    await _respond(send, 404, b"no such request of the agent protocol")
        except _Disconnected:
            return  # nobody is there to be answered
        except StaleSync:
            await _respond(send, 409, b"a newer message of this node was heard already")
        except HearthError as refusal:
            await _respond(send, refusal.status, refusal.message.encode())
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            await _respond(send, 400, f"not a message of protocol {wire.PROTOCOL}: {error}".encode())

    def _authorize(self, scope: Scope) -> None:
        for name, value in scope["headers"]:
            if name == b"authorization" and hmac.compare_digest(value, b"Bearer " + self._token):
                return
        raise _Unauthorized

    async def _answer(self, send: Send, message: object) -> None:
        await _respond(send, 200, self._encoder.encode(message), wire.CONTENT_TYPE)

    # Sync --------------------------------------------------------------------------------------------

    async def _sync(self, sync: wire.Sync, receive: Receive) -> wire.Orders:
        if sync.protocol not in wire.ACCEPTED_PROTOCOLS:
            accepted = ", ".join(map(str, wire.ACCEPTED_PROTOCOLS))
            raise Invalid("protocol", f"this server speaks {accepted}, the node {sync.protocol}; upgrade the older one")
        site = self._site
        now = site.now()
        node_id = await self._node_id(sync, now)
        session = site.fleet.meet(node_id, sync, now)
        if session.written_at == 0:
            session.written_at = now
        bell = self._bells.setdefault(node_id, asyncio.Event())
        bell.set()  # an older request of this node that is still parked ends now
        bell = self._bells[node_id] = asyncio.Event()
        difference = await self._difference(session, sync, now)
        if not (difference.is_told or session.has_news()):
            await self._park(session, bell, receive)
        return await self._orders(session, difference)

    async def _node_id(self, sync: wire.Sync, now: int) -> int:
        """Return the node's number, writing that it spoke when that was not written for a while."""
        site = self._site
        node_id = self._node_ids.get(sync.node)
        session = None if node_id is None else site.fleet.sessions.get(node_id)
        if session is not None and session.boot == sync.boot and now - session.written_at < WRITE_EVERY:
            return session.node_id
        lease = int(site.settings.lease_seconds * SECOND)
        row: NodeRow = await site.store.write(greet, sync, now, now + lease)
        self._node_ids[sync.node] = row.id
        if session is not None:
            if now - session.written_at > lease // 2:
                # What it was given and never saw may have been taken back; the comparison brings what was not.
                session.grants.clear()
                session.checked_at = 0
            session.written_at = now
        return row.id

    async def _difference(self, session: Session, sync: wire.Sync, now: int) -> Difference:
        """Compare with the database when something may have been lost on the way, and at each heartbeat."""
        site = self._site
        answer_lost = sync.seen != session.sequence
        due = now - session.checked_at >= site.settings.heartbeat_seconds * SECOND
        if not (answer_lost or due):
            return Difference()
        session.comparisons += 1
        session.checked_at = now
        if site.usages.knows(session.node_id):
            site.usages.keep(session.node_id, held_keys(sync.holds), now)
        difference = await site.store.read(compare, session.node_id, sync)
        if difference.lost:
            _log.warning("node came back without some of its attempts", node=sync.node, lost=len(difference.lost))
            reason = f"the node {sync.node} started again and no longer had it"
            await site.store.write(
                lose, difference.lost, now, reason=reason, losses_allowed=site.settings.losses_allowed
            )
            site.work_waits()
        return difference

    async def _park(self, session: Session, bell: asyncio.Event, receive: Receive) -> None:
        """Wait until there is something to say, the heartbeat is over, or the agent is gone."""
        gone = asyncio.ensure_future(_disconnected(receive))
        rung = asyncio.ensure_future(bell.wait())
        session.parked = True
        self._site.work_waits()
        try:
            await asyncio.wait(
                {gone, rung},
                timeout=self._site.settings.heartbeat_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            session.parked = self._bells.get(session.node_id) is not bell and session.parked
            rung.cancel()
            gone.cancel()

    async def _orders(self, session: Session, difference: Difference) -> wire.Orders:
        site = self._site
        orders, grants = site.fleet.orders(
            session,
            incarnation=site.incarnation,
            lease_seconds=site.settings.lease_seconds,
            heartbeat_seconds=site.settings.heartbeat_seconds,
        )
        works = {grant.task.id: work(site, grant.task) for grant in grants}
        missing = {key[0] for key in difference.resend} | {known.task for known in difference.known}
        # A run that outlived its agent is collected by its task's rules also when it was cancelled meanwhile.
        missing |= {stop.task for stop in difference.stops if stop.cancelled}
        if missing - works.keys():
            rows = await site.store.read(tasks.many, sorted(missing - works.keys()))
            works.update((task_id, work(site, row)) for task_id, row in rows.items())
        return msgspec.structs.replace(
            orders,
            works=list(works.values()),
            leases=orders.leases + [wire.Leased(task, attempt, str(n)) for task, n, attempt in difference.resend],
            stops=orders.stops + difference.stops,
            known=difference.known,
            snapshots=orders.snapshots + [s for s in difference.snapshots if s not in orders.snapshots],
            updates=orders.updates + [u for u in difference.updates if u not in orders.updates],
        )

    # Report ------------------------------------------------------------------------------------------

    async def _report(self, message: wire.Report) -> wire.Receipt:
        site = self._site
        if message.incarnation != site.incarnation:
            # Attempts of a database that was restored since: their numbers may be given again.
            return wire.Receipt(refused=_all_attempts(message))
        if not _tells_of_attempts(message):
            outcome = Outcome(wire.Receipt(), requeued=False)
        else:
            outcome = await site.store.write(
                report, message, now=site.now(), losses_allowed=site.settings.losses_allowed, limits=self._limits
            )
        node_id = self._node_ids.get(message.node)
        if node_id is not None:
            site.fleet.hear_report(node_id, message, site.now())
            ended = [(end.task, end.number, end.attempt) for end in message.ended]
            site.usages.take(node_id, message.boot, message.usages, ended, site.now())
        if outcome.requeued or message.ended or not _is_empty(message.room):
            site.work_waits()
        return outcome.receipt

    # Files -------------------------------------------------------------------------------------------

    async def _send_blob(self, send: Send, task_id: int, blob_id: int) -> None:
        site = self._site
        size = await site.store.read(require_blob, task_id, blob_id)
        headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % size)]
        async with aclosing(site.blobs.open(blob_id)) as blocks:
            block = await anext(blocks, b"")  # before the answer begins: until then it can be a refusal
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while block:
                await send({"type": "http.response.body", "body": block, "more_body": True})
                block = await anext(blocks, b"")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _take_result(self, holder: Holder, receive: Receive) -> wire.ResultFile:
        account_id = await self._site.store.read(require_holder, holder)
        blob = await self._site.blobs.put(account_id, _stream(receive))
        return wire.ResultFile("", blob.id, blob.size_bytes, blob.etag)


_HOLDER = ("task", "number", "attempt")


class _Unauthorized(NotAllowed):
    status = 401

    def __init__(self) -> None:
        super().__init__("this is not the token of a node of this site")


class _Disconnected(Exception):
    """The agent went away in the middle of its request."""


def _all_attempts(message: wire.Report) -> list[wire.Refusal]:
    parts = (message.started, message.outputs, message.exited, message.ended, message.snapshots)
    items = (item for part in parts for item in part)
    return [wire.Refusal(*key) for key in sorted({(item.task, item.number, item.attempt) for item in items})]


def _tells_of_attempts(message: wire.Report) -> bool:
    """Answer whether a report has something to store; room and measurements alone cost no transaction."""
    return bool(message.started or message.outputs or message.exited or message.ended or message.snapshots)


def _is_empty(room: wire.Room) -> bool:
    return room.cores <= 0 and room.ahead <= 0


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise Invalid(name, f"{text!r} is not a number")
    return int(text)


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in _stream(receive):
        size += len(part)
        if size > BODY_LIMIT:
            raise Invalid("", f"a message may have {BODY_LIMIT} bytes at most")
        parts.append(part)
    return b"".join(parts)


async def _stream(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Disconnected
        if body := message.get("body", b""):
            yield body
        if not message.get("more_body", False):
            return


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _respond(send: Send, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
