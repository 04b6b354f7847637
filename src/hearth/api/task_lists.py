"""All tasks: submit, list, search."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Controller, Response, get, post

from hearth.api.bodies import BodyReader
from hearth.api.listing import Ask, ask_for_page, ask_for_search, ask_for_tags, read_page, read_whole
from hearth.api.requests import ApiRequest, caller, encoded, read, rendering, site_of
from hearth.api.shapes import Unknown
from hearth.api.submit import submit
from hearth_client.messages.pages import Page, PageRequest, SearchRequest
from hearth_client.messages.submissions import Created, TaskSubmit
from hearth_client.messages.tasks import Task, TaskSummary

_page: Final = BodyReader(PageRequest, may_be_empty=True)
_search: Final = BodyReader(SearchRequest, may_be_empty=True)


class TaskLists(Controller):
    """All tasks of the caller; lists begin with the newest."""

    path = "/tasks"
    tags = ["tasks"]

    @post(status_code=200, opt={"body": TaskSubmit | list[TaskSubmit]})
    async def submit(self, request: ApiRequest) -> Response[Created]:
        """Submit a task, or a list of tasks (then the answer is 207, a list in the same order)."""
        return await submit(request)

    @get()
    async def whole(self, request: ApiRequest) -> Response[list[Task]]:
        """The tasks, or those with one of the tags (`tag`, repeated)."""
        return await _whole(request, ask_for_tags(_tags(request), summaries=False))

    @get("/summaries")
    async def summaries(self, request: ApiRequest) -> Response[list[TaskSummary]]:
        """The same in short."""
        return await _whole(request, ask_for_tags(_tags(request), summaries=True))

    @post("/search", status_code=200, opt={"body": SearchRequest, "may_be_empty": True})
    async def search(self, request: ApiRequest) -> Response[list[Task]]:
        """The tasks that pass a filter; with `select`, only some fields of each."""
        unknown: dict[Unknown, None] = {}
        return await _whole(request, ask_for_search(await read(request, _search, unknown), rendering(request)), unknown)

    @post("/paginate", status_code=200, opt={"body": PageRequest, "may_be_empty": True})
    async def paginate(self, request: ApiRequest) -> Response[Page[Task]]:
        """A page of tasks."""
        return await _paged(request, summaries=False)

    @post("/summaries/paginate", status_code=200, opt={"body": PageRequest, "may_be_empty": True})
    async def paginate_summaries(self, request: ApiRequest) -> Response[Page[TaskSummary]]:
        """A page of tasks in short."""
        return await _paged(request, summaries=True)


async def _whole(request: ApiRequest, ask: Ask, unknown: dict[Unknown, None] | None = None) -> Response[Any]:
    found = await site_of(request).store.read(read_whole, caller(request).id, ask, rendering(request))
    response = encoded(found.body, unknown or ())
    if found.left_off:
        response.headers["Hearth-Truncated"] = f"the first {found.shown}; POST .../paginate has all"
    return response


async def _paged(request: ApiRequest, *, summaries: bool) -> Response[Any]:
    unknown: dict[Unknown, None] = {}
    told = await read(request, _page, unknown)
    site, account, how = site_of(request), caller(request), rendering(request)
    ask = ask_for_page(told, account.id, how, site.accounts.keys, summaries=summaries)
    listing = await site.store.read(read_page, account.id, ask, told.token, how)
    return encoded(msgspec.json.encode(listing), unknown)


def _tags(request: ApiRequest) -> list[str]:
    return [value for name, value in request.query_params.multi_items() if name.lower() == "tag" and value]
