"""How much may run at once and does, by scheduling class; a limit of 0 stands for no limit."""

from __future__ import annotations

from hearth_client.messages.base import Answer


class Quota(Answer):
    """The quota of one scheduling class. The running cores have two names, for the clients of either."""

    max_cores: int
    running_cores_count: int
    running_core_count: int
    max_instances: int
    running_instances_count: int


class ReservationQuota(Quota):
    """The quota of one reservation."""

    reservation_name: str
    machine_key: str


class UserQuotas(Answer):
    """What one account may run and runs."""

    flex: Quota
    on_demand: Quota
    reserved: list[ReservationQuota]


class OrganizationQuotas(UserQuotas):
    """What all accounts of an organization run together."""

    name: str


class ComputingQuotas(Answer):
    """Both."""

    user: UserQuotas
    organization: OrganizationQuotas | None


class RunningCounts(Answer):
    """What one account of an organization runs."""

    running_instances_count: int
    running_cores_count: int
    running_core_count: int


class SharedQuota(Quota):
    """The quota of one scheduling class, and who takes how much of it, by e-mail."""

    running_counts_per_user: dict[str, RunningCounts]


class SharedReservationQuota(SharedQuota):
    """The same of one reservation."""

    reservation_name: str
    machine_key: str


class OrganizationQuotasDetails(Answer):
    """What the accounts of an organization run."""

    flex: SharedQuota
    on_demand: SharedQuota
    reserved: list[SharedReservationQuota]
