"""New tasks made of old ones: retry, recover, resume, clone, and the older restart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from litestar import Controller, Response, post

from hearth.api.bodies import BodyReader
from hearth.api.idempotency import once_of
from hearth.api.read_task import TaskReader
from hearth.api.requests import ApiRequest, PathText, caller, done, site_of
from hearth.api.resubmission import changed, names_instances, submission_of
from hearth.api.shapes import Unknown
from hearth.api.submit import ANSWERED, created, location, make_task
from hearth.control.accounts import Account
from hearth.control.derive import Again, Source, source
from hearth.control.submit import NewTask
from hearth.domain.errors import Invalid
from hearth_client.messages.submissions import Created, TaskSubmit

_CHANGES: Final = BodyReader(TaskSubmit, silent=ANSWERED, may_be_empty=True)


class Derive(Controller):
    """A body may change fields of the new task; what it leaves out is as it was."""

    path = "/tasks"
    tags = ["tasks"]

    @post("/{ident:str}/retry", status_code=200, opt={"body": TaskSubmit, "may_be_empty": True})
    async def retry(self, request: ApiRequest, ident: PathText) -> Response[Created]:
        """Run the failed instances again, as a new task."""
        return await _again(request, ident, Again.RETRY)

    @post("/{ident:str}/recover", status_code=200, opt={"body": TaskSubmit, "may_be_empty": True})
    async def recover(self, request: ApiRequest, ident: PathText) -> Response[Created]:
        """Run the failed and the cancelled instances again, as a new task."""
        return await _again(request, ident, Again.RECOVER)

    @post("/{ident:str}/resume", status_code=200, opt={"body": TaskSubmit, "may_be_empty": True})
    async def resume(self, request: ApiRequest, ident: PathText) -> Response[Created]:
        """Run the cancelled instances again, as a new task."""
        return await _again(request, ident, Again.RESUME)

    @post("/{ident:str}/clone", status_code=200, opt={"body": TaskSubmit, "may_be_empty": True})
    async def clone(self, request: ApiRequest, ident: PathText) -> Response[Created]:
        """Run the whole task again, as a new one."""
        return await _again(request, ident, Again.CLONE)

    @post("/{ident:str}/restart", status_code=200, deprecated=True)
    async def restart(self, request: ApiRequest, ident: PathText) -> Response[None]:
        """Clone the task, and say where the new one is in the header Location only."""
        uuid = await _made(request, ident, Again.CLONE, TaskSubmit())
        response = done()
        response.headers["Location"] = location(site_of(request), uuid)
        return response


async def _again(request: ApiRequest, ident: str, again: Again) -> Response[Any]:
    unknown: dict[Unknown, None] = {}
    body = await request.body()
    told = TaskSubmit() if body.strip() == b"null" else _CHANGES.read(body, unknown)
    return created(site_of(request), await _made(request, ident, again, told), unknown)


async def _made(request: ApiRequest, ident: str, again: Again, told: TaskSubmit) -> str:
    site, account = site_of(request), caller(request)

    async def read() -> NewTask:
        found = await site.store.read(source, account.id, ident, again)
        return _new_task(TaskReader(account, site.profiles, site.new_uuid), account, found, again, told)

    return await make_task(site, account, await once_of(request), read)


def _new_task(reader: TaskReader, account: Account, found: Source, again: Again, told: TaskSubmit) -> NewTask:
    """Return the task, checked as if it had been submitted whole."""
    row, spec = found.row, found.row.parsed_spec()
    project = next((project.uuid for project in account.projects if project.id == row.project_id), None)
    wanted = changed(submission_of(row.name, row.profile, project, spec), told)
    if again is Again.CLONE and names_instances(told):
        return reader.read(wanted)
    if names_instances(told) and not _same_instances(found, spec.from_ranges, told):
        field = "instanceCount" if told.instance_count else "advancedRanges"
        raise Invalid(field, f"cannot be chosen: {again.value} runs the instances that ended so; clone chooses freely")
    new = reader.read(wanted, numbers=(found.numbers, spec.from_ranges or again is not Again.CLONE))
    # An instance that takes its share of the work by INSTANCE_COUNT takes the same share again.
    return replace(new, spec=replace(new.spec, counted_as=spec.counted_as or row.instance_total))


def _same_instances(found: Source, from_ranges: bool, told: TaskSubmit) -> bool:
    """Answer whether a body only repeats what the first task says of its instances."""
    count = 0 if from_ranges else found.row.instance_total
    ranges = found.row.numbers if from_ranges else ""
    return (told.instance_count or 0) == count and (told.advanced_ranges or "") == ranges
