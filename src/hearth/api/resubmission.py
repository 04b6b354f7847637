"""A stored task as the submission that makes another one like it, and what a body changes of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from hearth.api.secret_constants import SHOWN, is_secret
from hearth.domain.spec import ResourceBucket, SchedulingClass, TaskSpec
from hearth_client.messages.submissions import (
    AdvancedBucket,
    DependencyInput,
    Filtering,
    ForcedConstant,
    HardwareConstraint,
    KeyValue,
    NetworkRule,
    Prefix,
    Privileges,
    RetrySettings,
    SecretKey,
    SecretPrefix,
    SecretsAccessRights,
    TaskSubmit,
    Transformation,
)
from hearth_client.timespan import SECOND, format_timespan

_CLASSES: Final = {
    SchedulingClass.FLEX: "flex",
    SchedulingClass.ON_DEMAND: "onDemand",
    SchedulingClass.RESERVED: "reserved",
}
# Two ways to say one thing: who gives one of them leaves the other behind.
_EITHER: Final = (
    ("profile", "pool_uuid"),
    ("instance_count", "advanced_ranges"),
    ("resource_buckets", "advanced_resource_buckets"),
    ("result_bucket", "results_bucket"),
    ("retry_settings", "max_retries_per_instance"),
    ("targeted_reserved_machine_key", "targeted_reservation_name"),
)
# Typed clients send what they do not mean as nothing of its type.
_NOTHING: Final[Mapping[str, Any]] = {
    "instance_count": 0,
    "advanced_ranges": "",
    **dict.fromkeys(("name", "shortname", "profile"), ""),
    "retry_settings": RetrySettings(),
}
_NO_UUID: Final = ("", "00000000-0000-0000-0000-000000000000")


def submission_of(name: str, profile: str, project_uuid: str | None, spec: TaskSpec) -> TaskSubmit:
    """Return the submission of a task; it has no shortname and no instances yet, and its secrets are in it."""
    advanced = spec.resources_are_advanced
    return TaskSubmit(
        name=name,
        profile=profile,
        project_uuid=project_uuid,
        constants=_pairs(spec.constants),
        constraints=_pairs(spec.constraints),
        forced_constants=[msgspec.convert(one, ForcedConstant) for one in spec.forced_constants],
        resource_buckets=None if advanced else [bucket.name for bucket in spec.resources],
        advanced_resource_buckets=[_bucket(bucket) for bucket in spec.resources] if advanced else None,
        result_bucket=spec.result_bucket or None,
        results_bucket_prefix=spec.results_prefix or None,
        results_cache_ttl_sec=spec.results_cache_ttl_seconds,
        default_resources_cache_ttl_sec=spec.default_cache_ttl_seconds,
        results_whitelist=spec.results_whitelist or None,
        results_blacklist=spec.results_blacklist or None,
        snapshot_whitelist=spec.snapshot_whitelist or None,
        snapshot_blacklist=spec.snapshot_blacklist or None,
        snapshot_bucket=spec.snapshot_bucket or None,
        snapshot_bucket_prefix=spec.snapshot_prefix or None,
        tags=list(spec.tags),
        labels=dict(spec.labels),
        dependencies=DependencyInput(depends_on=list(spec.dependencies.depends_on)),
        auto_delete_on_completion=spec.auto_delete,
        completion_time_to_live=format_timespan(spec.completion_ttl_seconds * SECOND),
        wait_for_pool_resources_synchronization=spec.wait_for_pool_resources,
        upload_results_on_cancellation=spec.upload_on_cancel,
        max_time_queue_seconds=spec.max_queue_seconds,
        hardware_constraints=[msgspec.convert(one, HardwareConstraint) for one in spec.hardware],
        privileges=Privileges(export_api_and_storage_credentials_in_environment=spec.export_credentials),
        retry_settings=RetrySettings(
            max_total_retries=spec.retries.total, max_per_instance_retries=spec.retries.per_instance
        ),
        max_retries_per_instance=spec.max_retries_per_instance,
        scheduling_type=None if spec.scheduling is None else _CLASSES[spec.scheduling],
        targeted_reservation_name=spec.reserved_key or None,
        forced_network_rules=[msgspec.convert(one, NetworkRule) for one in spec.forced_network_rules],
        secrets_access_rights=SecretsAccessRights(
            by_secret=[SecretKey(key=key) for key in spec.secrets_by_key],
            by_prefix=[SecretPrefix(prefix=prefix) for prefix in spec.secrets_by_prefix],
        ),
    )


def changed(base: TaskSubmit, told: TaskSubmit) -> TaskSubmit:
    """Return the submission with what a body says in place of its own; what the body leaves out stays."""
    given = {name: value for name in told.__struct_fields__ if _says(name, value := getattr(told, name))}
    for names in _EITHER:
        if any(name in given for name in names):
            given = {**dict.fromkeys(names), **given}
    if told.constants is not None:
        given["constants"] = _constants(told.constants, base.constants or [])
    if told.forced_constants is not None:
        given["forced_constants"] = _forced(told.forced_constants, base.forced_constants or [])
    return msgspec.structs.replace(base, **given)


def names_instances(told: TaskSubmit) -> bool:
    """Answer whether a body says how many instances there should be, or which."""
    return _says("instance_count", told.instance_count) or _says("advanced_ranges", told.advanced_ranges)


def _says(name: str, value: Any) -> bool:
    if value is None or (name in _NOTHING and value == _NOTHING[name]):
        return False
    return not (name.endswith("_uuid") and value in _NO_UUID)


def _constants(told: list[KeyValue], before: list[KeyValue]) -> list[KeyValue]:
    """Return what was told; secrets that came back as they were shown are what they were."""
    values = {pair.key: pair.value for pair in before}
    return [
        KeyValue(key=pair.key, value=values.get(pair.key, SHOWN))
        if pair.value == SHOWN and is_secret(pair.key)
        else pair
        for pair in told
    ]


def _forced(told: list[ForcedConstant], before: list[ForcedConstant]) -> list[ForcedConstant]:
    values = {one.constant_name: one.forced_value for one in before}
    return [
        msgspec.structs.replace(one, forced_value=values.get(one.constant_name, SHOWN))
        if one.forced_value == SHOWN and is_secret(one.constant_name)
        else one
        for one in told
    ]


def _pairs(values: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value) for key, value in values.items()]


def _bucket(bucket: ResourceBucket) -> AdvancedBucket:
    return AdvancedBucket(
        bucket_name=bucket.name,
        filtering=Filtering(prefix_filtering=Prefix(prefix=bucket.prefix)) if bucket.prefix else None,
        resources_transformation=(
            Transformation(strip_prefix=Prefix(prefix=bucket.strip_prefix)) if bucket.strip_prefix else None
        ),
        cache_ttl_sec=bucket.cache_ttl_seconds,
    )
