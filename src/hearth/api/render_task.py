"""A task in the contract's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from hearth.api import secret_constants
from hearth.api.render_instances import CANCELLED, completed, instance_error
from hearth.api.render_status import status, whole_seconds
from hearth.control.accounts import Account
from hearth.control.site import Site
from hearth.control.usage import Usages
from hearth.domain.spec import ResourceBucket, SchedulingClass, TaskSpec
from hearth.domain.task import TaskState
from hearth.store.queries.snapshots import own_filter
from hearth.store.queries.task_view import TaskView
from hearth.store.queries.tasks import TaskRow, spec_from_json
from hearth_client.messages.submissions import (
    AdvancedBucket,
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
    Transformation,
)
from hearth_client.messages.task_status import TaskError
from hearth_client.messages.tasks import ClusterInfo, Dependencies, Task, TaskSummary
from hearth_client.messages.times import format_date
from hearth_client.timespan import SECOND, format_timespan

_CLASSES: Final = {
    SchedulingClass.FLEX: "flex",
    SchedulingClass.ON_DEMAND: "onDemand",
    SchedulingClass.RESERVED: "reserved",
}
# Up to this version the Python SDK knows no advanced buckets.
_OLD_CLIENT: Final = re.compile(r"qarnot-sdk-python/v(?:[01]\.|2\.[0-4](?:\.|$| ))")
_CANCELLED: Final = TaskError(code=CANCELLED, message="The task was cancelled")


@dataclass(frozen=True, slots=True)
class Rendering:
    """What an answer depends on beside the task: the moment, the places and who reads it."""

    now: int
    storage_host: str
    site_uuid: str
    usages: Usages
    projects: Mapping[int, str]
    default_project: str | None
    names_advanced_buckets: bool  # in the plain list too, for clients that read no other

    @staticmethod
    def of(site: Site, caller: Account, user_agent: str) -> Rendering:
        """Return the rendering for a caller and the client that they use."""
        project = caller.default_project
        return Rendering(
            now=site.now(),
            storage_host=site.storage_url.partition("://")[2].strip("/"),
            site_uuid=site.site_id,
            usages=site.usages,
            projects={p.id: p.uuid for p in caller.projects},
            default_project=project.uuid if project else None,
            names_advanced_buckets=_OLD_CLIENT.match(user_agent) is not None,
        )


def render_summary(row: TaskRow, how: Rendering) -> TaskSummary:
    """Return a task as lists show it."""
    return TaskSummary(**_summary(row, spec_from_json(row.spec), how, row.execution_microseconds))


def render_task(view: TaskView, how: Rendering) -> Task:
    """Return a task with all that is known of it."""
    row, spec = view.row, view.spec
    plain = not spec.resources_are_advanced
    copied = own_filter(row.snapshot_filter, spec)
    return Task(
        **_summary(row, spec, how, row.execution_microseconds + view.live_times.execution),
        errors=_errors(view),
        completed_instances=[
            completed(i, view.machines.get(i.machine_id or 0), row.demand_cores, how.storage_host)
            for i in reversed(view.ended)
        ],
        results_count=row.results_count,
        snapshot_interval=row.snapshot_interval,
        constants=_shown_constants(spec),
        constraints=_pairs(spec.constraints),
        forced_constants=[_shown_forced_constant(forced) for forced in spec.forced_constants],
        resource_buckets=[r.name for r in spec.resources] if plain or how.names_advanced_buckets else [],
        advanced_resource_buckets=[] if plain else [_advanced(r) for r in spec.resources],
        result_bucket=spec.result_bucket or None,
        results_bucket=spec.result_bucket or None,
        results_bucket_prefix=spec.results_prefix or None,
        results_cache_ttl_sec=spec.results_cache_ttl_seconds,
        results_cache_ttl_sec_old=spec.results_cache_ttl_seconds,
        default_resources_cache_ttl_sec=spec.default_cache_ttl_seconds,
        results_whitelist=spec.results_whitelist or None,
        results_blacklist=spec.results_blacklist or None,
        snapshot_whitelist=copied.whitelist or None,
        snapshot_blacklist=copied.blacklist or None,
        snapshot_bucket=copied.bucket or None,
        snapshot_bucket_prefix=copied.prefix or None,
        tags=list(spec.tags),
        labels=spec.labels,
        dependencies=Dependencies(depends_on=list(spec.dependencies.depends_on), advanced_depends_on=[]),
        auto_delete_on_completion=spec.auto_delete,
        completion_time_to_live=format_timespan(spec.completion_ttl_seconds * SECOND),
        upload_results_on_cancellation=spec.upload_on_cancel,
        max_time_queue_seconds=spec.max_queue_seconds,
        hardware_constraints=[msgspec.convert(one, HardwareConstraint) for one in spec.hardware],
        privileges=Privileges(export_api_and_storage_credentials_in_environment=spec.export_credentials),
        retry_settings=RetrySettings(
            max_total_retries=spec.retries.total, max_per_instance_retries=spec.retries.per_instance
        ),
        scheduling_type=_CLASSES[SchedulingClass(row.scheduling)],
        targeted_reserved_machine_key=spec.reserved_key or None,
        targeted_reservation_name=spec.reserved_key or None,
        forced_network_rules=[msgspec.convert(rule, NetworkRule) for rule in spec.forced_network_rules],
        secrets_access_rights=SecretsAccessRights(
            by_secret=[SecretKey(key=key) for key in spec.secrets_by_key],
            by_prefix=[SecretPrefix(prefix=prefix) for prefix in spec.secrets_by_prefix],
        ),
        priority=row.priority,
        status=status(view, how.usages, how.site_uuid, how.now),
    )


def _summary(row: TaskRow, spec: TaskSpec, how: Rendering, execution: int) -> dict[str, Any]:
    ended = row.succeeded_count + row.failed_count + row.cancelled_count
    project = how.default_project if row.project_id is None else how.projects.get(row.project_id)
    return {
        "uuid": row.uuid,
        "name": row.name,
        "shortname": row.shortname,
        "profile": row.profile,
        "pool_uuid": None,
        "job_uuid": None,
        "project_uuid": project,
        "progress": 100.0 * ended / row.instance_total if row.instance_total else 100.0,
        "running_instance_count": row.running_count,
        "running_core_count": int(-(-row.running_count * row.demand_cores // 1)),
        "execution_time": whole_seconds(execution),
        "wall_time": whole_seconds((row.ended_at or how.now) - row.created_at),
        "state": row.state,
        "previous_state": row.previous_state,
        "instance_count": 0 if spec.from_ranges else row.instance_total,
        "total_instance_count": row.instance_total,
        "max_retries_per_instance": spec.max_retries_per_instance,
        "cluster_info": ClusterInfo(),
        "advanced_ranges": row.numbers if spec.from_ranges else None,
        "state_transition_time": format_date(row.state_changed_at),
        "previous_state_transition_time": format_date(row.previous_state_changed_at),
        "last_modified": format_date(max(row.modified_at, row.state_changed_at)),
        "creation_date": format_date(row.created_at),
        "end_date": format_date(row.ended_at),
        "wait_for_pool_resources_synchronization": spec.wait_for_pool_resources,
    }


def _errors(view: TaskView) -> list[TaskError]:
    """Return the task's own error and those of its first failed instances: a failure has one at least."""
    row = view.row
    errors = []
    if row.error:
        told = msgspec.json.decode(row.error)
        errors.append(TaskError(code=str(told.get("code", "UNKNOWN")), message=str(told.get("message", ""))))
    errors.extend(instance_error(i) for i in view.failed)
    if row.state == TaskState.CANCELLED and not errors:
        errors.append(_CANCELLED)
    if row.state == TaskState.FAILURE and not errors:
        which = row.failed if len(row.failed) <= 100 else f"{row.failed[:100]}..."
        errors.append(TaskError(code="INSTANCES_FAILED", message=f"Instances {which} failed"))
    return errors


def _shown_constants(spec: TaskSpec) -> list[KeyValue]:
    return [KeyValue(key=key, value=secret_constants.shown(key, value)) for key, value in spec.constants.items()]


def _shown_forced_constant(told: Mapping[str, object]) -> ForcedConstant:
    forced = msgspec.convert(told, ForcedConstant)
    if forced.forced_value is None:
        return forced
    value = secret_constants.shown(forced.constant_name, str(forced.forced_value))
    return msgspec.structs.replace(forced, forced_value=value)


def _pairs(values: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value) for key, value in values.items()]


def _advanced(bucket: ResourceBucket) -> AdvancedBucket:
    return AdvancedBucket(
        bucket_name=bucket.name,
        filtering=Filtering(prefix_filtering=Prefix(prefix=bucket.prefix) if bucket.prefix else None),
        resources_transformation=Transformation(
            strip_prefix=Prefix(prefix=bucket.strip_prefix) if bucket.strip_prefix else None
        ),
        cache_ttl_sec=bucket.cache_ttl_seconds,
    )
