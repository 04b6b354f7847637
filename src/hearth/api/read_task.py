"""A submitted task, checked in itself, in the domain's words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from hearth.api import limits
from hearth.control.accounts import Account
from hearth.control.profiles import Profiles
from hearth.control.submit import NewTask
from hearth.domain.errors import Invalid
from hearth.domain.hardware import read_hardware
from hearth.domain.path_filter import why_too_large
from hearth.domain.ranges import RangeSet
from hearth.domain.spec import ResourceBucket, Retries, SchedulingClass, TaskSpec
from hearth_client.messages.submissions import AdvancedBucket, HardwareConstraint, SecretsAccessRights, TaskSubmit
from hearth_client.timespan import SECOND, parse_timespan

_CLASSES: Final = {
    "flex": SchedulingClass.FLEX,
    "ondemand": SchedulingClass.ON_DEMAND,
    "reserved": SchedulingClass.RESERVED,
}
_CLASS_NUMBERS: Final = ("flex", "ondemand", "reserved")  # as C# counts them
_ACCESS: Final = {"readonly": "ReadOnly", "0": "ReadOnly", "readwrite": "ReadWrite", "1": "ReadWrite"}
_HARDWARE: Final = {
    "MinimumCoreHardwareConstraint": "core_count",
    "MaximumCoreHardwareConstraint": "core_count",
    "MinimumRamCoreRatioHardwareConstraint": "minimum_memory_gb_core_ratio",
    "MaximumRamCoreRatioHardwareConstraint": "maximum_memory_gb_core_ratio",
    "MinimumRamHardwareConstraint": "minimum_memory_mb",
    "MaximumRamHardwareConstraint": "maximum_memory_mb",
    "SpecificHardwareConstraint": "specification_key",
    "CpuModelHardwareConstraint": "cpu_model",
    "GpuHardwareConstraint": "",
    "NoGpuHardwareConstraint": "",
    "SSDHardwareConstraint": "",
    "NoSSDHardwareConstraint": "",
}
_HARDWARE_BY_LOWER: Final = {name.lower(): name for name in _HARDWARE}
_NO_UUID: Final = "00000000-0000-0000-0000-000000000000"


class TaskReader:
    """Turns what an account submits into tasks; raises `Invalid` naming the field that is wrong."""

    def __init__(self, account: Account, profiles: Profiles, new_uuid: Callable[[], str]) -> None:
        self._account = account
        self._profiles = profiles
        self._new_uuid = new_uuid
        self._good_profiles: set[str] = set()

    def read(self, told: TaskSubmit, *, numbers: tuple[RangeSet, bool] | None = None) -> NewTask:
        """Return the task; `numbers` are its instances and whether they are ranges, where the body does not say."""
        name = told.name
        if not name:
            raise Invalid("name", "is missing: give the task a name")
        if len(name) > limits.TEXT or "\0" in name:
            limits.text("name", name)
        profile = self._profile(told)
        chosen, from_ranges = self._numbers(told) if numbers is None else numbers
        return NewTask(
            name=name,
            shortname=limits.shortname(told.shortname) if told.shortname else None,
            profile=profile,
            numbers=chosen,
            spec=_spec(told, from_ranges),
            uuid=self._new_uuid(),
            priority=0,
            project_id=self._project(told.project_uuid),
        )

    def _profile(self, told: TaskSubmit) -> str:
        pool, job = _uuid_or_none(told.pool_uuid), _uuid_or_none(told.job_uuid)
        if pool and told.profile:
            raise Invalid("profile", "a task in a pool has the pool's profile: give either profile or poolUuid")
        if pool:
            raise Invalid("poolUuid", f"No such pool: {pool}")
        if job:
            raise Invalid("jobUuid", f"No such job: {job}")
        if not told.profile:
            raise Invalid("profile", "is missing: give a profile; GET /profiles lists them")
        if told.profile not in self._good_profiles:
            self._profiles.require(told.profile)
            self._good_profiles.add(told.profile)
        return told.profile

    def _project(self, uuid: str | None) -> int | None:
        if not (uuid := _uuid_or_none(uuid)):
            return None
        for project in self._account.projects:
            if project.uuid == uuid.lower():
                return project.id
        raise Invalid("projectUuid", f"No such project: {uuid}")

    def _numbers(self, told: TaskSubmit) -> tuple[RangeSet, bool]:
        count, ranges = told.instance_count, told.advanced_ranges
        most = self._account.limits.max_instances_per_task
        if ranges is not None and ranges.strip():
            if count:
                raise Invalid("instanceCount", "give either instanceCount or advancedRanges, not both")
            if len(ranges) > limits.RANGES_TEXT:
                raise Invalid("advancedRanges", f"has {len(ranges)} characters, at most {limits.RANGES_TEXT}")
            numbers = RangeSet.parse(ranges)
            _require_few("advancedRanges", len(numbers), most)
            if numbers.spans[-1][1] > limits.INSTANCE_NUMBER:
                raise Invalid(
                    "advancedRanges", f"{numbers.spans[-1][1]} is above {limits.INSTANCE_NUMBER}, the highest number"
                )
            return numbers, True
        if count is None:
            raise Invalid("instanceCount", "is missing: give either instanceCount or advancedRanges")
        if count < 1:
            raise Invalid("instanceCount", f"{count} is too few: a task has at least one instance")
        _require_few("instanceCount", count, most)
        return RangeSet.count(count), False


def _require_few(field: str, size: int, most: int) -> None:
    if size > most:
        raise Invalid(field, f"{size} instances are more than the {most} that one task may have; submit several tasks")


def _spec(told: TaskSubmit, from_ranges: bool) -> TaskSpec:
    advanced = told.advanced_resource_buckets
    settings = told.retry_settings
    retries = Retries()
    if settings is not None:
        retries = Retries(
            limits.count("retrySettings.maxTotalRetries", settings.max_total_retries),
            limits.count("retrySettings.maxPerInstanceRetries", settings.max_per_instance_retries),
        )
    if told.max_retries_per_instance and (retries.total or retries.per_instance):
        raise Invalid("maxRetriesPerInstance", "is the older way to say it: give it or retrySettings, not both")
    _refuse_dependencies(told)
    secrets = told.secrets_access_rights
    return TaskSpec(
        from_ranges=from_ranges,
        constants=limits.constants("constants", told.constants) if told.constants else {},
        constraints=limits.constants("constraints", told.constraints) if told.constraints else {},
        resources=_resources(told),
        resources_are_advanced=bool(advanced),
        default_cache_ttl_seconds=limits.count("defaultResourcesCacheTTLSec", told.default_resources_cache_ttl_sec),
        result_bucket=_result_bucket(told),
        results_prefix=_text("resultsBucketPrefix", told.results_bucket_prefix),
        results_whitelist=read_pattern("resultsWhitelist", told.results_whitelist),
        results_blacklist=read_pattern("resultsBlacklist", told.results_blacklist),
        results_cache_ttl_seconds=limits.count("resultsCacheTTLSec", told.results_cache_ttl_sec),
        snapshot_whitelist=read_pattern("snapshotWhitelist", told.snapshot_whitelist),
        snapshot_blacklist=read_pattern("snapshotBlacklist", told.snapshot_blacklist),
        snapshot_bucket=limits.bucket_name("snapshotBucket", told.snapshot_bucket) if told.snapshot_bucket else "",
        snapshot_prefix=_text("snapshotBucketPrefix", told.snapshot_bucket_prefix),
        tags=limits.tags(told.tags) if told.tags else (),
        labels=_labels(told.labels) if told.labels else {},
        retries=retries,
        max_retries_per_instance=limits.count("maxRetriesPerInstance", told.max_retries_per_instance),
        auto_delete=bool(told.auto_delete_on_completion),
        completion_ttl_seconds=_seconds("completionTimeToLive", told.completion_time_to_live),
        wait_for_pool_resources=told.wait_for_pool_resources_synchronization,
        upload_on_cancel=told.upload_results_on_cancellation,
        max_queue_seconds=limits.count("maxTimeQueueSeconds", told.max_time_queue_seconds),
        hardware=_hardware(told.hardware_constraints) if told.hardware_constraints else (),
        export_credentials=bool(told.privileges and told.privileges.export_api_and_storage_credentials_in_environment),
        scheduling=_scheduling(told.scheduling_type),
        reserved_key=_reserved_key(told),
        forced_constants=_forced_constants(told),
        forced_network_rules=tuple(msgspec.to_builtins(rule) for rule in told.forced_network_rules or ()),
        secrets_by_key=_secret_keys(secrets),
        secrets_by_prefix=_secret_prefixes(secrets),
    )


def _uuid_or_none(value: str | None) -> str | None:
    return None if not value or value == _NO_UUID else value


def _text(field: str, value: str | None) -> str:
    return limits.text(field, value) if value else ""


def read_pattern(field: str, value: str | None) -> str:
    """Return a filter; one that has constants in it can be judged only when they are known."""
    if not value:
        return ""
    limits.text(field, value)
    if too_large := why_too_large(value):
        raise Invalid(field, too_large)
    if "${" not in value:
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            raise Invalid(field, f"'{value[:60]}' is not a regular expression: {error}") from None
    return value


def _result_bucket(told: TaskSubmit) -> str:
    if told.result_bucket and told.results_bucket and told.result_bucket != told.results_bucket:
        raise Invalid("resultsBucket", "is another name than resultBucket: give one of them")
    name = told.result_bucket or told.results_bucket
    return limits.bucket_name("resultBucket", name) if name else ""


def _resources(told: TaskSubmit) -> tuple[ResourceBucket, ...]:
    """Return the buckets; the advanced list is taken where both are given (contract: it overrides)."""
    if advanced := told.advanced_resource_buckets:
        field = "advancedResourceBuckets"
        found = tuple(_advanced(f"{field}[{index}]", bucket) for index, bucket in enumerate(advanced))
    else:
        field = "resourceBuckets"
        found = tuple(
            ResourceBucket(limits.bucket_name(f"{field}[{index}]", name))
            for index, name in enumerate(told.resource_buckets or ())
        )
    if len(found) > limits.BUCKETS:
        raise Invalid(field, f"there are {len(found)}, at most {limits.BUCKETS} are possible")
    return found


def _advanced(field: str, told: AdvancedBucket) -> ResourceBucket:
    only = told.filtering.prefix_filtering if told.filtering else None
    strip = told.resources_transformation.strip_prefix if told.resources_transformation else None
    return ResourceBucket(
        name=limits.bucket_name(f"{field}.bucketName", told.bucket_name),
        prefix=_text(f"{field}.filtering.prefixFiltering.prefix", only.prefix if only else None),
        strip_prefix=_text(f"{field}.resourcesTransformation.stripPrefix.prefix", strip.prefix if strip else None),
        cache_ttl_seconds=limits.count(f"{field}.cacheTTLSec", told.cache_ttl_sec),
    )


def _labels(told: dict[str, str]) -> dict[str, str]:
    if len(told) > limits.CONSTANTS:
        raise Invalid("labels", f"there are {len(told)}, at most {limits.CONSTANTS} are possible")
    return {limits.text("labels", key): limits.text(f"labels.{key[:60]}", value) for key, value in told.items()}


def _seconds(field: str, span: str | None) -> int:
    if not span:
        return 0
    try:
        seconds = -(-parse_timespan(span) // SECOND)
    except ValueError as error:
        raise Invalid(field, str(error)) from None
    return limits.count(field, seconds) or 0


def _scheduling(told: str | int | None) -> SchedulingClass | None:
    if told is None or told == "":
        return None
    if isinstance(told, int):
        told = _CLASS_NUMBERS[told] if 0 <= told < len(_CLASS_NUMBERS) else str(told)
    found = _CLASSES.get(told.lower())
    if found is None:
        raise Invalid("schedulingType", f"'{told[:60]}' is none of flex, onDemand, reserved")
    return found


def _reserved_key(told: TaskSubmit) -> str:
    """Return which machine is meant; the older of the two names is taken where it alone is given."""
    key = _text("targetedReservationName", told.targeted_reservation_name) or _text(
        "targetedReservedMachineKey", told.targeted_reserved_machine_key
    )
    if not key and _scheduling(told.scheduling_type) is SchedulingClass.RESERVED:
        raise Invalid("targetedReservationName", "is missing: reserved scheduling needs the key of a reserved machine")
    return key


def _hardware(told: list[HardwareConstraint]) -> tuple[dict[str, object], ...]:
    result: list[dict[str, object]] = []
    for index, constraint in enumerate(told):
        place = f"hardwareConstraints[{index}]"
        name = _HARDWARE_BY_LOWER.get(constraint.discriminator.lower())
        if name is None:
            raise Invalid(
                f"{place}.discriminator", f"'{constraint.discriminator[:60]}' is none of {', '.join(_HARDWARE)}"
            )
        needed = _HARDWARE[name]
        kept: dict[str, object] = {"discriminator": name}
        if needed:
            wire_name = next(f.encode_name for f in msgspec.structs.fields(HardwareConstraint) if f.name == needed)
            value = getattr(constraint, needed)
            if value is None or value == "":
                raise Invalid(f"{place}.{wire_name}", f"is missing: {name} needs it")
            if not isinstance(value, str) and not 0 <= value <= limits.SECONDS:
                raise Invalid(f"{place}.{wire_name}", f"{value} is not between 0 and {limits.SECONDS}")
            kept[wire_name] = limits.text(f"{place}.{wire_name}", value) if isinstance(value, str) else value
        result.append(kept)
    read_hardware(result)  # what contradicts itself is refused here
    return tuple(result)


def _forced_constants(told: TaskSubmit) -> tuple[dict[str, object], ...]:
    result: list[dict[str, object]] = []
    for index, forced in enumerate(told.forced_constants or ()):
        place = f"forcedConstants[{index}]"
        kept: dict[str, object] = {
            "constantName": limits.text(f"{place}.constantName", forced.constant_name),
        }
        if forced.forced_value is not None:
            kept["forcedValue"] = limits.text(f"{place}.forcedValue", limits.as_text(forced.forced_value))
        if forced.force_export_in_environment is not None:
            kept["forceExportInEnvironment"] = forced.force_export_in_environment
        if forced.access is not None:
            access = _ACCESS.get(str(forced.access).lower())
            if access is None:
                raise Invalid(f"{place}.access", f"'{forced.access}' is none of ReadOnly, ReadWrite")
            kept["access"] = access
        result.append(kept)
    return tuple(result)


def _refuse_dependencies(told: TaskSubmit) -> None:
    wanted = told.dependencies
    if wanted is not None and (wanted.depends_on or wanted.advanced_depends_on):
        raise Invalid("dependencies", "only tasks of a job with useDependencies can have any, and jobUuid names no job")


def _secret_keys(told: SecretsAccessRights | None) -> tuple[str, ...]:
    rights = (told.by_secret if told else None) or ()
    return tuple(limits.text("secretsAccessRights.bySecret", right.key) for right in rights)


def _secret_prefixes(told: SecretsAccessRights | None) -> tuple[str, ...]:
    rights = (told.by_prefix if told else None) or ()
    return tuple(limits.text("secretsAccessRights.byPrefix", right.prefix) for right in rights)
