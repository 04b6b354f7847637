"""How much a user and an organization may run at once, and do run now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]


class _Quota:
    """A limit of cores and one of instances, and how much of them is taken."""

    def __init__(
        self, max_cores: int, running_cores_count: int, max_instances: int, running_instances_count: int
    ) -> None:
        self.max_cores = max_cores
        """Most cores at once."""
        self.running_cores_count = running_cores_count
        """Cores that run now."""
        self.max_instances = max_instances
        """Most instances at once."""
        self.running_instances_count = running_instances_count
        """Instances that run now."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value}' for key, value in vars(self).items())})"


def _counts(json: Json) -> tuple[int, int, int, int]:
    # Two spellings of the running cores are in use.
    running_cores = json.get("runningCoresCount", json.get("runningCoreCount"))
    return (
        json.get("maxCores") or 0,
        running_cores or 0,
        json.get("maxInstances") or 0,
        json.get("runningInstancesCount") or 0,
    )


def _reservation(json: Json) -> tuple[str, str]:
    machine_key = json.get("machineKey") or ""
    return json.get("reservationName") or machine_key, machine_key


class UserSchedulingQuota(_Quota):
    """A user's quota of one scheduling class."""

    def __init__(
        self, max_cores: int, running_cores_count: int, max_instances: int, running_instances_count: int
    ) -> None:
        super().__init__(max_cores, running_cores_count, max_instances, running_instances_count)

    @classmethod
    def from_json(cls, json: Json) -> UserSchedulingQuota:
        """Return the quota that an answer names."""
        return UserSchedulingQuota(*_counts(json))


class UserReservedSchedulingQuota(UserSchedulingQuota):
    """A user's quota of one reservation."""

    def __init__(
        self,
        reservation_name: str,
        machine_key: str,
        max_cores: int,
        running_cores_count: int,
        max_instances: int,
        running_instances_count: int,
    ) -> None:
        super().__init__(max_cores, running_cores_count, max_instances, running_instances_count)
        self.reservation_name = reservation_name
        """Name of the reservation."""
        self.machine_key = machine_key
        """Specification of its machines."""

    @classmethod
    def from_json(cls, json: Json) -> UserReservedSchedulingQuota:
        """Return the quota that an answer names."""
        return cls(*_reservation(json), *_counts(json))


class UserComputingQuotas:
    """A user's quotas of all scheduling classes."""

    def __init__(
        self,
        flex: UserSchedulingQuota,
        on_demand: UserSchedulingQuota,
        reserved: list[UserReservedSchedulingQuota],
    ) -> None:
        self.flex = flex
        """Quota of flex."""
        self.on_demand = on_demand
        """Quota of on demand."""
        self.reserved = reserved
        """Quotas of the reservations."""

    @classmethod
    def from_json(cls, json: Json) -> UserComputingQuotas:
        """Return the quotas that an answer names."""
        return cls(
            UserSchedulingQuota.from_json(json.get("flex") or {}),
            UserSchedulingQuota.from_json(json.get("onDemand") or {}),
            [UserReservedSchedulingQuota.from_json(item) for item in json.get("reserved") or []],
        )

    def __repr__(self) -> str:
        return f"UserComputingQuotas({self.flex}, {self.on_demand}, {self.reserved})"


class OrganizationSchedulingQuota(_Quota):
    """An organization's quota of one scheduling class."""

    def __init__(
        self, max_cores: int, running_cores_count: int, max_instances: int, running_instances_count: int
    ) -> None:
        super().__init__(max_cores, running_cores_count, max_instances, running_instances_count)

    @classmethod
    def from_json(cls, json: Json) -> OrganizationSchedulingQuota:
        """Return the quota that an answer names."""
        return OrganizationSchedulingQuota(*_counts(json))


class OrganizationReservedSchedulingQuota(OrganizationSchedulingQuota):
    """An organization's quota of one reservation."""

    def __init__(
        self,
        reservation_name: str,
        machine_key: str,
        max_cores: int,
        running_cores_count: int,
        max_instances: int,
        running_instances_count: int,
    ) -> None:
        super().__init__(max_cores, running_cores_count, max_instances, running_instances_count)
        self.reservation_name = reservation_name
        """Name of the reservation."""
        self.machine_key = machine_key
        """Specification of its machines."""

    @classmethod
    def from_json(cls, json: Json) -> OrganizationReservedSchedulingQuota:
        """Return the quota that an answer names."""
        return cls(*_reservation(json), *_counts(json))


class OrganizationComputingQuotasBase:
    """An organization's quotas of all scheduling classes."""

    def __init__(
        self,
        flex: OrganizationSchedulingQuota,
        on_demand: OrganizationSchedulingQuota,
        reserved: Sequence[OrganizationReservedSchedulingQuota],
    ) -> None:
        self.flex = flex
        """Quota of flex."""
        self.on_demand = on_demand
        """Quota of on demand."""
        self.reserved = reserved
        """Quotas of the reservations."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.flex}, {self.on_demand}, {self.reserved})"


class OrganizationComputingQuotas(OrganizationComputingQuotasBase):
    """The same, with the organization's name."""

    def __init__(
        self,
        name: str,
        flex: OrganizationSchedulingQuota,
        on_demand: OrganizationSchedulingQuota,
        reserved: list[OrganizationReservedSchedulingQuota],
    ) -> None:
        super().__init__(flex, on_demand, reserved)
        self.name = name
        """Name of the organization."""

    @classmethod
    def from_json(cls, json: Json) -> OrganizationComputingQuotas:
        """Return the quotas that an answer names."""
        return cls(
            json.get("name") or "",
            OrganizationSchedulingQuota.from_json(json.get("flex") or {}),
            OrganizationSchedulingQuota.from_json(json.get("onDemand") or {}),
            [OrganizationReservedSchedulingQuota.from_json(item) for item in json.get("reserved") or []],
        )


