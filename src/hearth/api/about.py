"""The site and the caller: settings, versions, status, info and profiles."""

from __future__ import annotations

from typing import Final

from litestar import Controller, Response, get

from hearth.api.quotas import computing_quotas, whole
from hearth.api.requests import ApiRequest, PathText, answer, caller, done, site_of
from hearth.control.accounts import Account
from hearth.domain.errors import Missing
from hearth.domain.spec import SchedulingClass
from hearth.store.queries.accounts import OrganizationUse, Use
from hearth_client.messages.account import Project, UserInfo
from hearth_client.messages.profiles import Profile, ProfileConstant, ProfileLicense
from hearth_client.messages.site import SiteSettings, Status, Version

VERSIONS: Final = [Version(version="v1")]


class About(Controller):
    """What a client asks first."""

    tags = ["site"]

    @get("/settings")
    async def settings(self, request: ApiRequest) -> SiteSettings:
        """Where the storage is."""
        return SiteSettings(storage=site_of(request).storage_url or None)

    @get("/versions")
    async def versions(self) -> list[Version]:
        """The versions of the API."""
        return VERSIONS

    @get("/")
    async def check(self) -> Response[None]:
        """Say whether the token is good, and nothing else."""
        return done()

    @get("/status")
    async def status(self, request: ApiRequest) -> Status:
        """Say that the site answers, and whom it sees."""
        return Status(status="available", email=caller(request).email)

    @get("/info")
    async def info(self, request: ApiRequest) -> UserInfo:
        """What the account may have and has."""
        account = caller(request)
        accounts = site_of(request).accounts
        return render_info(account, await accounts.use(account), await accounts.organization_use(account))

    @get("/profiles")
    async def profiles(self, request: ApiRequest) -> list[str]:
        """The names of the profiles."""
        return site_of(request).profiles.names()

    @get("/profiles/{name:str}")
    async def profile(self, request: ApiRequest, name: PathText) -> Response[Profile]:
        """A profile with its constants."""
        found = site_of(request).profiles.get(name)
        if found is None:
            raise Missing("profile", name)
        return answer(
            Profile(
                name=found.name,
                description=found.description,
                constants=[
                    ProfileConstant(name=c.name, value=c.value, description=c.description) for c in found.constants
                ],
                licenses=[
                    ProfileLicense(name=one.name, max_instances=one.max_instances, max_cores=one.max_cores)
                    for one in found.licenses
                ],
            )
        )


def render_info(account: Account, use: Use, organization: OrganizationUse | None) -> UserInfo:
    """Return what the account may have and has."""
    limits = account.limits
    flex = use.live_by_class.get(SchedulingClass.FLEX, (0, 0.0))
    on_demand = use.live_by_class.get(SchedulingClass.ON_DEMAND, (0, 0.0))
    return UserInfo(
        email=account.email,
        max_bucket=limits.max_buckets,
        bucket_count=use.buckets,
        quota_bytes_bucket=limits.max_bucket_bytes,
        used_quota_bytes_bucket=use.bucket_bytes,
        quota_bytes=limits.max_bucket_bytes,
        used_quota_bytes=use.bucket_bytes,
        max_task=limits.max_tasks,
        task_count=use.tasks,
        max_running_task=limits.max_running_tasks,
        running_task_count=use.running_tasks,
        max_job=limits.max_jobs,
        job_count=0,
        max_pool=limits.max_pools,
        pool_count=0,
        max_running_pool=limits.max_running_pools,
        running_pool_count=0,
        running_instance_count=use.live_instances,
        running_core_count=whole(use.live_cores),
        max_instances=limits.max_instances,
        max_cores=limits.max_cores,
        max_flex_instances=limits.max_instances,
        max_flex_cores=limits.max_cores,
        max_on_demand_instances=limits.max_instances,
        max_on_demand_cores=limits.max_cores,
        running_flex_instance_count=flex[0],
        running_flex_core_count=whole(flex[1]),
        running_on_demand_instance_count=on_demand[0],
        running_on_demand_core_count=whole(on_demand[1]),
        reserved_quotas=[],
        computing_quotas=computing_quotas(account, use, organization),
        default_scheduling="flex",
        default_reserved_specification_key=None,
        projects=[
            Project(
                uuid=p.uuid,
                name=p.name,
                slug=p.slug,
                description=p.description,
                organization_uuid=p.organization_uuid,
                is_default=p.is_default,
            )
            for p in account.projects
        ],
    )
