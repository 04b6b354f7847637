"""Submit tasks: one, or a list in one call."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import Response

from hearth.api import limits
from hearth.api.bodies import BodyReader, not_json
from hearth.api.read_task import TaskReader
from hearth.api.requests import ApiRequest, answer, caller, encoded, site_of
from hearth.api.shapes import Unknown
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
    if body.lstrip()[:1] == b"[":
        return await _submit_list(request, body)
    unknown: dict[Unknown, None] = {}
    site, account = site_of(request), caller(request)
    new = TaskReader(account, site.profiles, site.new_uuid).read(SUBMISSION.read(body, unknown))
    uuid = await submit_task(site, account, new)
    return answer(Created(uuid=uuid), unknown, Location=f"{site.api_url.rstrip('/')}/tasks/{uuid}")


async def _submit_list(request: ApiRequest, body: bytes) -> Response[Any]:
    try:
        items = _items.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None
    if len(items) > limits.TASKS_PER_REQUEST:
        raise Invalid("", f"there are {len(items)} tasks, at most {limits.TASKS_PER_REQUEST} are possible in one call")
    site, account = site_of(request), caller(request)
    reader = TaskReader(account, site.profiles, site.new_uuid)
    unknown: dict[Unknown, None] = {}
    new: list[NewTask] = []
    told: list[NewTask | HearthError] = []
    for index, item in enumerate(items):
        if index % TURN == TURN - 1:
            await asyncio.sleep(0)
        try:
            task = reader.read(SUBMISSION.read(item, unknown))
        except HearthError as refusal:
            told.append(refusal)
        else:
            told.append(task)
            new.append(task)
    outcomes = iter(await submit_tasks(site, account, new))
    answers = [_submitted(next(outcomes) if isinstance(one, NewTask) else one) for one in told]
    return encoded(msgspec.json.encode(answers), unknown, status=207)


def _submitted(outcome: str | HearthError) -> Submitted:
    if isinstance(outcome, str):
        return Submitted(status_code=200, uuid=outcome, message=None)
    return Submitted(status_code=outcome.status, uuid=None, message=outcome.message)
