"""What a client says to submit or change a task."""

from __future__ import annotations

from msgspec import field

from hearth_client.messages.base import Answer, Part, Request


class KeyValue(Part):
    """A constant or a constraint; numbers and booleans are taken as their text."""

    key: str
    value: str | int | float | bool | None = None


class Prefix(Part):
    """The beginning of object keys."""

    prefix: str | None = None


class Filtering(Part, omit_defaults=True):
    """Which objects of a bucket are wanted; `{}` is all."""

    prefix_filtering: Prefix | None = None


class Transformation(Part, omit_defaults=True):
    """How keys become paths; `{}` leaves them."""

    strip_prefix: Prefix | None = None


class AdvancedBucket(Part):
    """A bucket of resources with its rules."""

    bucket_name: str
    filtering: Filtering | None = None
    resources_transformation: Transformation | None = None
    cache_ttl_sec: int | None = field(default=None, name="cacheTTLSec")


class ForcedConstant(Part):
    """A constant that nothing else overrides."""

    constant_name: str
    forced_value: str | int | float | bool | None = None
    force_export_in_environment: bool | None = None
    access: str | int | None = None  # C# sends the number: 0 ReadOnly, 1 ReadWrite


class NetworkRule(Part, omit_defaults=True):
    """A rule of the network of instances."""

    inbound: bool | None = None
    proto: str | None = None
    name: str | None = None
    application_type: str | None = None
    port: str | None = None
    to: str | None = None
    public_host: str | None = None
    public_port: str | None = None
    forwarder: str | None = None
    priority: str | None = None
    description: str | None = None
    to_q_box: bool | None = field(default=None, name="toQBox")
    to_payload: bool | None = None


class HardwareConstraint(Part, omit_defaults=True):
    """What the machine must have; which of the fields counts depends on the discriminator."""

    discriminator: str
    core_count: int | None = None
    minimum_memory_gb_core_ratio: float | None = field(default=None, name="minimumMemoryGBCoreRatio")
    maximum_memory_gb_core_ratio: float | None = field(default=None, name="maximumMemoryGBCoreRatio")
    minimum_memory_mb: float | None = field(default=None, name="minimumMemoryMB")
    maximum_memory_mb: float | None = field(default=None, name="maximumMemoryMB")
    specification_key: str | None = None
    cpu_model: str | None = None


class Privileges(Part):
    """What the platform may hand to instances."""

    export_api_and_storage_credentials_in_environment: bool | None = None


class RetrySettings(Part):
    """How often failed instances may be tried again."""

    max_total_retries: int | None = None
    max_per_instance_retries: int | None = None


class SecretKey(Part):
    """The right to one secret."""

    key: str


class SecretPrefix(Part):
    """The right to all secrets under a prefix."""

    prefix: str


class SecretsAccessRights(Part):
    """Which secrets instances may read."""

    by_secret: list[SecretKey] | None = None
    by_prefix: list[SecretPrefix] | None = None


class DependsOn(Part):
    """A task that comes first, and how it must end."""

    task_uuid: str
    task_final_state_condition: list[str] | None = None


class DependencyInput(Part):
    """Tasks that come first; one of the two lists."""

    depends_on: list[str] | None = None
    advanced_depends_on: list[DependsOn] | None = None


class TaskSubmit(Request):
    """The body of `POST /tasks`, and (less `name`) of `PUT /tasks/{id}`."""

    name: str | None = None
    shortname: str | None = None
    profile: str | None = None
    pool_uuid: str | None = None
    job_uuid: str | None = None
    project_uuid: str | None = None
    instance_count: int | None = None
    advanced_ranges: str | None = None
    constants: list[KeyValue] | None = None
    constraints: list[KeyValue] | None = None
    forced_constants: list[ForcedConstant] | None = None
    resource_buckets: list[str] | None = None
    advanced_resource_buckets: list[AdvancedBucket] | None = None
    result_bucket: str | None = None
    results_bucket: str | None = None
    results_bucket_prefix: str | None = None
    results_cache_ttl_sec: int | None = field(default=None, name="resultsCacheTTLSec")
    default_resources_cache_ttl_sec: int | None = field(default=None, name="defaultResourcesCacheTTLSec")
    results_whitelist: str | None = None
    results_blacklist: str | None = None
    snapshot_whitelist: str | None = None
    snapshot_blacklist: str | None = None
    snapshot_bucket: str | None = None
    snapshot_bucket_prefix: str | None = None
    snapshot_interval: int | None = None
    tags: list[str] | None = None
    labels: dict[str, str] | None = None
    dependencies: DependencyInput | None = None
    auto_delete_on_completion: bool | None = None
    completion_time_to_live: str | None = None
    wait_for_pool_resources_synchronization: bool | None = None
    upload_results_on_cancellation: bool | None = None
    max_time_queue_seconds: int | None = None
    hardware_constraints: list[HardwareConstraint] | None = None
    privileges: Privileges | None = None
    retry_settings: RetrySettings | None = None
    max_retries_per_instance: int | None = None
    scheduling_type: str | int | None = None
    targeted_reserved_machine_key: str | None = None
    targeted_reservation_name: str | None = None
    forced_network_rules: list[NetworkRule] | None = None
    secrets_access_rights: SecretsAccessRights | None = None
    priority: int | None = None


class Created(Answer):
    """The answer to a submission."""

    uuid: str


class Submitted(Answer):
    """What became of one task of a list."""

    status_code: int
    uuid: str | None
    message: str | None
