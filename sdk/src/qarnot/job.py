"""Jobs: groups of tasks, which may depend on each other.

UnSubmitted ─ submit ─▶ Active ▶ Terminating ▶ Completed      ─ delete ─▶ Deleting
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from qarnot._live import DELETED, Live, fixed, live, uuid_of
from qarnot._refusals import submission
from qarnot._times import read_date, span_text
from qarnot.exceptions import MaxJobException, MissingJobException
from qarnot.pool import Pool

if TYPE_CHECKING:
    from qarnot.connection import Connection
    from qarnot.task import Task

_SUBMISSION = submission("job", MaxJobException, MissingJobException)


class JobState:
    """The states of a submitted job."""

    Active = "Active"
    Terminating = "Terminating"
    Completed = "Completed"
    Deleting = "Deleting"


class Job(Live):
    """A group of tasks.

    Made by `Connection.create_job`, found again by `Connection.retrieve_job`.
    """

    _noun = "job"
    _missing = MissingJobException

    def __init__(
        self,
        connection: Connection,
        name: str,
        pool: Pool | None = None,
        shortname: str | None = None,
        use_dependencies: bool = False,
    ) -> None:
        super().__init__(connection)
        self._name = name
        self._shortname = shortname
        self._pool = pool
        self._pool_uuid: str | None = None
        self._use_dependencies = use_dependencies
        self._tags: list[str] = []
        self._max_wall_time: str | None = None
        self._auto_delete = False
        self._completion_ttl = "00:00:00"
        self._absorb_progress({})

    name: str = fixed("_name", "The name. May be set until submission.")
    shortname: str | None = fixed(
        "_shortname", "A unique short name, by default the uuid. May be set until submission."
    )
    tags: list[str] = fixed("_tags", "Tags to find it by. May be set until submission.")
    use_dependencies: bool = fixed(
        "_use_dependencies", "May its tasks depend on each other? May be set until submission."
    )
    auto_delete: bool = fixed(
        "_auto_delete",
        "May it be deleted when it is over and the account is full? May be set until submission.",
    )
    state: str = live("_state", "Where it stands.")
    previous_state: str | None = live("_previous_state", "Where it stood before.")
    state_transition_time: str | None = live("_state_transition_time", "When it came into its state.")
    previous_state_transition_time: str | None = live(
        "_previous_state_transition_time", "When it came into the state before."
    )
    creation_date: datetime | None = live("_creation_date", "When it was submitted, in UTC.")

    @property
    def pool(self) -> Pool | None:
        """The pool that its tasks run in, None for none. May be set until submission."""
        if self._pool is None and self._pool_uuid:
            self._pool = self._connection.retrieve_pool(self._pool_uuid)
        return self._pool

    @pool.setter
    def pool(self, value: Pool | None) -> None:
        self._refuse_after_submission()
        self._pool, self._pool_uuid = value, None

    @property
    def max_wall_time(self) -> str | None:
        """How long it may last, as a `timedelta` or `d.hh:mm:ss`. May be set until submission."""
        return self._max_wall_time

    @max_wall_time.setter
    def max_wall_time(self, value: str | timedelta | None) -> None:
        self._refuse_after_submission()
        self._max_wall_time = None if value is None else span_text(value, "max_wall_time")

    @property
    def completion_ttl(self) -> str:
        """How long it is kept after its end, as a `timedelta` or `d.hh:mm:ss`; `00:00:00` is for ever.

        May be set until submission.
        """
        return self._completion_ttl

    @completion_ttl.setter
    def completion_ttl(self, value: str | timedelta) -> None:
        self._refuse_after_submission()
        self._completion_ttl = span_text(value, "completion_ttl")

    @property
    def tasks(self) -> list[Task]:
        """The tasks of the job."""
        from qarnot.task import Task

        if self._uuid is None:
            return []
        return [Task.from_json(self._connection, item) for item in self._ask("GET", "tasks")]

    @classmethod
    def from_json(cls, connection: Connection, payload: dict[str, Any]) -> Job:
        """Return the job that an answer names."""
        job = cls(connection, payload.get("name") or "")
        job._absorb(payload)
        job._updated_at = connection._now()
        return job

    def submit(self) -> None:
        """Submit the job, if it is not submitted already."""
        if self._uuid is not None:
            return
        answer = self._connection._json("POST", "/jobs", json=self._to_json(), special=_SUBMISSION)
        self._uuid = answer["uuid"]
        self._fetch(keep_changes=False)

    def terminate(self) -> None:
        """End the job, and abort its tasks that are not over."""
        self._require_submitted("terminate")
        self._ask("POST", "terminate", repeatable=True)
        self._fetch(keep_changes=True)

    def delete(self, forceAbort: bool = False) -> None:
        """Delete the job; one with running tasks only with `forceAbort`, which aborts them."""
        if self._uuid is None:
            return
        self._connection._call(
            "DELETE",
            f"/jobs/{self._uuid}",
            params={"force": str(forceAbort)},
            special={404: MissingJobException},
        )
        self._state, self._uuid = DELETED, None

    def __repr__(self) -> str:
        return f"Job({self._name!r}, {self._uuid}, {self._state})"

    def _to_json(self) -> dict[str, Any]:
        return {
            "name": self._name,
            "poolUuid": self._pool_uuid or uuid_of(self._pool),
            "shortname": self._shortname,
            "state": "",
            "tags": list(self._tags),
            "useDependencies": self._use_dependencies,
            "maxWallTime": self._max_wall_time,
            "autoDeleteOnCompletion": self._auto_delete,
            "completionTimeToLive": self._completion_ttl,
        }

    def _absorb(self, json: dict[str, Any]) -> None:
        super()._absorb(json)
        self._name = json.get("name", self._name)
        self._shortname = json.get("shortname", self._shortname)
        self._pool_uuid = json.get("poolUuid")
        self._use_dependencies = bool(json.get("useDependencies"))
        self._tags = list(json.get("tags") or [])
        self._max_wall_time = json.get("maxWallTime")
        self._auto_delete = bool(json.get("autoDeleteOnCompletion"))
        self._completion_ttl = json.get("completionTimeToLive") or "00:00:00"
        self._absorb_progress(json)

    def _absorb_progress(self, json: dict[str, Any]) -> None:
        self._previous_state: str | None = json.get("previousState")
        self._state_transition_time: str | None = json.get("stateTransitionTime")
        self._previous_state_transition_time: str | None = json.get("previousStateTransitionTime")
        self._creation_date: datetime | None = read_date(json.get("creationDate"))
