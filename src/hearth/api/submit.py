"""Submit tasks: one, or a list in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import msgspec
from litestar import Response

from hearth.api import limits
from hearth.api.bodies import BodyReader, not_json
from hearth.api.idempotency import once_of
from hearth.api.read_task import TaskReader
from hearth.api.requests import ApiRequest, answer, caller, encoded, site_of
from hearth.api.shapes import Unknown
from hearth.control.accounts import Account
from hearth.control.once import Once, Outcome, recall
from hearth.control.site import Site
from hearth.control.submit import NewTask, submit_task, submit_tasks
from hearth.domain.errors import HearthError, Invalid
from hearth_client.messages.submissions import Created, Submitted, TaskSubmit
from hearth_client.messages.tasks import Task

# Clients send back what they read: answers' fields are no mistakes in requests.
ANSWERED: Final = frozenset(f.encode_name.lower() for f in msgspec.structs.fields(Task)) | {"isreadonly"}
SUBMISSION: Final = BodyReader(TaskSubmit, silent=ANSWERED)
# After so many tasks of a list others get their turn.
TURN: Final = 100

_items: Final = msgspec.json.Decoder(list[msgspec.Raw])


async def submit(request: ApiRequest) -> Response[Any]:
    """Submit what the body has: a task, or a list of tasks."""
    body = await request.body()
    once = await once_of(request)
    if body.lstrip()[:1] == b"[":
        return await _submit_list(request, body, once)
    unknown: dict[Unknown, None] = {}
    site, account = site_of(request), caller(request)

    async def read() -> NewTask:
        return TaskReader(account, site.profiles, site.new_uuid).read(SUBMISSION.read(body, unknown))

    uuid = await make_task(site, account, once, read)
    return created(site, uuid, unknown)


async def make_task(site: Site, account: Account, once: Once | None, read: Callable[[], Awaitable[NewTask]]) -> str:
    """Return the uuid of the task that a request makes, or made when it came before.

    What is asked for is read only the first time: what it speaks of may be gone by the second.
    """
    if once is not None:
        done = await site.store.read(recall, account.id, once, site.now())
        if done is not None and isinstance(uuid := done.outcomes[0], str):
            return uuid
    return await submit_task(site, account, await read(), once)


def created(site: Site, uuid: str, unknown: Iterable[Unknown] = ()) -> Response[Created]:
    """Answer with a task that was made."""
    return answer(Created(uuid=uuid), unknown, Location=location(site, uuid))


def location(site: Site, uuid: str) -> str:
    """Return where a task is found."""
    return f"{site.api_url.rstrip('/')}/tasks/{uuid}"


async def _submit_list(request: ApiRequest, body: bytes, once: Once | None) -> Response[Any]:
    try:
        items = _items.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None
    if len(items) > limits.TASKS_PER_REQUEST:
        raise Invalid("", f"there are {len(items)} tasks, at most {limits.TASKS_PER_REQUEST} are possible in one call")
    site, account = site_of(request), caller(request)
    reader = TaskReader(account, site.profiles, site.new_uuid)
    unknown: dict[Unknown, None] = {}
    told: list[NewTask | HearthError] = []
    for index, item in enumerate(items):
        if index % TURN == TURN - 1:
            await asyncio.sleep(0)
        try:
            told.append(reader.read(SUBMISSION.read(item, unknown)))
        except HearthError as refusal:
            told.append(refusal)
    answers = [_submitted(outcome) for outcome in await submit_tasks(site, account, told, once)]
    return encoded(msgspec.json.encode(answers), unknown, status=207)


def _submitted(outcome: Outcome) -> Submitted:
    if isinstance(outcome, str):
        return Submitted(status_code=200, uuid=outcome, message=None)
    return Submitted(status_code=outcome.status, uuid=None, message=outcome.message)
