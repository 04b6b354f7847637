"""Tasks: submit, look, change, cancel, delete."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import Controller, Response, delete, get, post, put

from hearth.api import limits
from hearth.api.bodies import BodyReader, not_json
from hearth.api.read_task import SECRET_PREFIX, SECRET_SHOWN, TaskReader
from hearth.api.render_status import completed
from hearth.api.render_task import render_task
from hearth.api.requests import ApiRequest, answer, caller, done, encoded, read, rendering, site_of
from hearth.api.shapes import Unknown
from hearth.control import find
from hearth.control.cancel import cancel_task
from hearth.control.delete import delete_task
from hearth.control.submit import NewTask, submit_task, submit_tasks
from hearth.control.update import update_task
from hearth.domain.errors import HearthError, Invalid
from hearth.domain.spec import TaskSpec
from hearth.store.queries import task_view
from hearth.store.queries.instances import InstanceRow
from hearth.store.queries.task_view import TaskView
from hearth.store.queries.tasks import TaskRow
from hearth_client.messages.pages import Page
from hearth_client.messages.submissions import Created, Submitted, TaskSubmit
from hearth_client.messages.task_status import CompletedInstance
from hearth_client.messages.tasks import Task

# Clients send back what they read: answers' fields are no mistakes in requests.
ANSWERED: Final = frozenset(f.encode_name.lower() for f in msgspec.structs.fields(Task)) | {"isreadonly"}
# After so many tasks of a list others get their turn.
TURN: Final = 100
INSTANCES_PAGE: Final = 1000

_submit: Final = BodyReader(TaskSubmit, silent=ANSWERED)
_items: Final = msgspec.json.Decoder(list[msgspec.Raw])


class Tasks(Controller):
    """Tasks of the caller; `ident` is a uuid or a shortname."""

    path = "/tasks"
    tags = ["tasks"]

    @post(status_code=200, opt={"body": TaskSubmit | list[TaskSubmit]})
    async def submit(self, request: ApiRequest) -> Response[Created]:
        """Submit a task, or a list of tasks (then the answer is 207, a list in the same order)."""
        body = await request.body()
        if body.lstrip()[:1] == b"[":
            return await _submit_list(request, body)
        unknown: dict[Unknown, None] = {}
        site, account = site_of(request), caller(request)
        new = TaskReader(account, site.profiles, site.new_uuid).read(_submit.read(body, unknown))
        uuid = await submit_task(site, account, new)
        return answer(Created(uuid=uuid), unknown, Location=f"{site.api_url.rstrip('/')}/tasks/{uuid}")

    @get("/{ident:str}")
    async def get_task(self, request: ApiRequest, ident: str) -> Response[Task]:
        """A task with all that is known of it; of many ended instances it shows the newest."""
        site = site_of(request)
        shown = site.settings.completed_instances_shown
        view = await site.store.read(_view, caller(request).id, ident, shown)
        task = render_task(view, rendering(request))
        response = answer(task)
        if view.ended_count > len(view.ended):
            response.headers["Hearth-Completed-Instances-Total"] = str(view.ended_count)
        return response

    @put("/{ident:str}", opt={"body": TaskSubmit})
    async def update(self, request: ApiRequest, ident: str) -> Response[None]:
        """Change constants and tags; the other fields of a submission may be there and change nothing."""
        unknown: dict[Unknown, None] = {}
        told = await read(request, _submit, unknown)
        constants = None if told.constants is None else limits.constants("constants", told.constants)
        tags = None if told.tags is None else limits.tags(told.tags)
        site, account = site_of(request), caller(request)
        if constants is not None and SECRET_SHOWN in constants.values():
            constants = _with_secrets(constants, (await _spec_of(request, ident)).constants)
        await update_task(site, account.id, ident, constants, tags)
        return done(unknown)

    @delete("/{ident:str}", status_code=200)
    async def delete(self, request: ApiRequest, ident: str) -> Response[None]:
        """Delete a task; one that runs is cancelled first."""
        await delete_task(site_of(request), caller(request).id, ident)
        return done()

    @post("/{ident:str}/abort", status_code=200)
    async def abort(self, request: ApiRequest, ident: str) -> Response[None]:
        """Cancel a task; one that has ended stays as it is."""
        await cancel_task(site_of(request), caller(request).id, ident)
        return done()

    @get("/{ident:str}/instances")
    async def instances(
        self, request: ApiRequest, ident: str, after: int = -1, limit: int = INSTANCES_PAGE
    ) -> Page[CompletedInstance]:
        """All ended instances, by number, a page at a time; `after` is the `nextToken` of the page before."""
        if limit < 1:
            raise Invalid("limit", f"{limit} is too few: ask for one at least")
        limit = min(limit, INSTANCES_PAGE)
        row, found = await site_of(request).store.read(_instances, caller(request).id, ident, after, limit)
        host = rendering(request).storage_host
        more = len(found) > limit
        data = [completed(i, row.demand_cores, host) for i in found[:limit]]
        return Page(
            data=data,
            count=len(data),
            total=row.succeeded_count + row.failed_count + row.cancelled_count,
            is_truncated=more,
            next_token=str(data[-1].instance_id) if more else None,
            token=None if after < 0 else str(after),
        )


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
            task = reader.read(_submit.read(item, unknown))
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


def _view(connection: Any, account_id: int, ident: str, shown: int) -> TaskView:
    return task_view.view(connection, find.task(connection, account_id, ident), shown)


def _instances(
    connection: Any, account_id: int, ident: str, after: int, limit: int
) -> tuple[TaskRow, list[InstanceRow]]:
    row = find.task(connection, account_id, ident)
    return row, task_view.ended_page(connection, row.id, after, limit + 1)


async def _spec_of(request: ApiRequest, ident: str) -> TaskSpec:
    row = await site_of(request).store.read(find.task, caller(request).id, ident)
    return row.parsed_spec()


def _with_secrets(constants: dict[str, str], before: dict[str, str]) -> dict[str, str]:
    """Keep secrets that come back as they were shown: clients send the whole task."""
    return {
        key: before.get(key, value) if value == SECRET_SHOWN and key.startswith(SECRET_PREFIX) else value
        for key, value in constants.items()
    }
