"""Tasks as the server shows them."""

from __future__ import annotations

from msgspec import UNSET, UnsetType, field

from hearth_client.messages.base import Answer
from hearth_client.messages.submissions import (
    AdvancedBucket,
    ForcedConstant,
    HardwareConstraint,
    KeyValue,
    NetworkRule,
    Privileges,
    RetrySettings,
    SecretsAccessRights,
)
from hearth_client.messages.task_status import CompletedInstance, TaskError, TaskStatus


class ClusterInfo(Answer):
    """The cluster that a task makes of its instances, if it does."""

    cluster_cores_count: int | None = None


class AdvancedDependency(Answer):
    """A task that comes first, and how it stands."""

    task_uuid: str
    task_final_state_condition: list[str]
    state: str
    actual_final_state: str | None = None


class Dependencies(Answer):
    """Tasks that come first."""

    depends_on: list[str]
    advanced_depends_on: list[AdvancedDependency]
    state: str | UnsetType = UNSET


class TaskSummary(Answer):
    """A task in lists: what costs nothing to know."""

    uuid: str
    name: str
    shortname: str
    profile: str | None
    pool_uuid: str | None
    job_uuid: str | None
    project_uuid: str | None
    progress: float
    running_instance_count: int
    running_core_count: int
    execution_time: str
    wall_time: str
    state: str
    previous_state: str | None
    instance_count: int
    total_instance_count: int
    max_retries_per_instance: int | None
    cluster_info: ClusterInfo
    advanced_ranges: str | None
    state_transition_time: str
    previous_state_transition_time: str
    last_modified: str
    creation_date: str
    end_date: str
    wait_for_pool_resources_synchronization: bool | None


class Task(TaskSummary):
    """A task with all that is known of it."""

    errors: list[TaskError]
    completed_instances: list[CompletedInstance]
    results_count: int
    snapshot_interval: int
    constants: list[KeyValue]
    constraints: list[KeyValue]
    forced_constants: list[ForcedConstant]
    resource_buckets: list[str]
    advanced_resource_buckets: list[AdvancedBucket]
    result_bucket: str | None
    results_bucket: str | None
    results_bucket_prefix: str | None
    results_cache_ttl_sec: int | None = field(name="resultsCacheTTLSec")
    results_cache_ttl_sec_old: int | None = field(name="ResultsCacheTTLSec")  # as the Python SDK reads it
    default_resources_cache_ttl_sec: int | None = field(name="defaultResourcesCacheTTLSec")
    results_whitelist: str | None
    results_blacklist: str | None
    snapshot_whitelist: str | None
    snapshot_blacklist: str | None
    snapshot_bucket: str | None
    snapshot_bucket_prefix: str | None
    tags: list[str]
    labels: dict[str, str]
    dependencies: Dependencies
    auto_delete_on_completion: bool
    completion_time_to_live: str
    upload_results_on_cancellation: bool | None
    max_time_queue_seconds: int | None
    hardware_constraints: list[HardwareConstraint]
    privileges: Privileges
    retry_settings: RetrySettings
    scheduling_type: str | None
    targeted_reserved_machine_key: str | None
    targeted_reservation_name: str | None
    forced_network_rules: list[NetworkRule]
    secrets_access_rights: SecretsAccessRights
    priority: int
    status: TaskStatus | None
