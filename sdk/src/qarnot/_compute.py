"""What tasks and pools have in common."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from qarnot._live import Live, changeable, fixed, live
from qarnot._times import read_date, span_text
from qarnot.bucket import Bucket
from qarnot.carbon_facts import CarbonClient, CarbonFacts
from qarnot.credits_client import Credits, CreditsClient
from qarnot.error import Error
from qarnot.exceptions import MissingBucketException, MissingProjectException
from qarnot.forced_constant import ForcedConstant, ForcedConstantAccess
from qarnot.forced_network_rule import ForcedNetworkRule
from qarnot.hardware_constraint import HardwareConstraint
from qarnot.privileges import Privileges
from qarnot.project import Project
from qarnot.retry_settings import RetrySettings
from qarnot.scheduling_type import SchedulingType
from qarnot.secrets import SecretsAccessRights
from qarnot.status import Status

if TYPE_CHECKING:
    from qarnot.connection import Connection

Json = dict[str, Any]


class Compute(Live):
    """Runs instances of a profile on the platform."""

    _missing_instance: ClassVar[type[Exception]]
    _retry_field: ClassVar[str]

    def __init__(
        self,
        connection: Connection,
        name: str,
        profile: str | None,
        shortname: str | None,
        scheduling_type: SchedulingType | None,
        project: Project | None,
    ) -> None:
        super().__init__(connection)
        self._name = name
        self._profile = profile
        self._shortname = shortname
        self._project = project
        self._instancecount = 1
        self._tags: list[str] = []
        self._constants: dict[str, str] = {}
        self._constraints: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._forced_constants: dict[str, ForcedConstant] = {}
        self._forced_network_rules: list[ForcedNetworkRule] = []
        self._hardware_constraints: list[HardwareConstraint] = []
        self._secrets_access_rights = SecretsAccessRights()
        self._resources: list[Bucket] = []
        self._default_resources_cache_ttl_sec: int | None = None
        self._privileges = Privileges()
        self._retries = RetrySettings()
        self._scheduling_type = scheduling_type
        self._targeted_reserved_machine_key: str | None = None
        self._targeted_reservation_name: str | None = None
        self._auto_delete = False
        self._completion_ttl = "00:00:00"
        self._max_time_queue_seconds: int | None = None
        self._absorb_progress({})

    name: str = fixed("_name", "The name. May be set until submission.")
    shortname: str | None = fixed(
        "_shortname", "A unique short name, by default the uuid. May be set until submission."
    )
    tags: list[str] = changeable("_tags", "Tags to find it by. `commit` sends changes.")
    constants: dict[str, str] = changeable("_constants", "The profile's constants, by name. `commit` sends changes.")
    constraints: dict[str, str] = changeable(
        "_constraints", "Constraints, by name, for administrators. `commit` sends changes."
    )
    labels: dict[str, str] = changeable("_labels", "Free labels, by name. `commit` sends changes.")
    resources: list[Bucket] = changeable(
        "_resources", "Buckets whose files the instances find. `commit` sends changes."
    )
    secrets_access_rights: SecretsAccessRights = fixed(
        "_secrets_access_rights", "Secrets that the instances may read. May be set until submission."
    )
    forced_constants: dict[str, ForcedConstant] = fixed(
        "_forced_constants", "Constants that replace the profile's, by name. May be set until submission."
    )
    forced_network_rules: list[ForcedNetworkRule] = fixed(
        "_forced_network_rules", "Network rules beyond the profile's. May be set until submission."
    )
    hardware_constraints: list[HardwareConstraint] = fixed(
        "_hardware_constraints", "What is asked of the machines. May be set until submission."
    )
    default_resources_cache_ttl_sec: int | None = fixed(
        "_default_resources_cache_ttl_sec",
        "Seconds for which resources are kept near the nodes. May be set until submission.",
    )
    privileges: Privileges = fixed("_privileges", "Rights of the instances. May be set until submission.")
    scheduling_type: SchedulingType | None = fixed(
        "_scheduling_type", "The scheduling class. May be set until submission."
    )
    targeted_reserved_machine_key: str | None = fixed(
        "_targeted_reserved_machine_key", "The reserved kind of machine to run on. May be set until submission."
    )
    targeted_reservation_name: str | None = fixed(
        "_targeted_reservation_name", "The reservation to run in. May be set until submission."
    )
    auto_delete: bool = fixed(
        "_auto_delete",
        "May it be deleted when it is over and the account is full? May be set until submission.",
    )
    max_time_queue_seconds: int | None = fixed(
        "_max_time_queue_seconds", "How long it may wait for a machine. May be set until submission."
    )

    @property
    def completion_ttl(self) -> str:
        """How long it is kept after its end, as a `timedelta` or `d.hh:mm:ss`; `00:00:00` is for ever.

        May be set until submission.
        """
        self._complete()
        return self._completion_ttl

    @completion_ttl.setter
    def completion_ttl(self, value: str | timedelta) -> None:
        self._refuse_after_submission()
        self._completion_ttl = span_text(value, "completion_ttl")

    @property
    def project(self) -> Project | None:
        """The project it belongs to, None for the account's default. May be set until submission."""
        self._complete()
        if self._project is not None and self._project.name is None:
            try:
                self._project = Project.retrieve_by_uuid(self._connection, self._project.uuid)
            except MissingProjectException:
                pass  # A project of somebody else: its id is all that may be known.
        return self._project

    @project.setter
    def project(self, value: Project | None) -> None:
        self._refuse_after_submission()
        self._project = value

    state: str = live("_state", "Where it stands.")
    previous_state: str | None = live("_previous_state", "Where it stood before.")
    state_transition_time: str | None = live("_state_transition_time", "When it came into its state.")
    previous_state_transition_time: str | None = live(
        "_previous_state_transition_time", "When it came into the state before."
    )
    last_modified: str | None = live("_last_modified", "When it was last changed.")
    execution_time: str | None = live("_execution_time", "Time of all instances together, as a span.")
    end_date: str | None = live("_end_date", "When it ended.")
    running_core_count: int = live("_running_core_count", "Cores that run for it now.")
    running_instance_count: int = live("_running_instance_count", "Instances that run now.")
    errors: list[Error] = live("_errors", "What went wrong, an empty list if nothing did.")
    status: Status | None = live("_status", "Progress, times and ranges, None before there are any.")
    creation_date: datetime | None = live("_creation_date", "When it was submitted, in UTC.")

    def stdout(self, instanceId: int | None = None) -> str:
        """Return all standard output so far, of all instances or of one."""
        return self._output("GET", "stdout", instanceId)

    def fresh_stdout(self, instanceId: int | None = None) -> str:
        """Return the standard output that came since this was last called."""
        return self._output("POST", "stdout", instanceId)

    def stderr(self, instanceId: int | None = None) -> str:
        """Return all standard error so far, of all instances or of one."""
        return self._output("GET", "stderr", instanceId)

    def fresh_stderr(self, instanceId: int | None = None) -> str:
        """Return the standard error that came since this was last called."""
        return self._output("POST", "stderr", instanceId)

    def carbon_facts(self, datacenter_name: str | None = None) -> CarbonFacts:
        """Return energy and carbon, compared with a data centre."""
        client = CarbonClient(self._connection, datacenter_name)
        ask = client.get_task_carbon_facts if self._noun == "task" else client.get_pool_carbon_facts
        return ask(self._require_submitted("carbon_facts"))

    def credits(self) -> Credits:
        """Return what it has cost."""
        client = CreditsClient(self._connection)
        ask = client.get_task_credits if self._noun == "task" else client.get_pool_credits
        return ask(self._require_submitted("credits"))

    def _output(self, method: str, stream: str, instance: int | None) -> str:
        if self._uuid is None:
            return ""
        segments = (stream,) if instance is None else (stream, instance)
        missing = self._missing if instance is None else self._missing_instance
        return self._connection._text(method, (f"{self._noun}s", self._uuid, *segments), special={404: missing})

    def _common_json(self) -> Json:
        json: Json = {
            "name": self._name,
            "profile": self._profile,
            "constants": _pairs(self._constants),
            "constraints": _pairs(self._constraints),
            "forcedConstants": [value.to_json(name) for name, value in self._forced_constants.items()],
            "forcedNetworkRules": [rule.to_json() for rule in self._forced_network_rules],
            "labels": dict(self._labels),
            "tags": list(self._tags),
            "advancedResourceBuckets": [bucket.to_json() for bucket in self._resources],
            "autoDeleteOnCompletion": self._auto_delete,
            "completionTimeToLive": self._completion_ttl,
            "hardwareConstraints": [constraint.to_json() for constraint in self._hardware_constraints],
            "defaultResourcesCacheTTLSec": self._default_resources_cache_ttl_sec,
            "privileges": self._privileges.to_json(),
            self._retry_field: self._retries.to_json(),
        }
        optional = {
            "shortname": self._shortname,
            "projectUuid": None if self._project is None else self._project.uuid,
            "maxTimeQueueSeconds": self._max_time_queue_seconds,
            "schedulingType": None if self._scheduling_type is None else self._scheduling_type.schedulingType,
            "targetedReservedMachineKey": self._targeted_reserved_machine_key,
            "targetedReservationName": self._targeted_reservation_name,
            "secretsAccessRights": self._secrets_access_rights.to_json() if self._secrets_access_rights else None,
        }
        json.update({key: value for key, value in optional.items() if value is not None})
        return json

    def _absorb(self, json: Json) -> None:
        super()._absorb(json)
        self._name = json.get("name", self._name)
        self._shortname = json.get("shortname", self._shortname)
        self._profile = json.get("profile", self._profile)
        self._instancecount = json.get("instanceCount") or 0
        self._take("_tags", list(json.get("tags") or []))
        self._take("_constants", _unpaired(json.get("constants")))
        self._take("_constraints", _unpaired(json.get("constraints")))
        self._take("_labels", dict(json.get("labels") or {}))
        self._take("_resources", self._resource_buckets(json))
        self._forced_constants = _forced_constants(json.get("forcedConstants") or [])
        rules = json.get("forcedNetworkRules") or []
        self._forced_network_rules = [ForcedNetworkRule.from_json(rule) for rule in rules]
        known = map(HardwareConstraint.from_json, json.get("hardwareConstraints") or [])
        self._hardware_constraints = [constraint for constraint in known if constraint is not None]
        self._secrets_access_rights = SecretsAccessRights.from_json(json.get("secretsAccessRights") or {})
        self._default_resources_cache_ttl_sec = json.get("defaultResourcesCacheTTLSec")
        self._privileges = Privileges.from_json(json.get("privileges") or {})
        self._retries = RetrySettings.from_json(json.get(self._retry_field) or {})
        scheduling = json.get("schedulingType")
        self._scheduling_type = None if scheduling is None else SchedulingType.from_string(scheduling)
        self._targeted_reserved_machine_key = json.get("targetedReservedMachineKey")
        self._targeted_reservation_name = json.get("targetedReservationName")
        self._auto_delete = bool(json.get("autoDeleteOnCompletion"))
        self._completion_ttl = json.get("completionTimeToLive") or "00:00:00"
        self._max_time_queue_seconds = json.get("maxTimeQueueSeconds")
        project = json.get("projectUuid")
        if project is None or self._project is None or self._project.uuid != project:
            self._project = None if project is None else Project(project)
        self._absorb_progress(json)

    def _absorb_progress(self, json: Json) -> None:
        self._previous_state: str | None = json.get("previousState")
        self._state_transition_time: str | None = json.get("stateTransitionTime")
        self._previous_state_transition_time: str | None = json.get("previousStateTransitionTime")
        self._last_modified: str | None = json.get("lastModified")
        self._execution_time: str | None = json.get("executionTime")
        self._end_date: str | None = json.get("endDate")
        self._running_core_count: int = json.get("runningCoreCount") or 0
        self._running_instance_count: int = json.get("runningInstanceCount") or 0
        self._errors = [Error(item) for item in json.get("errors") or []]
        status = json.get("status")
        self._status = None if status is None else Status(status)
        self._creation_date: datetime | None = read_date(json.get("creationDate"))

    def _resource_buckets(self, json: Json) -> list[Bucket]:
        """Return the buckets of an answer, as the objects that are here already where they are the same."""
        advanced = [Bucket.from_json(self._connection, item) for item in json.get("advancedResourceBuckets") or []]
        plain = [name for name in json.get("resourceBuckets") or [] if name not in {b.uuid for b in advanced}]
        fresh = [*advanced, *(Bucket(self._connection, name, create=False) for name in plain)]
        same = [bucket.to_json() for bucket in fresh] == [bucket.to_json() for bucket in self._resources]
        return list(self._resources) if same else fresh

    def _purge(self, buckets: Iterable[Bucket | None]) -> None:
        """Delete buckets, each once; one that is gone already is no error."""
        for bucket in {bucket.uuid: bucket for bucket in buckets if bucket is not None}.values():
            try:
                bucket.delete()
            except MissingBucketException:
                pass


def _pairs(values: dict[str, str]) -> list[Json]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _unpaired(pairs: list[Json] | None) -> dict[str, str]:
    return {pair["key"]: pair.get("value") or "" for pair in pairs or []}


def _forced_constants(items: list[Json]) -> dict[str, ForcedConstant]:
    spellings = {access.value.lower(): access for access in ForcedConstantAccess}
    return {
        item["constantName"]: ForcedConstant(
            item.get("forcedValue") or "",
            item.get("forceExportInEnvironment"),
            spellings.get(str(item.get("access")).lower()),
        )
        for item in items
    }
