"""Each state of a task can be seen, with the state before it and when each began."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import pytest

from hearth.wire import agent as wire
from tests.integration.api.sites import TestSite, a_task

Key = tuple[int, int, int]


@dataclass
class Life:
    """A task, and what its node says of it."""

    api: httpx.AsyncClient
    site: TestSite
    uuid: str

    async def task(self) -> dict[str, object]:
        found: dict[str, object] = (await self.api.get(f"/tasks/{self.uuid}")).json()
        return found

    async def dispatched(self, cores: float = 64.0) -> list[Key]:
        self.site.clock.pass_seconds(1)
        return [(g.task.id, n, g.attempt) for g in await self.site.dispatch(cores) for n in g.numbers]

    async def started(self, *keys: Key) -> None:
        self.site.clock.pass_seconds(1)
        await self.site.tell(started=[wire.Started(*key, self.site.clock.now) for key in keys])

    async def exited(self, *keys: Key) -> None:
        self.site.clock.pass_seconds(1)
        await self.site.tell(exited=[wire.Exited(*key, 0, self.site.clock.now) for key in keys])

    async def ended(self, *keys: Key, error: str = "") -> None:
        self.site.clock.pass_seconds(1)
        ends = [wire.Ended(*key, self.site.clock.now, int(bool(error)), error_code=error) for key in keys]
        await self.site.tell(ended=ends)


@pytest.fixture
async def life(api: httpx.AsyncClient, site: TestSite) -> Life:
    """A task of two instances."""
    uuid = (await api.post("/tasks", json=a_task(instanceCount=2))).json()["uuid"]
    return Life(api, site, uuid)


async def is_in(life: Life, state: str, before: str | None, *, since: int, before_since: int | None = None) -> None:
    """Check the state, the one before it, and after how many seconds each began."""
    task = await life.task()
    shown = [task[name] for name in ("state", "previousState", "stateTransitionTime", "previousStateTransitionTime")]
    former = "0001-01-01T00:00:00Z" if before_since is None else f"2026-05-01T12:00:{before_since:02}Z"
    assert shown == [state, before, f"2026-05-01T12:00:{since:02}Z", former]
    is_over = state in ("Success", "Failure", "Cancelled")
    assert task["endDate"] == (f"2026-05-01T12:00:{since:02}Z" if is_over else "0001-01-01T00:00:00Z")


async def test_submitted(life: Life) -> None:
    await is_in(life, "Submitted", None, since=0)


async def test_partially_dispatched(life: Life) -> None:
    await life.dispatched(cores=1)
    await is_in(life, "PartiallyDispatched", "Submitted", since=1, before_since=0)


async def test_fully_dispatched(life: Life) -> None:
    await life.dispatched(cores=1)
    await life.dispatched()
    await is_in(life, "FullyDispatched", "PartiallyDispatched", since=2, before_since=1)


async def test_partially_executing(life: Life) -> None:
    first, _ = await life.dispatched()
    await life.started(first)
    await is_in(life, "PartiallyExecuting", "FullyDispatched", since=2, before_since=1)
    await life.ended(first)  # the other one waits for its start
    await is_in(life, "PartiallyExecuting", "FullyDispatched", since=2, before_since=1)


async def test_fully_executing(life: Life) -> None:
    first, second = await life.dispatched()
    await life.started(first)
    await life.started(second)
    await is_in(life, "FullyExecuting", "PartiallyExecuting", since=3, before_since=2)
    await life.ended(first)  # all that remain run
    await is_in(life, "FullyExecuting", "PartiallyExecuting", since=3, before_since=2)


async def test_uploading_results_only_when_nothing_runs_any_more(life: Life) -> None:
    first, second = await life.dispatched()
    await life.started(first, second)
    await life.exited(first)
    await is_in(life, "FullyExecuting", "FullyDispatched", since=2, before_since=1)
    await life.exited(second)
    await is_in(life, "UploadingResults", "FullyExecuting", since=4, before_since=2)
    await life.ended(first)
    await is_in(life, "UploadingResults", "FullyExecuting", since=4, before_since=2)


async def test_success(life: Life) -> None:
    first, second = await life.dispatched()
    await life.started(first, second)
    await life.exited(first, second)
    await life.ended(first, second)
    await is_in(life, "Success", "UploadingResults", since=4, before_since=3)


async def test_failure(life: Life) -> None:
    first, second = await life.dispatched()
    await life.started(first, second)
    await life.ended(first, error="EXIT_CODE")
    await is_in(life, "FullyExecuting", "FullyDispatched", since=2, before_since=1)
    await life.ended(second)
    await is_in(life, "Failure", "FullyExecuting", since=4, before_since=2)


async def test_pending_cancel_until_the_node_says_that_it_is_gone(life: Life) -> None:
    first, second = await life.dispatched()
    await life.started(first, second)
    life.site.clock.pass_seconds(1)
    await life.api.post(f"/tasks/{life.uuid}/abort")
    await is_in(life, "PendingCancel", "FullyExecuting", since=3, before_since=2)
    await life.ended(first, error="EXIT_CODE")
    await is_in(life, "PendingCancel", "FullyExecuting", since=3, before_since=2)
    await life.ended(second, error="EXIT_CODE")
    await is_in(life, "Cancelled", "PendingCancel", since=5, before_since=3)


async def test_cancelled_at_once_when_nothing_was_dispatched(life: Life) -> None:
    life.site.clock.pass_seconds(1)
    await life.api.post(f"/tasks/{life.uuid}/abort")
    await is_in(life, "Cancelled", "Submitted", since=1, before_since=0)


async def test_pending_delete_until_the_node_says_that_it_is_gone(life: Life) -> None:
    held = await life.dispatched()
    life.site.clock.pass_seconds(1)
    await life.api.delete(f"/tasks/{life.uuid}")
    await is_in(life, "PendingDelete", "FullyDispatched", since=2, before_since=1)
    await life.ended(*held, error="CANCELLED")
    assert (await life.api.get(f"/tasks/{life.uuid}")).status_code == 404
