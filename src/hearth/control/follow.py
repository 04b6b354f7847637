"""Follow a task: what its instances write, or what happens to it, as messages that end when the task has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection

from hearth.control import read_output
from hearth.control.hub import Follower
from hearth.control.read_output import Wanted
from hearth.control.site import Site
from hearth.domain.bundle import Chunk
from hearth.domain.task import TaskState
from hearth.store.queries import follow_view, output_view
from hearth.store.queries.follow_view import Stand
from hearth.store.queries.output_view import View

STREAMS = ("stdout", "stderr")
KEEP_ALIVE_SECONDS = 15.0
# What one look reads: then it is sent, and what is behind it read next.
LOOK_BYTES = 256 << 10
LOOK_LINES = 500
# Looks of one follower are at least so far apart, so that a busy task does not cost one per commit.
OUTPUT_PAUSE = 0.02
EVENTS_PAUSE = 0.2
DELETED = "Deleted"

Cursor = tuple[int, int]  # offsets in stdout and stderr of the view that is followed


@dataclass(frozen=True, slots=True)
class Message:
    """Something to tell a follower. Without a name it only says that the connection lives."""

    name: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class _OutputLook:
    messages: list[Message]
    cursor: Cursor
    has_more: bool
    end: Message | None


@dataclass(frozen=True, slots=True)
class _EventsLook:
    messages: list[Message]
    after: int
    has_more: bool
    progress: dict[str, Any]
    end: Message | None


@dataclass(frozen=True, slots=True)
class OutputWanted:
    """What somebody wants to follow of a task's output."""

    ident: str
    streams: tuple[int, ...] = (0, 1)
    number: int | None = None
    since: Cursor | None = None  # None: from the first byte
    from_now: bool = False


@dataclass(frozen=True, slots=True)
class Asker:
    """Who follows."""

    id: int  # whose stream it is
    account_id: int  # whose tasks are looked at
    may_follow: Callable[[], Awaitable[bool]]  # asked again while the stream is open


class _Watch:
    """The time after which a stream says that it lives, and is asked whether it still may."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._clock = asyncio.get_running_loop().time
        self._due_at = self._clock() + KEEP_ALIVE_SECONDS

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._due_at - self._clock())

    async def may_go_on(self) -> bool:
        """Answer whether the stream is still its reader's right; ask when it is time to."""
        if self.seconds_left:
            return True
        self._due_at = self._clock() + KEEP_ALIVE_SECONDS
        return await self._asker.may_follow()


_Told = Callable[[Follower, _Watch], AsyncIterator[Message]]


async def output(site: Site, asker: Asker, wanted: OutputWanted) -> AsyncIterator[Message]:
    """Find the task, then return what is to be told of its output; the stream is one of the asker's."""

    async def find() -> tuple[int, _Told]:
        views = [
            await site.store.read(read_output.look, asker.account_id, Wanted(wanted.ident, stream, wanted.number))
            for stream in (0, 1)
        ]
        cursor = wanted.since or (0, 0)
        if wanted.from_now and wanted.since is None:
            cursor = await site.store.read(_ends, views)
        return views[0].task_id, lambda f, watch: _output(site, f, watch, views, wanted.streams, cursor)

    return await _opened(_guarded(site, asker, find))


async def events(site: Site, asker: Asker, ident: str, *, after: int | None, from_now: bool) -> AsyncIterator[Message]:
    """Find the task, then return what is to be told of what happens to it; the stream is one of the asker's."""

    async def find() -> tuple[int, _Told]:
        view = await site.store.read(read_output.look, asker.account_id, Wanted(ident, 0))
        begin = after
        if begin is None:
            begin = await site.store.read(follow_view.newest_line, view.task_id) if from_now else 0
        return view.task_id, lambda f, watch: _events(site, f, watch, begin)

    return await _opened(_guarded(site, asker, find))


async def _opened(messages: AsyncIterator[Message]) -> AsyncIterator[Message]:
    """Go to where the task is found, or is refused.

    What has begun is ended when nobody holds it any more, also if its reader left before the first message.
    """
    await anext(messages)
    return messages


async def _guarded(
    site: Site, asker: Asker, find: Callable[[], Awaitable[tuple[int, _Told]]]
) -> AsyncIterator[Message]:
    with site.hub.place(asker.id, site.settings.followers_per_account):
        task_id, messages = await find()
        yield Message()  # found: see `_opened`
        watch = _Watch(asker)
        with site.hub.following(task_id) as follower:
            async for message in messages(follower, watch):
                if not await watch.may_go_on():
                    return  # without an end: the task goes on
                yield message


async def _output(
    site: Site, follower: Follower, watch: _Watch, views: list[View], streams: tuple[int, ...], cursor: Cursor
) -> AsyncIterator[Message]:
    chosen = [views[stream] for stream in streams]
    while True:
        follower.news.clear()
        key = ("output", views[0].number, streams, cursor)
        look = await site.hub.shared(follower, key, partial(site.store.read, _look_at_output, chosen, cursor))
        for message in look.messages:
            yield message
        cursor = look.cursor
        if look.has_more:
            continue
        if look.end is not None:
            yield look.end
            return
        async for message in _pause(site, follower, watch, OUTPUT_PAUSE if look.messages else 0.0):
            yield message
        if site.hub.is_closed:
            return


