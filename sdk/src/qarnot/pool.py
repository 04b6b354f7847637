"""Pools: machines that are kept ready for tasks.

UnSubmitted ─ submit ─▶ Submitted ▶ PartiallyDispatched ▶ FullyDispatched ▶ PartiallyExecuting
▶ FullyExecuting ▶ Closing ▶ Closed | Failure      ─ delete ─▶ Deleted
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qarnot._compute import Compute, Json
from qarnot._live import DELETED, changeable, fixed, live
from qarnot._refusals import submission
from qarnot.exceptions import (
    MaxPoolException,
    MissingBucketException,
    MissingPoolException,
    MissingPoolInstanceException,
)
from qarnot.multi_slots_settings import MultiSlotsSettings
from qarnot.project import Project
from qarnot.retry_settings import RetrySettings
from qarnot.scaling import Scaling
from qarnot.scheduling_type import SchedulingType

if TYPE_CHECKING:
    from qarnot.connection import Connection

_SUBMISSION = submission("pool", MaxPoolException, MissingBucketException)


class Pool(Compute):
    """Machines that are kept ready, and run the tasks that name the pool.

    Made by `Connection.create_pool` or `create_elastic_pool`, found again by `retrieve_pool`.
    """

    _noun = "pool"
    _missing = MissingPoolException
    _missing_instance = MissingPoolInstanceException
    _retry_field = "defaultRetrySettings"

    def __init__(
        self,
        connection: Connection,
        name: str,
        profile: str | None,
        instancecount: int = 1,
        shortname: str | None = None,
        scheduling_type: SchedulingType | None = None,
        project: Project | None = None,
    ) -> None:
        super().__init__(connection, name, profile, shortname, scheduling_type, project)
        self._instancecount = instancecount
        self._is_elastic = False
        self._elastic_minimum_slots = 0
        self._elastic_maximum_slots = 1
        self._elastic_minimum_idle_slots = 0
        self._elastic_minimum_idle_time = 0
        self._elastic_resize_factor: float = 1
        self._elastic_resize_period = 90
        self._scaling: Scaling | None = None
        self._preparation_command_line: str | None = None
        self._tasks_default_wait_for_pool_resources_synchronization = False
        self._multi_slots_settings: MultiSlotsSettings | None = None
        self._absorb_pool_progress({})

    profile: str | None = fixed("_profile", "The profile its machines run. May be set until submission.")
    instancecount: int = fixed("_instancecount", "How many machines. May be set until submission.")
    is_elastic: bool = changeable("_is_elastic", "Does it grow and shrink? `commit` sends changes.")
    elastic_minimum_slots: int = changeable("_elastic_minimum_slots", "Never fewer machines.")
    elastic_maximum_slots: int = changeable("_elastic_maximum_slots", "Never more machines.")
    elastic_minimum_idle_slots: int = changeable("_elastic_minimum_idle_slots", "So many are kept free.")
    elastic_minimum_idle_time: int = changeable(
        "_elastic_minimum_idle_time", "Seconds for which a machine stays free before it is closed."
    )
    elastic_resize_factor: float = changeable(
        "_elastic_resize_factor", "Share of the maximum that is added at once, above 0 and up to 1."
    )
    elastic_resize_period: int = changeable("_elastic_resize_period", "Seconds between two changes.")
    scaling: Scaling | None = changeable("_scaling", "Policies of growing and shrinking.")
    preparation_command_line: str | None = fixed(
        "_preparation_command_line", "A command that is run before tasks are. May be set until submission."
    )
    tasks_default_wait_for_pool_resources_synchronization: bool = fixed(
        "_tasks_default_wait_for_pool_resources_synchronization",
        "Do tasks start only where updated resources are? May be set until submission.",
    )
    multi_slots_settings: MultiSlotsSettings | None = fixed(
        "_multi_slots_settings", "How many tasks share a machine. May be set until submission."
    )
    default_retry_settings: RetrySettings = fixed(
        "_retries", "How often failed instances of its tasks are run again. May be set until submission."
    )
    pool_usage: float | None = live("_pool_usage", "Share of its machines that is busy.")
    total_slot_capacity: int | None = live("_total_slot_capacity", "How many instances it can run at once.")
    queued_or_running_task_instances_count: int | None = live(
        "_queued_or_running_task_instances_count", "Instances that run in it or wait for it."
    )

    @classmethod
    def from_json(cls, connection: Connection, json_pool: Json, is_summary: bool = False) -> Pool:
        """Return the pool that an answer names."""
        pool = cls(connection, json_pool.get("name") or "", json_pool.get("profile"))
        pool._absorb(json_pool)
        pool._is_summary = is_summary
        pool._updated_at = connection._now()
        return pool

    def submit(self) -> None:
        """Submit the pool, if it is not submitted already."""
        if self._uuid is not None:
            return
        for bucket in self._resources:
            bucket.flush()
        answer = self._connection._json("POST", "/pools", json=self._to_json(), special=_SUBMISSION)
        self._uuid = answer["uuid"]
        self._fetch(keep_changes=False)

    def commit(self) -> None:
        """Send the changes that were made here: constants, tags, and how the pool grows and shrinks."""
        self._require_submitted("commit")
        self._complete()
        self._ask("PUT", json=self._to_json())
        self._changes_sent()

    def update_resources(self) -> None:
        """Bring what is new in the resource buckets to the running machines; nothing is taken away."""
        self._require_submitted("update_resources")
        self._fetch(keep_changes=True)
        self._ask("PATCH", repeatable=True)
        self._fetch(keep_changes=True)

    def setup_elastic(
        self,
        minimum_total_slots: int = 0,
        maximum_total_slots: int = 1,
        minimum_idle_slots: int = 0,
        minimum_idle_time_seconds: int = 0,
        resize_factor: float = 1,
        resize_period: int = 90,
    ) -> None:
        """Let the pool grow and shrink between these limits; a submitted pool needs `commit` after it."""
        self.is_elastic = True
        self.elastic_minimum_slots = minimum_total_slots
        self.elastic_maximum_slots = maximum_total_slots
        self.elastic_minimum_idle_slots = minimum_idle_slots
        self.elastic_minimum_idle_time = minimum_idle_time_seconds
        self.elastic_resize_factor = resize_factor
        self.elastic_resize_period = resize_period

    def delete(self, purge_resources: bool = False) -> None:
        """Delete the pool, and its resource buckets if asked; an open one is closed."""
        if self._uuid is None:
            return
        resources = self.resources if purge_resources else []
        self._ask("DELETE")
        self._state, self._uuid = DELETED, None
        self._purge(resources)

    def close(self) -> None:
        """Give the machines back."""
        self._require_submitted("close")
        self._fetch(keep_changes=True)
        self._ask("POST", "close", repeatable=True)
        self._fetch(keep_changes=True)

    def allow_credentials_to_be_exported_to_pool_environment(self) -> None:
        """Let the instances find credentials for the API and the storage in their environment."""
        self._refuse_after_submission()
        self._privileges._exportApiAndStorageCredentialsInEnvironment = True

    def __repr__(self) -> str:
        return f"Pool({self._name!r}, {self._uuid}, {self._profile}, {self._state})"

    def _to_json(self) -> Json:
        command = self._preparation_command_line
        json = self._common_json()
        json["instanceCount"] = self._instancecount
        json["preparationTask"] = None if command is None else {"commandLine": command}
        json["elasticProperty"] = {
            "isElastic": self._is_elastic,
            "minTotalSlots": self._elastic_minimum_slots,
            "maxTotalSlots": self._elastic_maximum_slots,
            "minIdleSlots": self._elastic_minimum_idle_slots,
            "resizePeriod": self._elastic_resize_period,
            "rampResizeFactor": self._elastic_resize_factor,
            "minIdleTimeSeconds": self._elastic_minimum_idle_time,
        }
        json["taskDefaultWaitForPoolResourcesSynchronization"] = (
            self._tasks_default_wait_for_pool_resources_synchronization
        )
        if self._scaling is not None:
            json["scaling"] = self._scaling.to_json()
        if self._multi_slots_settings is not None:
            json["multiSlotsSettings"] = self._multi_slots_settings.to_json()
        return json

    def _absorb(self, json: Json) -> None:
        super()._absorb(json)
        elastic: dict[str, Any] = json.get("elasticProperty") or {}
        self._take("_is_elastic", bool(elastic.get("isElastic")))
        self._take("_elastic_minimum_slots", elastic.get("minTotalSlots", 0))
        self._take("_elastic_maximum_slots", elastic.get("maxTotalSlots", 1))
        self._take("_elastic_minimum_idle_slots", elastic.get("minIdleSlots", 0))
        self._take("_elastic_minimum_idle_time", elastic.get("minIdleTimeSeconds", 0))
        self._take("_elastic_resize_factor", elastic.get("rampResizeFactor", 1))
        self._take("_elastic_resize_period", elastic.get("resizePeriod", 90))
        scaling = json.get("scaling")
        self._take("_scaling", None if scaling is None else Scaling.from_json(scaling))
        self._preparation_command_line = (json.get("preparationTask") or {}).get("commandLine")
        # Two spellings of this name are in use.
        self._tasks_default_wait_for_pool_resources_synchronization = bool(
            json.get("taskDefaultWaitForPoolResourcesSynchronization")
            or json.get("tasksDefaultWaitForPoolResourcesSynchronization")
        )
        slots = json.get("multiSlotsSettings")
        self._multi_slots_settings = None if slots is None else MultiSlotsSettings.from_json(slots)
        self._absorb_pool_progress(json)

    def _absorb_pool_progress(self, json: Json) -> None:
        self._pool_usage: float | None = json.get("poolUsage")
        self._total_slot_capacity: int | None = json.get("totalSlotCapacity")
        self._queued_or_running_task_instances_count: int | None = json.get("queuedOrRunningTaskInstancesCount")
