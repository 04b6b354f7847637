"""What tasks can be searched by: fields of a task as answers show them, and where each is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from hearth.domain.command import SECRET_PREFIX, SECRET_SHOWN
from hearth.domain.spec import SchedulingClass, TaskSpec

SECOND: Final = 1_000_000
NOW: Final = "now"  # read like a column: the moment of the question


class Kind(Enum):
    """What values a field has, and what they are compared with."""

    TEXT = "text"
    TEXTS = "a list of texts"
    NUMBER = "a number"
    DATE = "a date"
    SPAN = "a time span"
    FLAG = "true or false"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of tasks; `value` is made of columns and of parts of the specification, in this order.

    With a `column` the database compares it; else rows are read and looked at one by one.
    """

    name: str
    kind: Kind
    column: str | None = None
    columns: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    value: Callable[..., Any] = lambda value: value
    codes: Mapping[Any, str | None] | None = None  # what the values of the column are shown as
    spellings: Mapping[str, str] | None = None  # values by their lower-case form, when case does not matter


def _column(name: str, kind: Kind, column: str, **more: Any) -> Field:
    return Field(name, kind, column, (column,), **more)


def _part(name: str, kind: Kind, part: str, value: Callable[[Any], Any] = lambda value: value) -> Field:
    return Field(name, kind, parts=(part,), value=value)


def _text(name: str, part: str) -> Field:
    """Return a text of the specification; the empty one is shown as null."""
    return _part(name, Kind.TEXT, part, lambda text: text or None)


def shown_constants(constants: Mapping[str, str]) -> dict[str, str]:
    """Return constants as they may be looked at."""
    return {key: SECRET_SHOWN if key.startswith(SECRET_PREFIX) else value for key, value in constants.items()}


def _pairs(values: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in values.items()]


def _seconds(microseconds: int) -> int:
    """Return a span as it is shown: whole seconds."""
    return max(0, microseconds) // SECOND * SECOND


_CLASSES: Final = {
    SchedulingClass.FLEX.value: "flex",
    SchedulingClass.ON_DEMAND.value: "onDemand",
    SchedulingClass.RESERVED.value: "reserved",
}

TAGS: Final = _part("tags", Kind.TEXTS, "tags")
PROJECT: Final = "projectUuid"  # its texts are the account's own
NOTHING: Final = ("poolUuid", "jobUuid")  # always null so far

