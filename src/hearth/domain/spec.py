"""What a user asked for, checked and in our own words. Stored as JSON with the task; never changed in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class SchedulingClass(IntEnum):
    """The order of dispatch between classes (contract: schedulingType); the numbers are stored."""

    RESERVED = 0
    ON_DEMAND = 1
    FLEX = 2


@dataclass(frozen=True, slots=True)
class ResourceBucket:
    """A bucket whose objects become files of the instance."""

    name: str
    prefix: str = ""  # only keys that begin so
    strip_prefix: str = ""  # taken off the key before it becomes a path
    cache_ttl_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Retries:
    """How often failed instances may be tried again (contract: retrySettings); None: no limit of that kind."""

    total: int | None = None
    per_instance: int | None = None


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Tasks that come first (contract: dependencies)."""

    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task as it was submitted, less what has columns of its own (name, shortname, profile, numbers)."""

    from_ranges: bool = False  # advancedRanges was given, not instanceCount
    counted_as: int = 0  # what its instances see as INSTANCE_COUNT; 0: how many they are
    constants: dict[str, str] = field(default_factory=dict, repr=False)  # secrets are among them
    constraints: dict[str, str] = field(default_factory=dict)
    resources: tuple[ResourceBucket, ...] = ()
    resources_are_advanced: bool = False  # which of the two lists was used, for the echo
    default_cache_ttl_seconds: int | None = None
    result_bucket: str = ""
    results_prefix: str = ""
    results_whitelist: str = ""
    results_blacklist: str = ""
    results_cache_ttl_seconds: int | None = None
    snapshot_whitelist: str = ""
    snapshot_blacklist: str = ""
    snapshot_bucket: str = ""
    snapshot_prefix: str = ""
    tags: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    retries: Retries = Retries()
    max_retries_per_instance: int | None = None  # the old field, echoed as it came
    dependencies: Dependencies = Dependencies()
    auto_delete: bool = False
    completion_ttl_seconds: int = 0  # 0: kept
    wait_for_pool_resources: bool | None = None
    upload_on_cancel: bool | None = None
    max_queue_seconds: int | None = None
    hardware: tuple[dict[str, object], ...] = ()
    export_credentials: bool = False
    scheduling: SchedulingClass | None = None
    reserved_key: str = ""
    forced_constants: tuple[dict[str, object], ...] = field(default=(), repr=False)
    forced_network_rules: tuple[dict[str, object], ...] = ()
    secrets_by_key: tuple[str, ...] = ()
    secrets_by_prefix: tuple[str, ...] = ()