class RunningCounts:
    """How much one user runs."""

    def __init__(self, running_instances_count: int, running_cores_count: int) -> None:
        self.running_instances_count = running_instances_count
        """Instances that run now."""
        self.running_cores_count = running_cores_count
        """Cores that run now."""

    @classmethod
    def from_json(cls, json: Json) -> RunningCounts:
        """Return the counts that an answer names."""
        _, cores, _, instances = _counts(json)
        return cls(instances, cores)

    def __repr__(self) -> str:
        return f"RunningCounts({self.running_instances_count}, {self.running_cores_count})"


def _per_user(json: Json) -> dict[str, RunningCounts] | None:
    counts = json.get("runningCountsPerUser")
    return None if counts is None else {user: RunningCounts.from_json(item) for user, item in counts.items()}


class OrganizationSchedulingQuotaDetails(OrganizationSchedulingQuota):
    """An organization's quota of one scheduling class, with who uses it."""

    def __init__(
        self,
        running_counts_per_user: dict[str, RunningCounts] | None,
        max_cores: int,
        running_cores_count: int,
        max_instances: int,
        running_instances_count: int,
    ) -> None:
        super().__init__(max_cores, running_cores_count, max_instances, running_instances_count)
        self.running_counts_per_user = running_counts_per_user
        """What each user runs, by e-mail address."""

    @classmethod
    def from_json(cls, json: Json) -> OrganizationSchedulingQuotaDetails:
        """Return the quota that an answer names."""
        return cls(_per_user(json), *_counts(json))


class OrganizationReservedSchedulingQuotaDetails(OrganizationReservedSchedulingQuota):
    """An organization's quota of one reservation, with who uses it."""

    def __init__(
        self,
        running_counts_per_user: dict[str, RunningCounts] | None,
        reservation_name: str,
        machine_key: str,
        max_cores: int,
        running_cores_count: int,
        max_instances: int,
        running_instances_count: int,
    ) -> None:
        super().__init__(
            reservation_name,
            machine_key,
            max_cores,
            running_cores_count,
            max_instances,
            running_instances_count,
        )
        self.running_counts_per_user = running_counts_per_user
        """What each user runs, by e-mail address."""

    @classmethod
    def from_json(cls, json: Json) -> OrganizationReservedSchedulingQuotaDetails:
        """Return the quota that an answer names."""
        return cls(_per_user(json), *_reservation(json), *_counts(json))


class OrganizationComputingQuotasDetails(OrganizationComputingQuotasBase):
    """An organization's quotas of all scheduling classes, with who uses them."""

    def __init__(
        self,
        flex: OrganizationSchedulingQuotaDetails,
        on_demand: OrganizationSchedulingQuotaDetails,
        reserved: list[OrganizationReservedSchedulingQuotaDetails],
    ) -> None:
        super().__init__(flex, on_demand, reserved)

    @classmethod
    def from_json(cls, json: Json) -> OrganizationComputingQuotasDetails:
        """Return the quotas that an answer names."""
        return cls(
            OrganizationSchedulingQuotaDetails.from_json(json.get("flex") or {}),
            OrganizationSchedulingQuotaDetails.from_json(json.get("onDemand") or {}),
            [OrganizationReservedSchedulingQuotaDetails.from_json(item) for item in json.get("reserved") or []],
        )


class ComputingQuotas:
    """The quotas of a user and of the user's organization."""

    def __init__(
        self,
        user_computing_quotas: UserComputingQuotas | None,
        organization_computing_quotas: OrganizationComputingQuotas | None = None,
    ) -> None:
        self.user = user_computing_quotas
        """The user's own."""
        self.organization = organization_computing_quotas
        """Those of the organization, None without one."""

    @classmethod
    def from_json(cls, json: Json) -> ComputingQuotas:
        """Return the quotas that an answer names."""
        user, organization = json.get("user"), json.get("organization")
        return cls(
            None if user is None else UserComputingQuotas.from_json(user),
            None if organization is None else OrganizationComputingQuotas.from_json(organization),
        )

    @classmethod
    def from_json_legacy(cls, json: Json) -> ComputingQuotas:
        """Return the quotas that an older answer names by flat fields."""

        def quota(name: str) -> UserSchedulingQuota:
            return UserSchedulingQuota(
                json.get(f"max{name}Cores") or 0,
                json.get(f"running{name}CoreCount") or 0,
                json.get(f"max{name}Instances") or 0,
                json.get(f"running{name}InstanceCount") or 0,
            )

        reserved = [UserReservedSchedulingQuota.from_json(item) for item in json.get("reservedQuotas") or []]
        return cls(UserComputingQuotas(quota("Flex"), quota("OnDemand"), reserved))

    def __repr__(self) -> str:
        return f"ComputingQuotas({self.user}, {self.organization})"
