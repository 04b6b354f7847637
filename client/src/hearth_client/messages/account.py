"""The account of the caller: limits, use and projects."""

from __future__ import annotations

from hearth_client.messages.base import Answer
from hearth_client.messages.quotas import ComputingQuotas


class Project(Answer):
    """A project that work is accounted to."""

    uuid: str
    name: str
    slug: str
    description: str
    organization_uuid: str | None
    is_default: bool


class ReservedQuota(Answer):
    """Machines reserved for the account."""

    machine_key: str
    max_instances: int
    max_cores: int


class UserInfo(Answer):
    """`GET /info`; a limit of 0 stands for no limit."""

    email: str
    max_bucket: int
    bucket_count: int
    quota_bytes_bucket: int
    used_quota_bytes_bucket: int
    quota_bytes: int
    used_quota_bytes: int
    max_task: int
    task_count: int
    max_running_task: int
    running_task_count: int
    max_job: int
    job_count: int
    max_pool: int
    pool_count: int
    max_running_pool: int
    running_pool_count: int
    running_instance_count: int
    running_core_count: int
    max_instances: int
    max_cores: int
    max_flex_instances: int
    max_flex_cores: int
    max_on_demand_instances: int
    max_on_demand_cores: int
    running_flex_instance_count: int
    running_flex_core_count: int
    running_on_demand_instance_count: int
    running_on_demand_core_count: int
    reserved_quotas: list[ReservedQuota]
    computing_quotas: ComputingQuotas
    default_scheduling: str
    default_reserved_specification_key: str | None
    projects: list[Project]
