"""A network that loses, delays, doubles and reorders requests and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

Handler = Callable[[str, str, bytes, asyncio.Event], Awaitable[tuple[int, bytes]]]


class Unreachable(Exception):
    """No answer."""


@dataclass(slots=True)
class Weather:
    """How bad it is now."""

    loss: float = 0.0  # of a request, and again of its answer
    doubling: float = 0.0
    delay: float = 0.01  # seconds, usually
    late: float = 0.0  # how often something takes very long


class Network:
    """Carries requests from nodes to whichever server is up."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.weather = Weather()
        self.server: Handler | None = None
        self.cut_off: set[str] = set()  # nodes that reach nobody
        self._ghosts: dict[asyncio.Task[object], None] = {}

    async def call(self, node: str, method: str, path: str, body: bytes, timeout: float) -> tuple[int, bytes]:
        """Send a request; return status and body of the answer, or raise `Unreachable`."""
        gone = asyncio.Event()
        try:
            return await asyncio.wait_for(self._carry(node, method, path, body, gone), timeout)
        except TimeoutError:
            raise Unreachable("no answer in time") from None
        finally:
            gone.set()

    async def _carry(self, node: str, method: str, path: str, body: bytes, gone: asyncio.Event) -> tuple[int, bytes]:
        await self._travel(node)
        doubled = self._chance.random() < self.weather.doubling
        if doubled and path != "sync":
            self._haunt(method, path, body)
        # What the server does goes on, whether or not anybody still waits for it.
        answer = await asyncio.shield(self._spawn(self._arrive(method, path, body, gone)))
        if doubled and path == "sync":
            self._haunt(method, path, body)  # a copy must not be taken for the original
        await self._travel(node)
        return answer

    async def _arrive(self, method: str, path: str, body: bytes, gone: asyncio.Event) -> tuple[int, bytes]:
        if self.server is None:
            raise Unreachable("nobody listens")
        return await self.server(method, path, body, gone)

    async def _travel(self, node: str) -> None:
        weather, chance = self.weather, self._chance
        await asyncio.sleep(chance.expovariate(1 / weather.delay))
        if chance.random() < weather.late:
            await asyncio.sleep(chance.uniform(1, 120))
        if node in self.cut_off or chance.random() < weather.loss:
            if chance.random() < 0.3:
                await asyncio.sleep(chance.uniform(5, 90))  # silence, until the caller gives up
            raise Unreachable("lost on the way")

    def _haunt(self, method: str, path: str, body: bytes) -> None:
        """Let the same request arrive once more, some time later; nobody hears its answer."""

        async def again() -> None:
            await asyncio.sleep(self._chance.choice([0.05, 0.5, 5.0, 60.0]) * self._chance.random())
            gone = asyncio.Event()
            gone.set()
            await self._arrive(method, path, body, gone)

        self._spawn(again())

    def _spawn(self, work: Awaitable[object]) -> asyncio.Task[object]:
        task: asyncio.Task[object] = asyncio.ensure_future(work)
        self._ghosts[task] = None
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[object]) -> None:
        self._ghosts.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Unreachable):
            asyncio.get_running_loop().call_exception_handler({"message": "network", "exception": error})
