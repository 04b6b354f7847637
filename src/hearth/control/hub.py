"""Who follows which task on this server, and how they learn that there is something new.

A commit that touched a task wakes its followers; each then reads on from its own cursor in the database, so a slow
one costs no memory and a fast one no polling. Followers who wait at the same place share one read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection

from hearth.domain.errors import TooMany
from hearth.store.door import Store
from hearth.store.queries import follow_view

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Follower:
    """Somebody who waits for news of a task."""

    task_id: int
    news: asyncio.Event = field(default_factory=asyncio.Event)
    is_waiting: bool = False

    async def wait(self, timeout_seconds: float) -> bool:
        """Wait for news; return whether there are some."""
        self.is_waiting = True
        try:
            await asyncio.wait_for(self.news.wait(), timeout_seconds)
        except TimeoutError:
            return False
        finally:
            self.is_waiting = False
        return True


@dataclass(slots=True)
class _Topic:
    followers: set[Follower] = field(default_factory=set)
    version: int = 0  # counts wake-ups: a read that began before one does not answer for it
    marks: tuple[Any, ...] | None = None  # how the task stood when it was last polled


class Hub:
    """The followers of one server. All of it belongs to the event loop, but for `heard`."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._topics: dict[int, _Topic] = {}
        self._of_account: dict[int, int] = {}
        self._reads: dict[Hashable, asyncio.Future[Any]] = {}
        self.is_closed = False

    @contextmanager
    def place(self, account_id: int, at_most: int) -> Iterator[None]:
        """Take one of the streams that an account may have open; raise `TooMany` when there is none left."""
        if self._of_account.get(account_id, 0) >= at_most:
            raise TooMany(f"{at_most} streams of this account are open already (followers_per_account): close some")
        self._of_account[account_id] = self._of_account.get(account_id, 0) + 1
        try:
            yield
        finally:
            self._of_account[account_id] -= 1
            if not self._of_account[account_id]:
                del self._of_account[account_id]

    @contextmanager
    def following(self, task_id: int) -> Iterator[Follower]:
        """Follow a task while the context lasts."""
        self._loop = asyncio.get_running_loop()
        follower = Follower(task_id)
        topic = self._topics.setdefault(task_id, _Topic())
        topic.followers.add(follower)
        try:
            yield follower
        finally:
            topic.followers.discard(follower)
            if not topic.followers:
                self._topics.pop(task_id, None)

    def heard(self, task_ids: Iterable[int]) -> None:
        """Take in, from the thread of the writer, which tasks a commit touched."""
        loop = self._loop
        if loop is None or not self._topics:
            return
        followed = [task_id for task_id in task_ids if task_id in self._topics]
        if followed and not loop.is_closed():
            loop.call_soon_threadsafe(self.wake, followed)

    def wake(self, task_ids: Iterable[int]) -> None:
        """Let the followers of these tasks look."""
        for task_id in task_ids:
            topic = self._topics.get(task_id)
            if topic is not None:
                topic.version += 1
                for follower in topic.followers:
                    follower.news.set()

    def close(self) -> None:
        """End all streams: the server stops."""
        self.is_closed = True
        self.wake(list(self._topics))

    def is_waiting(self, followers: int) -> bool:
        """Answer whether at least so many have read all that there is and wait for news."""
        waiting = (f for topic in self._topics.values() for f in topic.followers if f.is_waiting)
        return sum(1 for _ in waiting) >= followers

    async def shared(self, follower: Follower, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """Read for this follower, and for all who want the same at this moment."""
        topic = self._topics[follower.task_id]
        key = (follower.task_id, topic.version, key)
        reading = self._reads.get(key)
        if reading is None:
            reading = self._reads[key] = asyncio.ensure_future(read())
            reading.add_done_callback(lambda _: self._reads.pop(key, None))
        return await asyncio.shield(reading)  # one who leaves must not take the others' answer along

    async def poll(self, store: Store) -> None:
        """Wake those whose tasks another server changed."""
        if not self._topics:
            return
        marks: dict[int, tuple[Any, ...]] = await store.read(_marks, list(self._topics))
        changed = []
        for task_id, topic in self._topics.items():
            now = marks.get(task_id, ())
            if topic.marks != now:  # also the first time: it may have changed since its followers looked
                changed.append(task_id)
            topic.marks = now
        self.wake(changed)


def _marks(connection: Connection, task_ids: list[int]) -> dict[int, tuple[Any, ...]]:
    return follow_view.marks(connection, task_ids)
