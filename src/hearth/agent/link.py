"""The agent's calls to its server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import TracebackType

import aiohttp
import msgspec

from hearth.wire import agent as wire

BLOCK = 1 << 20
# How long the server may say nothing while it owes an answer, or more of one: it may be syncing a large file.
SILENCE_SECONDS = 300.0


class Unreachable(Exception):
    """The server did not answer, or said "not now": the same call may succeed later."""


class Superseded(Exception):
    """A newer agent of this node talks to the server."""


class NotOurs(Exception):
    """The server says that the attempt is no longer the current one."""


class Gone(Exception):
    """There is no such thing (any more)."""


class Link:
    """An HTTP connection to one server, with the node's token."""

    def __init__(self, url: str, token: str, where: Callable[[], str | None] = lambda: None) -> None:
        """`where` tells the server's URL of now, when it may have moved; None: not known."""
        self._url = url.rstrip("/") + "/agent/v1/"
        self._where = where
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"},
            connector=aiohttp.TCPConnector(limit=32, keepalive_timeout=60),
            # A server that went away without a word must not hold files up for ever.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE_SECONDS),
        )
        self._encoder = msgspec.msgpack.Encoder()
        self._orders = msgspec.msgpack.Decoder(wire.Orders)
        self._receipt = msgspec.msgpack.Decoder(wire.Receipt)
        self._listing = msgspec.msgpack.Decoder(wire.Listing)
        self._result = msgspec.msgpack.Decoder(wire.ResultFile)

    async def __aenter__(self) -> Link:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def look_again(self) -> None:
        """Find the server where it is now: it cannot be reached where it was."""
        url = self._where()
        if url is not None:
            self._url = url.rstrip("/") + "/agent/v1/"

    async def sync(self, message: wire.Sync, timeout_seconds: float) -> wire.Orders:
        """Send the parked request and return its answer."""
        return self._orders.decode(await self._post("sync", message, timeout_seconds))

    async def report(self, message: wire.Report) -> wire.Receipt:
        """Send a report and return what became of it."""
        return self._receipt.decode(await self._post("report", message, 60.0))

    async def resources(self, task: int) -> list[wire.ResourceFile]:
        """Return the files that the task's buckets make; `Gone` when one of the buckets is."""
        async with self._guarded(self._session.get(f"{self._url}resources/{task}")) as answer:
            return self._listing.decode(await answer.read()).files

    async def blob(self, task: int, blob: int) -> AsyncIterator[bytes]:
        """Yield the bytes of a resource."""
        async with self._guarded(self._session.get(f"{self._url}blobs/{task}/{blob}")) as answer:
            async for block in answer.content.iter_chunked(BLOCK):
                yield block

    async def put_result(self, key: tuple[int, int, int], body: AsyncIterator[bytes], size: int) -> wire.ResultFile:
        """Store a result file; it is durable, and nobody sees it yet."""
        task, number, attempt = key
        call = self._session.put(
            f"{self._url}results/{task}/{number}/{attempt}", data=body, headers={"Content-Length": str(size)}
        )
        async with self._guarded(call) as answer:
            return self._result.decode(await answer.read())

    async def _post(self, path: str, message: object, timeout_seconds: float) -> bytes:
        call = self._session.post(
            self._url + path,
            data=self._encoder.encode(message),
            headers={"Content-Type": wire.CONTENT_TYPE},
            timeout=aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=5),
        )
        async with self._guarded(call) as answer:
            return await answer.read()

    def _guarded(self, call: aiohttp.client._RequestContextManager) -> _Guarded:
        return _Guarded(call)


class _Guarded:
    """Turns what can go wrong with a call into the few things that the agent tells apart."""

    def __init__(self, call: aiohttp.client._RequestContextManager) -> None:
        self._call = call

    async def __aenter__(self) -> aiohttp.ClientResponse:
        try:
            answer = await self._call.__aenter__()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(str(error) or type(error).__name__) from error
        if answer.status == 200:
            return answer
        text = (await answer.text(errors="replace"))[:500]
        await self._call.__aexit__(None, None, None)
        path = answer.url.path
        if answer.status == 409:
            raise (Superseded if path.endswith("/sync") else NotOurs)(text)
        if answer.status == 404:
            raise Gone(text)
        raise Unreachable(f"{answer.status} {text}")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._call.__aexit__(kind, error, trace)
        if isinstance(error, aiohttp.ClientError | TimeoutError | ConnectionError):
            raise Unreachable(str(error) or type(error).__name__) from error
