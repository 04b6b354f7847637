"""One task: look, change, cancel, delete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from litestar import Controller, Response, delete, get, patch, post, put
from litestar.params import FromQuery, QueryParameter
from sqlalchemy import Connection

from hearth.api import limits, secret_constants
from hearth.api.render_instances import completed
from hearth.api.render_task import Rendering, render_task
from hearth.api.requests import ApiRequest, PathText, caller, done, encoded, read, rendering, site_of
from hearth.api.shapes import Unknown
from hearth.api.submit import SUBMISSION
from hearth.control import find
from hearth.control.cancel import cancel_task
from hearth.control.delete import delete_task
from hearth.control.push import push_resources
from hearth.control.update import update_task
from hearth.domain.errors import Invalid
from hearth.store.queries import task_view
from hearth.store.queries.tasks import TaskRow
from hearth_client.messages.pages import Page
from hearth_client.messages.submissions import TaskSubmit
from hearth_client.messages.task_status import CompletedInstance
from hearth_client.messages.tasks import Task

INSTANCES_PAGE: Final = 1000


class Tasks(Controller):
    """Tasks of the caller; `ident` is a uuid or a shortname."""

    path = "/tasks"
    tags = ["tasks"]

    @get("/{ident:str}")
    async def get_task(self, request: ApiRequest, ident: PathText) -> Response[Task]:
        """A task with all that is known of it; of many ended instances it shows the newest."""
        site = site_of(request)
        shown = site.settings.completed_instances_shown
        found = await site.store.read(_look, caller(request).id, ident, shown, rendering(request))
        response = encoded(found.body)
        if found.ended > found.shown:
            response.headers["Hearth-Completed-Instances-Total"] = str(found.ended)
        return response

    @put("/{ident:str}", opt={"body": TaskSubmit})
    async def update(self, request: ApiRequest, ident: PathText) -> Response[None]:
        """Change constants and tags; the other fields of a submission may be there and change nothing."""
        unknown: dict[Unknown, None] = {}
        told = await read(request, SUBMISSION, unknown)
        constants = None if told.constants is None else limits.constants("constants", told.constants)
        tags = None if told.tags is None else limits.tags(told.tags)
        site, account = site_of(request), caller(request)
        await update_task(site, account.id, ident, constants, tags, secret_constants.kept)
        return done(unknown)

    @patch("/{ident:str}")
    async def push(self, request: ApiRequest, ident: PathText) -> Response[None]:
        """Bring new and changed files of the task's buckets to its running instances; none is taken away."""
        await push_resources(site_of(request), caller(request).id, ident)
        return done()

    @delete("/{ident:str}", status_code=200)
    async def delete(self, request: ApiRequest, ident: PathText) -> Response[None]:
        """Delete a task; one that runs is cancelled first."""
        await delete_task(site_of(request), caller(request).id, ident)
        return done()

    @post("/{ident:str}/abort", status_code=200)
    async def abort(self, request: ApiRequest, ident: PathText) -> Response[None]:
        """Cancel a task; one that has ended stays as it is."""
        await cancel_task(site_of(request), caller(request).id, ident)
        return done()

    @get("/{ident:str}/instances")
    async def instances(
        self,
        request: ApiRequest,
        ident: PathText,
        after: FromQuery[int] = -1,
        limit: FromQuery[int] = INSTANCES_PAGE,
        ended: Annotated[str, QueryParameter(name="state")] = "",
    ) -> Page[CompletedInstance]:
        """All ended instances, or those in one `state`, by number, a page at a time.

        `after` is the `nextToken` of the page before: an instance that ends meanwhile moves no other.
        """
        if limit < 1:
            raise Invalid("limit", f"{limit} is too few: ask for one at least")
        if ended and ended.lower() not in task_view.ENDS:
            raise Invalid("state", f"'{ended}' is none of Success, Failure and Cancelled")
        begin = min(max(after, -1), limits.INSTANCE_NUMBER)
        row, found = await site_of(request).store.read(
            _instances, caller(request).id, ident, begin, min(limit, INSTANCES_PAGE), ended.lower()
        )
        host = rendering(request).storage_host
        data = [completed(i, found.machines.get(i.machine_id or 0), row.demand_cores, host) for i in found.instances]
        return Page(
            data=data,
            count=len(data),
            total=found.total,
            is_truncated=found.next_after is not None,
            next_token=None if found.next_after is None else str(found.next_after),
            token=None if after < 0 else str(after),
        )


@dataclass(frozen=True, slots=True)
class _Look:
    """A task as it travels, and how many of its ended instances are in it."""

    body: bytes
    shown: int
    ended: int


def _look(connection: Connection, account_id: int, ident: str, shown: int, how: Rendering) -> _Look:
    """Read and write out a task, off the event loop: one with many ranges takes its time."""
    view = task_view.view(connection, find.task(connection, account_id, ident), shown, how.now)
    return _Look(msgspec.json.encode(render_task(view, how)), len(view.ended), view.ended_count)


def _instances(
    connection: Connection, account_id: int, ident: str, after: int, limit: int, state: str
) -> tuple[TaskRow, task_view.EndedPage]:
    row = find.task(connection, account_id, ident)
    return row, task_view.ended_page(connection, row, after, limit, state)
