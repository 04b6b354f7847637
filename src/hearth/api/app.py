"""The REST door as one ASGI application."""

from __future__ import annotations

from litestar import Litestar
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp

from hearth.api.about import About
from hearth.api.carbon import Carbon
from hearth.api.derive import Derive
from hearth.api.hardware import Hardware
from hearth.api.openapi import CONFIG, openapi
from hearth.api.outer import Outer
from hearth.api.quotas import Quotas
from hearth.api.refusals import broken, not_understood, refused
from hearth.api.snapshots import Snapshots
from hearth.api.task_follow import TaskFollow
from hearth.api.task_lists import TaskLists
from hearth.api.task_output import TaskOutput
from hearth.api.tasks import Tasks
from hearth.api.why import WhyTasks
from hearth.control.site import Site
from hearth.control.viewers import Viewers
from hearth.domain.errors import HearthError


def create_api(site: Site) -> ASGIApp:
    """Return the REST door of a site."""
    return Outer(create_routes(site), site.accounts, Viewers(site.store, now=site.now))


def create_routes(site: Site) -> Litestar:
    """Return the routes alone; who calls must be known already."""
    return Litestar(
        route_handlers=[
            About,
            Hardware,
            Quotas,
            WhyTasks,
            Carbon,
            TaskLists,
            Tasks,
            Derive,
            TaskOutput,
            TaskFollow,
            Snapshots,
            openapi,
        ],
        state=State({"site": site, "request_limit_mb": site.settings.request_limit_mb, "openapi": None}),
        exception_handlers={HearthError: refused, HTTPException: not_understood, Exception: broken},
        openapi_config=CONFIG,
        request_max_body_size=site.settings.request_limit_mb << 20,
        logging_config=None,
    )
