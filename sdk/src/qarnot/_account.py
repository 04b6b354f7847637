"""What the platform says of the account and of its profiles."""

from __future__ import annotations

from typing import Any

from qarnot.computing_quotas import ComputingQuotas
from qarnot.project import Project


class UserInfo:
    """The account: who it is, what it may have, what it has."""

    def __init__(self, info: dict[str, Any]) -> None:
        self.email: str = info.get("email") or ""
        """E-mail address."""
        self.max_bucket: int | None = info.get("maxBucket")
        """Most buckets."""
        self.bucket_count: int = info.get("bucketCount", -1)
        """Buckets now."""
        self.quota_bytes_bucket: int | None = info.get("quotaBytesBucket")
        """Most bytes in buckets."""
        self.used_quota_bytes_bucket: int | None = info.get("usedQuotaBytesBucket")
        """Bytes in buckets now."""
        self.task_count: int | None = info.get("taskCount")
        """Tasks now."""
        self.max_task: int | None = info.get("maxTask")
        """Most tasks."""
        self.running_task_count: int | None = info.get("runningTaskCount")
        """Running tasks now."""
        self.max_running_task: int | None = info.get("maxRunningTask")
        """Most running tasks."""
        self.max_instances: int | None = info.get("maxInstances")
        """Most instances at once."""
        self.max_flex_instances: int | None = info.get("maxFlexInstances")
        """Most flex instances at once."""
        self.max_flex_cores: int | None = info.get("maxFlexCores")
        """Most flex cores at once."""
        self.max_on_demand_instances: int | None = info.get("maxOnDemandInstances")
        """Most on-demand instances at once."""
        self.max_on_demand_cores: int | None = info.get("maxOnDemandCores")
        """Most on-demand cores at once."""
        self.max_cores: int | None = info.get("maxFlexCores", info.get("maxCores"))
        """Most cores at once; as documented, those of flex."""
        self.max_pool: int | None = info.get("maxPool")
        """Most pools."""
        self.pool_count: int | None = info.get("poolCount")
        """Pools now."""
        self.max_running_pool: int | None = info.get("maxRunningPool")
        """Most open pools."""
        self.running_pool_count: int | None = info.get("runningPoolCount")
        """Open pools now."""
        self.running_instance_count: int | None = info.get("runningInstanceCount")
        """Running instances now."""
        self.running_core_count: int | None = info.get("runningCoreCount")
        """Running cores now."""
        quotas = info.get("computingQuotas")
        self.computing_quotas: ComputingQuotas = (
            ComputingQuotas.from_json(quotas) if quotas else ComputingQuotas.from_json_legacy(info)
        )
        """Quotas by scheduling class."""
        self.projects: list[Project] = [Project.from_json(item) for item in info.get("projects") or []]
        """Projects of the account."""

    def __repr__(self) -> str:
        return f"UserInfo({self.email!r}, {self.task_count} of {self.max_task} tasks)"


class Profile:
    """What a task can run: a name, and constants with default values."""

    def __init__(self, info: dict[str, Any]) -> None:
        self.name: str = info.get("name") or ""
        """The name."""
        self.constants: list[tuple[str, str]] = [
            (constant["name"], constant.get("value") or "") for constant in info.get("constants") or []
        ]
        """Names and default values of the constants."""

    def __repr__(self) -> str:
        return f"Profile({self.name!r}, {self.constants})"
