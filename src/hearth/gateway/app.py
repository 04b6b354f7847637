"""The S3 door: an ASGI callable that proves who asks, finds the call, and answers in S3's words."""

from __future__ import annotations

import asyncio
import errno
import secrets as chance
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any

import structlog

from hearth.control.blobs import BlobStore
from hearth.domain.errors import HearthError
from hearth.gateway.auth import Secrets, authenticate
from hearth.gateway.body import Body, ClientGone, Receive, Wire
from hearth.gateway.call import Answer, Call
from hearth.gateway.errors import S3Error, in_s3_words
from hearth.gateway.request import Request, read_request
from hearth.gateway.routes import route
from hearth.gateway.xml import document, element
from hearth.store.door import Store

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Of a body that nobody wants this much is read, so that its sender hears why; then the connection closes.
DRAIN_BYTES = 16 * 1024 * 1024

_log = structlog.get_logger(__name__)


def _random_token() -> str:
    return chance.token_hex(16)


class Gateway:
    """S3 over one store, for the accounts that `secrets` knows.

    Buckets are named in the path, or, where `base_domain` is given, in the host name before it.
    """

    def __init__(
        self,
        store: Store,
        blobs: BlobStore,
        secrets: Secrets,
        now: Callable[[], int],
        *,
        base_domain: str = "",
        token: Callable[[], str] = _random_token,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._secrets = secrets
        self._now = now
        self._base_domain = base_domain
        self._token = token

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            raise ValueError(f"the storage gateway speaks HTTP, not {scope['type']}")

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        request_id = self._token()
        wire: Wire | None = None
        request: Request | None = None
        try:
            request = read_request(scope, self._base_domain, request_id)
            wire = Wire(receive, request)
            answer = await self._call(request, wire)
        except ClientGone:
            return
        except Exception as error:
            answer = _refusal(_told(error, request_id), request, request_id)
        try:
            keeps = wire is not None and (wire.finished or await wire.drain(DRAIN_BYTES))
        except ClientGone:
            return
        await _send(answer, receive, send, request_id, head=scope["method"] == "HEAD", keeps=keeps)

    async def _call(self, request: Request, wire: Wire) -> Answer:
        now = self._now()
        caller = await authenticate(request, self._secrets, now)
        handler = route(request)
        body = Body(wire, request, caller.payload, caller.chunk_signer)
        return await handler(Call(request, caller, body, self._store, self._blobs, now=now, token=self._token))


def _told(error: Exception, request_id: str) -> S3Error:
    """Return what the client is told of a failure; what it cannot help goes to the log."""
    if isinstance(error, S3Error):
        return error
    if isinstance(error, HearthError) and in_s3_words(error).status < 500:
        return in_s3_words(error)
    _log.exception("storage request failed", request_id=request_id, exc_info=error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return S3Error("InsufficientStorage", "The storage has no room left")
    if isinstance(error, HearthError):
        return in_s3_words(error)
    return S3Error("InternalError", "The storage failed at this; the server's log says where")


def _refusal(error: S3Error, request: Request | None, request_id: str) -> Answer:
    if error.status == 304:
        return Answer(304, error.headers)
    content = [element("Code", error.code), element("Message", error.message)]
    content += [element(name, value) for name, value in error.fields.items()]
    if request is not None:
        resource = f"/{request.bucket}/{request.key}" if request.key else f"/{request.bucket}"
        content.append(element("Resource", resource))
    content.append(element("RequestId", request_id))
    body = document("Error", *content, namespace=False)
    return Answer(error.status, {"content-type": "application/xml", **error.headers}, body)


async def _send(answer: Answer, receive: Receive, send: Send, request_id: str, *, head: bool, keeps: bool) -> None:
    headers = {**answer.headers, "x-amz-request-id": request_id, "server": "Hearth"}
    length = answer.length
    if length is None and isinstance(answer.body, bytes):
        length = len(answer.body)
    if answer.status not in (204, 304):
        headers["content-length"] = str(length)
    if not keeps:
        headers["connection"] = "close"
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    if isinstance(answer.body, bytes):
        await send({"type": "http.response.body", "body": b"" if head else answer.body})
    else:
        await _stream(answer.body, receive, send)


async def _stream(blocks: AsyncGenerator[bytes], receive: Receive, send: Send) -> None:
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        async with aclosing(blocks):
            async for block in blocks:
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
