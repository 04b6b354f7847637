"""The body of one request: read as it arrives, decoded, counted, and compared with what was promised."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from hearth.gateway.checksums import Check, checksum_of, promised
from hearth.gateway.chunked import ChunkDecoder
from hearth.gateway.errors import S3Error
from hearth.gateway.request import Request
from hearth.gateway.signature import UNSIGNED, ChunkSigner

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MAX_OBJECT_BYTES = 5 * 1024**3
_SIGNED_CHUNKS = {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"}
_UNSIGNED_CHUNKS = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class Wire:
    """The bytes of the body as HTTP brings them; knows how much of it was read."""

    def __init__(self, receive: Receive, headers: Request) -> None:
        self._receive = receive
        self._expects = (headers.header("expect") or "").lower() == "100-continue"
        length = headers.header("content-length")
        self.length = int(length) if length is not None and length.isascii() and length.isdigit() else None
        self.started = False
        self.finished = self.length == 0 or (self.length is None and headers.header("transfer-encoding") is None)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what comes; ClientGone when it ends too early."""
        while not self.finished:
            self.started = True
            message = await self._receive()
            if message["type"] != "http.request":
                self.finished = True
                raise ClientGone
            self.finished = not message.get("more_body", False)
            body: bytes = message.get("body", b"")
            if body:
                yield body

    async def drain(self, limit: int) -> bool:
        """Read a rest that nobody wants, so that the client hears the answer; False when it is too long."""
        if self._expects and not self.started:
            return self.finished  # the client waits for our word, and sends nothing now
        async for chunk in self.chunks():
            limit -= len(chunk)
            if limit < 0:
                return False
        return True


class Body:
    """The content of the body. Read `chunks` to the end (or `read`), then `require_promises`."""

    def __init__(self, wire: Wire, request: Request, payload: str, signer: ChunkSigner) -> None:
        self._wire = wire
        self._decoder: ChunkDecoder | None = None
        if payload in _SIGNED_CHUNKS:
            self._decoder = ChunkDecoder(signer)
        elif payload == _UNSIGNED_CHUNKS:
            self._decoder = ChunkDecoder(None)
        elif payload != UNSIGNED and len(payload) != 64:
            raise S3Error("InvalidArgument", f"x-amz-content-sha256 {payload[:80]!r} is not known")
        # Where parts are put together, the checksum is that of the object, not of the list in the body.
        completes = request.method == "POST" and request.parameter("uploadId") is not None
        self.checks: list[Check] = promised(request.headers, payload, with_checksum=not completes)
        self.length = self._content_length(request)
        self._limit = MAX_OBJECT_BYTES
        if self.length is not None and self.length > MAX_OBJECT_BYTES:
            raise S3Error("EntityTooLarge", f"A body may have {MAX_OBJECT_BYTES} bytes; upload more in parts")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the content."""
        size = 0
        async for raw in self._wire.chunks():
            for chunk in self._decoder.feed(raw) if self._decoder is not None else (raw,):
                size += len(chunk)
                if size > self._limit:
                    raise S3Error("EntityTooLarge", f"The body may have {self._limit} bytes")
                yield chunk
        if self._decoder is not None:
            self._decoder.finish()
        if self.length is not None and size != self.length:
            raise S3Error("IncompleteBody", f"The body has {size} bytes, not {self.length}")

    async def read(self, limit: int) -> bytes:
        """Return all of a body that must be small, as promised."""
        self._limit = limit
        if self.length is not None and self.length > limit:
            raise S3Error("MaxMessageLengthExceeded", f"This body may have {limit} bytes")
        content = bytearray()
        async for chunk in self.chunks():
            content += chunk
            for check in self.checks:
                check.running.update(chunk)
        self.require_promises()
        return bytes(content)

    def require_promises(self) -> None:
        """Refuse a body that differs from what its headers and trailers say."""
        trailers = self._decoder.trailers if self._decoder is not None else {}
        for check in self.checks:
            check.require(trailers)

    @property
    def checksum(self) -> tuple[str, str] | None:
        """The (algorithm, base64) that the client chose, once the body was read."""
        return checksum_of(self.checks)

    def _content_length(self, request: Request) -> int | None:
        if self._decoder is None:
            return self._wire.length
        text = request.header("x-amz-decoded-content-length")
        if text is None or not (text.isascii() and text.isdigit()):
            raise S3Error("MissingContentLength", "x-amz-decoded-content-length must be the content's number of bytes")
        return int(text)