_FIELDS: Final = (
    _column("uuid", Kind.TEXT, "uuid"),
    _column("name", Kind.TEXT, "name"),
    _column("shortname", Kind.TEXT, "shortname"),
    _column("profile", Kind.TEXT, "profile"),
    _column("state", Kind.TEXT, "state"),
    _column("previousState", Kind.TEXT, "previous_state"),
    TAGS,
    _column("creationDate", Kind.DATE, "created_at"),
    _column("endDate", Kind.DATE, "ended_at"),
    Field("lastModified", Kind.DATE, columns=("modified_at", "state_changed_at"), value=max),
    _column("stateTransitionTime", Kind.DATE, "state_changed_at"),
    _column("previousStateTransitionTime", Kind.DATE, "previous_state_changed_at"),
    Field(
        "instanceCount",
        Kind.NUMBER,
        columns=("instance_total",),
        parts=("from_ranges",),
        value=lambda total, from_ranges: 0 if from_ranges else total,
    ),
    _column("totalInstanceCount", Kind.NUMBER, "instance_total"),
    Field(
        "advancedRanges",
        Kind.TEXT,
        columns=("numbers",),
        parts=("from_ranges",),
        value=lambda numbers, from_ranges: numbers if from_ranges else None,
    ),
    _column("runningInstanceCount", Kind.NUMBER, "running_count"),
    Field(
        "runningCoreCount",
        Kind.NUMBER,
        columns=("running_count", "demand_cores"),
        value=lambda running, cores: int(-(-running * cores // 1)),
    ),
    Field(
        "progress",
        Kind.NUMBER,
        columns=("instance_total", "succeeded_count", "failed_count", "cancelled_count"),
        value=lambda total, *ended: 100.0 * sum(ended) / total if total else 100.0,
    ),
    Field("executionTime", Kind.SPAN, columns=("execution_microseconds",), value=_seconds),
    Field(
        "wallTime",
        Kind.SPAN,
        columns=("created_at", "ended_at", NOW),
        value=lambda created, ended, now: _seconds((ended or now) - created),
    ),
    _part("maxTimeQueueSeconds", Kind.NUMBER, "max_queue_seconds"),
    Field("poolUuid", Kind.TEXT, value=lambda: None),
    Field("jobUuid", Kind.TEXT, value=lambda: None),
    _column(PROJECT, Kind.TEXT, "project_id"),
    _column("resultsCount", Kind.NUMBER, "results_count"),
    _text("resultBucket", "result_bucket"),
    _text("resultsBucket", "result_bucket"),
    _text("resultsBucketPrefix", "results_prefix"),
    _text("resultsWhitelist", "results_whitelist"),
    _text("resultsBlacklist", "results_blacklist"),
    _part("resultsCacheTTLSec", Kind.NUMBER, "results_cache_ttl_seconds"),
    _column("snapshotInterval", Kind.NUMBER, "snapshot_interval"),
    _text("snapshotWhitelist", "snapshot_whitelist"),
    _text("snapshotBlacklist", "snapshot_blacklist"),
    _text("snapshotBucket", "snapshot_bucket"),
    _text("snapshotBucketPrefix", "snapshot_prefix"),
    _part("defaultResourcesCacheTTLSec", Kind.NUMBER, "default_cache_ttl_seconds"),
    _part("resourceBuckets", Kind.TEXTS, "resources", lambda found: [one.name for one in found]),
    _part("advancedResourceBuckets.bucketName", Kind.TEXTS, "resources", lambda found: [one.name for one in found]),
    _part("dependencies.dependsOn", Kind.TEXTS, "dependencies", lambda found: list(found.depends_on)),
    _part("constants", Kind.TEXTS, "constants", lambda found: _pairs(shown_constants(found))),
    _part("constraints", Kind.TEXTS, "constraints", _pairs),
    _part("labels", Kind.TEXTS, "labels", _pairs),
    _part("privileges.exportApiAndStorageCredentialsInEnvironment", Kind.FLAG, "export_credentials"),
    _part("retrySettings.maxTotalRetries", Kind.NUMBER, "retries", lambda found: found.total),
    _part("retrySettings.maxPerInstanceRetries", Kind.NUMBER, "retries", lambda found: found.per_instance),
    _part("maxRetriesPerInstance", Kind.NUMBER, "max_retries_per_instance"),
    _part(
        "hardwareConstraints", Kind.TEXTS, "hardware", lambda found: [str(one.get("discriminator")) for one in found]
    ),
    _part("waitForPoolResourcesSynchronization", Kind.FLAG, "wait_for_pool_resources"),
    _part("uploadResultsOnCancellation", Kind.FLAG, "upload_on_cancel"),
    _part("autoDeleteOnCompletion", Kind.FLAG, "auto_delete"),
    _part("completionTimeToLive", Kind.SPAN, "completion_ttl_seconds", lambda seconds: seconds * SECOND),
    _text("targetedReservedMachineKey", "reserved_key"),
    _text("targetedReservationName", "reserved_key"),
    _column("schedulingType", Kind.TEXT, "scheduling", codes=_CLASSES),
    _column("priority", Kind.NUMBER, "priority"),
)
FIELDS: Final = {field.name.lower(): field for field in _FIELDS}

# Maps whose values are fields of their own: `labels.KEY`.
_MAPS: Final[Mapping[str, tuple[str, Callable[[Mapping[str, str]], Mapping[str, str]]]]] = {
    "constants": ("constants", shown_constants),
    "constraints": ("constraints", lambda found: found),
    "labels": ("labels", lambda found: found),
}


def field_named(told: str) -> Field | None:
    """Return the field of that name, in any case; keys of maps keep theirs."""
    known = FIELDS.get(told.lower())
    if known is not None:
        return known
    name, dot, key = told.partition(".")
    if not dot or not key or name.lower() not in _MAPS:
        return None
    part, shown = _MAPS[name.lower()]
    return Field(f"{name.lower()}.{key}", Kind.TEXT, parts=(part,), value=lambda found: shown(found).get(key))


def parts_of(fields: Iterable[Field]) -> tuple[str, ...]:
    """Return the parts of specifications that are needed to know these fields."""
    return tuple(sorted({part for field in fields for part in field.parts}))


assert {part for field in _FIELDS for part in field.parts} <= {*TaskSpec.__dataclass_fields__}
