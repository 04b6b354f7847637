"""Why a task waits."""

from __future__ import annotations

from litestar import Controller, get
from litestar.params import FromQuery

from hearth.api.requests import ApiRequest, PathText, caller, site_of
from hearth.control import why as control
from hearth_client.messages.times import format_date
from hearth_client.messages.why import PastWait, WaitReason, Why


class WhyTasks(Controller):
    """The question that a waiting user has."""

    path = "/tasks"
    tags = ["tasks"]

    @get("/{ident:str}/why")
    async def why(self, request: ApiRequest, ident: PathText, instance: FromQuery[int | None] = None) -> Why:
        """Why a task waits, or one instance of it: a stable code, its numbers and a sentence; and why it waited."""
        found = await control.why(site_of(request), caller(request).id, ident, instance)
        return Why(
            uuid=found.uuid,
            state=found.state,
            message=found.message,
            reasons=[
                WaitReason(
                    code=held.reason.code.value,
                    message=held.reason.message,
                    instances=str(held.numbers),
                    numbers=dict(held.reason.numbers),
                    since=format_date(held.since),
                )
                for held in found.reasons
            ],
            past=[PastWait(code=past.code, seconds=past.microseconds / 1_000_000) for past in found.past],
            instance=instance,
        )