async def _events(site: Site, follower: Follower, watch: _Watch, after: int) -> AsyncIterator[Message]:
    progress: dict[str, Any] = {}
    while True:
        follower.news.clear()
        read = partial(site.store.read, _look_at_events, follower.task_id, after)
        look = await site.hub.shared(follower, ("events", after), read)
        for message in look.messages:
            yield message
        after = look.after
        if look.has_more:
            continue
        if look.progress and look.progress != progress:
            progress = look.progress
            yield Message("progress", progress)
        if look.end is not None:
            yield look.end
            return
        async for message in _pause(site, follower, watch, EVENTS_PAUSE):
            yield message
        if site.hub.is_closed:
            return


async def _pause(site: Site, follower: Follower, watch: _Watch, seconds: float) -> AsyncIterator[Message]:
    """Wait for news, saying now and then that the connection lives, also where news come that tell it nothing."""
    if seconds and not site.hub.is_closed:
        await asyncio.sleep(seconds)
    while not site.hub.is_closed:
        if not watch.seconds_left:
            yield Message()
        elif await follower.wait(watch.seconds_left):
            return


def _ends(connection: Connection, views: list[View]) -> Cursor:
    out, err = (output_view.bounds(connection, view)[1] for view in views)
    return out, err


def _look_at_output(connection: Connection, views: list[View], cursor: Cursor) -> _OutputLook:
    """Read on in each stream; the end is told when nothing is left and nothing can come any more."""
    stand = follow_view.stand(connection, views[0].task_id)
    if stand is None or stand.is_deleted:
        return _OutputLook([], cursor, has_more=False, end=_end(stand, _text(cursor)))
    messages: list[Message] = []
    at = list(cursor)
    has_more = False
    for view in views:
        size = 0
        for chunk in output_view.read_chunks(connection, view, at[view.stream]):
            if size >= LOOK_BYTES:
                has_more = True
                break
            _tell(messages, view, chunk.position if view.number is None else chunk.instance_start, chunk, at)
            size += len(chunk.data)
        else:
            _tell_dropped(messages, view, output_view.bounds(connection, view)[1], at)
    here = (at[0], at[1])
    over = TaskState(stand.state).is_final and not has_more
    return _OutputLook(messages, here, has_more=has_more, end=_end(stand, _text(here)) if over else None)


def _tell(messages: list[Message], view: View, start: int, chunk: Chunk, at: list[int]) -> None:
    """Add a chunk to the messages, and before it how much is missing there."""
    _tell_dropped(messages, view, start, at)
    shown = chunk.shown() if view.number is None else chunk.data
    # Somebody may read on in the middle of a chunk: rows of ended tasks are bundled.
    data = chunk.data if start >= at[view.stream] else chunk.data[_raw_offset(chunk, view, at[view.stream] - start) :]
    at[view.stream] = start + len(shown)
    if data:
        told = {
            "instance": chunk.number,
            "attempt": chunk.attempt,
            "text": data.decode("utf-8", "replace"),
            "offset": chunk.instance_start + len(chunk.data) - len(data),
        }
        messages.append(Message(STREAMS[view.stream], told, _text(at)))


def _raw_offset(chunk: Chunk, view: View, shown: int) -> int:
    """Return how many bytes of a chunk lie in the first `shown` ones of what the view shows of it."""
    if view.number is not None:
        return shown
    low, high = 0, len(chunk.data)
    while low < high:
        middle = (low + high) // 2
        if len(chunk._replace(data=chunk.data[: middle + 1]).shown()) <= shown:
            low = middle + 1
        else:
            high = middle
    return low


def _tell_dropped(messages: list[Message], view: View, start: int, at: list[int]) -> None:
    gone = start - at[view.stream]
    if gone > 0:
        at[view.stream] = start
        messages.append(Message("dropped", {"stream": STREAMS[view.stream], "bytes": gone}, _text(at)))


def _look_at_events(connection: Connection, task_id: int, after: int) -> _EventsLook:
    stand = follow_view.stand(connection, task_id)
    if stand is None or stand.is_deleted:
        return _EventsLook([], after, has_more=False, progress={}, end=_end(stand, str(after)))
    lines = follow_view.lines_after(connection, task_id, after, LOOK_LINES)
    messages = [Message(line.kind, _happened(line), str(line.id)) for line in lines]
    after = lines[-1].id if lines else after
    has_more = len(lines) == LOOK_LINES
    over = TaskState(stand.state).is_final and not has_more
    progress = {"total": stand.total, **stand.counts}
    return _EventsLook(messages, after, has_more, progress, end=_end(stand, str(after)) if over else None)


def _happened(line: follow_view.Line) -> dict[str, Any]:
    """Return a line of history as a follower is told it: what it is about, and when it was."""
    detail = msgspec.json.decode(line.detail) if line.detail.startswith("{") else {line.kind: line.detail}
    return {**detail, "at": line.at}


def _end(stand: Stand | None, ident: str) -> Message:
    state = DELETED if stand is None or stand.is_deleted else stand.state
    return Message("end", {"state": state}, ident)


def _text(cursor: Cursor | list[int]) -> str:
    return f"{cursor[0]}-{cursor[1]}"
