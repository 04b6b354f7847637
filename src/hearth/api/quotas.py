"""What may run at once and does: of the caller, and of the organization that the caller belongs to."""

from __future__ import annotations

from collections.abc import Mapping

from litestar import Controller, get

from hearth.api.requests import ApiRequest, caller, site_of
from hearth.control.accounts import Account
from hearth.domain.errors import Missing
from hearth.domain.spec import SchedulingClass
from hearth.store.queries.accounts import OrganizationUse, Running, Use
from hearth_client.messages.quotas import (
    ComputingQuotas,
    OrganizationQuotas,
    OrganizationQuotasDetails,
    Quota,
    RunningCounts,
    SharedQuota,
    UserQuotas,
)


class Quotas(Controller):
    """Quotas by scheduling class."""

    path = "/quotas/computing-quotas"
    tags = ["account"]

    @get("/user")
    async def user(self, request: ApiRequest) -> UserQuotas:
        """What the account may run, and runs."""
        account = caller(request)
        return user_quotas(account, await site_of(request).accounts.use(account))

    @get("/organization")
    async def organization(self, request: ApiRequest) -> OrganizationQuotasDetails:
        """What the accounts of the organization run, each of them too."""
        account = caller(request)
        use = await site_of(request).accounts.organization_use(account)
        if use is None:
            raise Missing("organization", f"{account.email} belongs to none")
        return OrganizationQuotasDetails(
            flex=_shared(use, SchedulingClass.FLEX), on_demand=_shared(use, SchedulingClass.ON_DEMAND), reserved=[]
        )


def computing_quotas(account: Account, use: Use, organization: OrganizationUse | None) -> ComputingQuotas:
    """Return the quotas of an account and of its organization."""
    return ComputingQuotas(
        user=user_quotas(account, use),
        organization=None
        if organization is None
        else OrganizationQuotas(
            name=organization.name,
            flex=_together(organization, SchedulingClass.FLEX),
            on_demand=_together(organization, SchedulingClass.ON_DEMAND),
            reserved=[],
        ),
    )


def user_quotas(account: Account, use: Use) -> UserQuotas:
    """Return the quotas of an account: each class may have all that the account may have."""

    def of(scheduling: SchedulingClass) -> Quota:
        instances, cores = use.live_by_class.get(scheduling, (0, 0.0))
        return _quota(account.limits.max_instances, account.limits.max_cores, instances, cores)

    return UserQuotas(flex=of(SchedulingClass.FLEX), on_demand=of(SchedulingClass.ON_DEMAND), reserved=[])


def _together(use: OrganizationUse, scheduling: SchedulingClass) -> Quota:
    """Return what all accounts run; an organization has no limit of its own."""
    each = use.running.get(scheduling, {}).values()
    return _quota(0, 0, sum(count for count, _ in each), sum(cores for _, cores in each))


def _shared(use: OrganizationUse, scheduling: SchedulingClass) -> SharedQuota:
    whole = _together(use, scheduling)
    return SharedQuota(
        max_cores=whole.max_cores,
        running_cores_count=whole.running_cores_count,
        running_core_count=whole.running_core_count,
        max_instances=whole.max_instances,
        running_instances_count=whole.running_instances_count,
        running_counts_per_user=_each(use.running.get(scheduling, {})),
    )


def _each(running: Mapping[str, Running]) -> dict[str, RunningCounts]:
    return {
        email: RunningCounts(
            running_instances_count=count, running_cores_count=whole(cores), running_core_count=whole(cores)
        )
        for email, (count, cores) in running.items()
    }


def _quota(max_instances: int, max_cores: int, instances: int, cores: float) -> Quota:
    return Quota(
        max_cores=max_cores,
        running_cores_count=whole(cores),
        running_core_count=whole(cores),
        max_instances=max_instances,
        running_instances_count=instances,
    )


def whole(cores: float) -> int:
    """Return a number of cores rounded up."""
    return int(-(-cores // 1))
