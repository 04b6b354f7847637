"""Tasks: a command that is run some number of times.

UnSubmitted ─ submit ─▶ Submitted ▶ PartiallyDispatched ▶ FullyDispatched ▶ PartiallyExecuting
▶ FullyExecuting ▶ UploadingResults ▶ Success | Failure | Cancelled      ─ delete ─▶ Deleted
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from qarnot._compute import Json
from qarnot._follow import Follower, wait
from qarnot._live import DELETED, UNSUBMITTED, changeable, fixed, live, uuid_of
from qarnot._refusals import submission
from qarnot._snapshots import TakesSnapshots
from qarnot._task_parts import BulkTaskResponse, CompletedInstance, Dependencies
from qarnot.bucket import Bucket
from qarnot.dependency import AdvancedDependency, TaskDependencies
from qarnot.exceptions import (
    MaxTaskException,
    MissingBucketException,
    MissingTaskException,
    MissingTaskInstanceException,
)
from qarnot.job import Job
from qarnot.pool import Pool
from qarnot.project import Project
from qarnot.retry_settings import RetrySettings
from qarnot.scheduling_type import SchedulingType
from qarnot.storage import LocalPath, Progress

if TYPE_CHECKING:
    from qarnot.connection import Connection

__all__ = ["BulkTaskResponse", "CompletedInstance", "Task"]

SUBMISSION = submission("task", MaxTaskException, MissingBucketException)


class Task(TakesSnapshots):
    """A command that is run some number of times, and what became of it.

    Made by `Connection.create_task`, found again by `Connection.retrieve_task`. In a `with` block
    the task is deleted at the end.
    """

    _noun = "task"
    _missing = MissingTaskException
    _missing_instance = MissingTaskInstanceException
    _retry_field = "retrySettings"

    def __init__(
        self,
        connection: Connection,
        name: str,
        profile_or_pool: str | Pool | None = None,
        instancecount_or_range: int | str = 1,
        shortname: str | None = None,
        job: Job | None = None,
        scheduling_type: SchedulingType | None = None,
        project: Project | None = None,
    ) -> None:
        profile = profile_or_pool if isinstance(profile_or_pool, str) else None
        super().__init__(connection, name, profile, shortname, scheduling_type, project)
        self._pool = profile_or_pool if isinstance(profile_or_pool, Pool) else None
        self._pool_uuid: str | None = None
        self._job = profile_or_pool if isinstance(profile_or_pool, Job) else job
        self._job_uuid: str | None = None
        self._advanced_range: str | None = None
        if isinstance(instancecount_or_range, int):
            self._instancecount = instancecount_or_range
        else:
            self._instancecount, self._advanced_range = 0, instancecount_or_range
        self._results: Bucket | None = None
        self._snapshot_whitelist: str | None = None
        self._snapshot_blacklist: str | None = None
        self._results_whitelist: str | None = None
        self._results_blacklist: str | None = None
        self._wait_for_pool_resources_synchronization: bool | None = None
        self._upload_results_on_cancellation: bool | None = None
        self._dependencies = Dependencies()
        self._downloaded: tuple[str, int] | None = None
        self._absorb_task_progress({})

    results: Bucket | None = changeable("_results", "The bucket that results go to, None for none.")
    snapshot_whitelist: str | None = fixed(
        "_snapshot_whitelist", "Regular expression of files that snapshots take. May be set until submission."
    )
    snapshot_blacklist: str | None = fixed(
        "_snapshot_blacklist", "Regular expression of files that snapshots leave. May be set until submission."
    )
    results_whitelist: str | None = fixed(
        "_results_whitelist", "Regular expression of files that are results. May be set until submission."
    )
    results_blacklist: str | None = fixed(
        "_results_blacklist", "Regular expression of files that are no results. May be set until submission."
    )
    wait_for_pool_resources_synchronization: bool | None = fixed(
        "_wait_for_pool_resources_synchronization",
        "Start only where the pool's updated resources are? None leaves it to the pool.",
    )
    upload_results_on_cancellation: bool | None = fixed(
        "_upload_results_on_cancellation", "Are results kept when the task is aborted?"
    )
    retry_settings: RetrySettings = fixed(
        "_retries", "How often failed instances are run again. May be set until submission."
    )
    completed_instances: list[CompletedInstance] = live("_completed_instances", "The instances that ended.")
    wall_time: str | None = live("_wall_time", "The task's life so far, as a span.")
    snapshot_interval: int | None = live("_snapshot_interval", "Seconds between two snapshots, 0 for none.")
    progress: float = live("_progress", "How much is done, 0 to 100.")

    @property
    def pool(self) -> Pool | None:
        """The pool it runs in, None when it has a profile instead. May be set until submission."""
        if self._pool is None and self._pool_uuid:
            self._pool = self._connection.retrieve_pool(self._pool_uuid)
        return self._pool

    @pool.setter
    def pool(self, value: Pool | None) -> None:
        self._refuse_after_submission()
        if value is not None and self._profile is not None:
            raise AttributeError("a task has a pool or a profile, not both: set profile to None first")
        self._pool, self._pool_uuid = value, None

    @property
    def profile(self) -> str | None:
        """The profile it runs, None when it has a pool instead. May be set until submission."""
        return self._profile

    @profile.setter
    def profile(self, value: str | None) -> None:
        self._refuse_after_submission()
        if value is not None and self._pool is not None:
            raise AttributeError("a task has a profile or a pool, not both: set pool to None first")
        self._profile = value

    @property
    def instancecount(self) -> int:
        """How many instances, 0 when there is an `advanced_range`. May be set until submission."""
        return self._instancecount

    @instancecount.setter
    def instancecount(self, value: int) -> None:
        self._refuse_after_submission()
        if self._advanced_range is not None:
            raise AttributeError("a task has instancecount or advanced_range: set advanced_range to None first")
        self._instancecount = value

    @property
    def advanced_range(self) -> str | None:
        """Which instances, such as `1,3-8,9`, None when there is a count. May be set until submission."""
        return self._advanced_range

    @advanced_range.setter
    def advanced_range(self, value: str | None) -> None:
        self._refuse_after_submission()
        if value is not None and self._instancecount != 0:
            raise AttributeError("a task has advanced_range or instancecount: set instancecount to 0 first")
        self._advanced_range = value

    @property
    def dependencies(self) -> TaskDependencies:
        """What must be over before it starts."""
        self._freshen()
        return self._dependencies.seen()

    def set_task_dependencies_from_uuids(self, uuids: list[str]) -> None:
        """Start after these tasks, given by uuid, however they end."""
        self._refuse_after_submission()
        self._dependencies.set_simple(uuids)

    def set_task_dependencies_from_tasks(self, tasks: list[Task]) -> None:
        """Start after these tasks, however they end."""
        self._refuse_after_submission()
        self._dependencies.set_simple([task._require_submitted("a dependency") for task in tasks])

    def set_task_advanced_dependencies(self, dependencies: list[AdvancedDependency]) -> None:
        """Start after these tasks, if they end as the dependencies say."""
        self._refuse_after_submission()
        self._dependencies.set_advanced(dependencies)

    def remove_task_dependency(self, uuid: str) -> None:
        """Take one task out of the dependencies."""
        self._refuse_after_submission()
        self._dependencies.remove(uuid)

    def clear_task_dependencies(self) -> None:
        """Take all tasks out of the dependencies."""
        self._refuse_after_submission()
        self._dependencies = Dependencies()

    def allow_credentials_to_be_exported_to_task_environment(self) -> None:
        """Let the instances find credentials for the API and the storage in their environment."""
        self._refuse_after_submission()
        self._privileges._exportApiAndStorageCredentialsInEnvironment = True

    def run(
        self,
        output_dir: str | None = None,
        job_timeout: float | None = None,
        live_progress: bool = False,
        results_progress: Progress = None,
        follow_state: bool = False,
        follow_stdout: bool = False,
        follow_stderr: bool = False,
    ) -> None:
        """Submit the task, wait for its end, and fetch the results into `output_dir` if that is given.

        A task that is not over after `job_timeout` seconds is aborted. If this is interrupted the task
        runs on.
        """
        self.submit()
        over = self.wait(job_timeout, live_progress, follow_state, follow_stdout, follow_stderr)
        self._finish(over, output_dir, results_progress)

    def resume(
        self,
        output_dir: str,
        job_timeout: float | None = None,
        live_progress: bool = False,
        results_progress: Progress = None,
    ) -> None:
        """Wait for the end of a submitted task, and fetch its results; nothing if it is not submitted."""
        if self._uuid is None:
            return
        self._finish(self.wait(job_timeout, live_progress), output_dir, results_progress)

    def submit(self) -> None:
        """Submit the task, if it is not submitted already."""
        if self._uuid is not None:
            return
        self._flush_resources()
        answer = self._connection._json("POST", "/tasks", json=self._to_json(), special=SUBMISSION, creates=True)
        self._submitted_as(answer["uuid"])
        self._fetch(keep_changes=False)

    def abort(self) -> None:
        """End all instances."""
        self._require_submitted("abort")
        self._fetch(keep_changes=True)
        self._ask("POST", "abort", repeatable=True)
        self._fetch(keep_changes=True)

    def update_resources(self) -> None:
        """Bring what is new in the resource buckets to the running instances; nothing is taken away."""
        self._require_submitted("update_resources")
        self._fetch(keep_changes=True)
        self._flush_resources()
        self._ask("PATCH", repeatable=True)
        self._fetch(keep_changes=True)

    def delete(self, purge_resources: bool = False, purge_results: bool = False) -> None:
        """Delete the task, and its resource and result buckets where asked; a running one is aborted."""
        if self._uuid is None:
            return
        resources = self.resources if purge_resources else []
        results = self.results if purge_results else None
        self._ask("DELETE")
        self._state, self._uuid = DELETED, None
        self._purge([*resources, results])

    @classmethod
    def from_json(cls, connection: Connection, json_task: Json, is_summary: bool = False) -> Task:
        """Return the task that an answer names."""
        task = cls(connection, json_task.get("name") or "")
        task._absorb(json_task)
        task._is_summary = is_summary
        task._updated_at = connection._now()
        return task

    def commit(self) -> None:
        """Send the changes that were made here; the platform takes constants and tags of a running task."""
        self._require_submitted("commit")
        self._complete()
        self._ask("PUT", json=self._to_json())
        self._changes_sent()

    def wait(
        self,
        timeout: float | None = None,
        live_progress: bool = False,
        follow_state: bool = False,
        follow_stdout: bool = False,
        follow_stderr: bool = False,
    ) -> bool:
        """Wait until the task is over, at most `timeout` seconds, and return whether it is.

        `live_progress` shows a bar on a terminal; `follow_…` writes states and output as they come.
        """
        if self._uuid is None:
            return self._state != UNSUBMITTED
        return wait(Follower(self, live_progress, follow_state, follow_stdout, follow_stderr), timeout)

    def print_progress(
        self,
        print_state: bool = False,
        last_known_state: str | None = None,
        print_stdout: bool = False,
        print_stderr: bool = False,
    ) -> str:
        """Write the state if it is not `last_known_state`, and fresh output; return the state."""
        say, complain = self._connection.logger.info, self._connection.logger_stderr.info
        state = self.state
        if print_state and state != last_known_state:
            say("%s", f"task {self._uuid} is {state}")
        for wanted, fresh, write in (
            (print_stdout, self.fresh_stdout, say),
            (print_stderr, self.fresh_stderr, complain),
        ):
            if wanted and (text := fresh()):
                write("%s", text.removesuffix("\n"))
        return state

    def download_results(self, output_dir: LocalPath, progress: Progress = None) -> None:
        """Fetch the results into a directory; files of the same names there are replaced.

        Nothing is fetched again when the directory has all results that there are.
        """
        if self._uuid is not None:
            self._fetch(keep_changes=True)
        if self._results is None:
            return
        state = (str(output_dir), self._results_count)
        if self._results_count < 0 or state != self._downloaded:
            self._results.get_all_files(output_dir, progress)
            self._downloaded = state

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.delete()
        except MissingTaskException:
            pass  # What should be gone is gone.

    def __repr__(self) -> str:
        instances = self._advanced_range or self._instancecount
        where = self._profile or f"pool {self._pool_uuid or (self._pool and self._pool.uuid)}"
        return f"Task({self._name!r}, {self._uuid}, {where}, instances={instances}, {self._state})"

    def _finish(self, over: bool, output_dir: str | None, progress: Progress) -> None:
        if not over:
            self.abort()
        if output_dir is not None:
            self.download_results(output_dir, progress)

    def _flush_resources(self) -> None:
        for bucket in self._resources:
            bucket.flush()

    def _submitted_as(self, uuid: str) -> None:
        """Begin the task's life on the platform; what the platform says of it is asked for when needed."""
        self._uuid, self._state = uuid, "Submitted"
        self._shortname = self._shortname or uuid
        self._is_summary = True
        self._ask_for_pending_snapshot()

    def _to_json(self) -> Json:
        json = self._common_json()
        json["poolUuid"] = self._pool_uuid or uuid_of(self._pool)
        json["jobUuid"] = self._job_uuid or uuid_of(self._job)
        json["waitForPoolResourcesSynchronization"] = self._wait_for_pool_resources_synchronization
        json["uploadResultsOnCancellation"] = self._upload_results_on_cancellation
        json["dependencies"] = self._dependencies.to_json()
        if self._advanced_range is not None:
            json["advancedRanges"] = self._advanced_range
        else:
            json["instanceCount"] = self._instancecount
        if self._results is not None:
            json["resultBucket"] = self._results.uuid
            if self._results._cache_ttl_sec is not None:
                json["ResultsCacheTTLSec"] = self._results._cache_ttl_sec
        optional = {
            "snapshotWhitelist": self._snapshot_whitelist,
            "snapshotBlacklist": self._snapshot_blacklist,
            "resultsWhitelist": self._results_whitelist,
            "resultsBlacklist": self._results_blacklist,
        }
        json.update({key: value for key, value in optional.items() if value is not None})
        return json

    def _absorb(self, json: Json) -> None:
        super()._absorb(json)
        self._pool_uuid = json.get("poolUuid")
        if self._pool is not None and self._pool.uuid != self._pool_uuid:
            self._pool = None
        self._job_uuid = json.get("jobUuid")
        self._advanced_range = json.get("advancedRanges") or None
        self._take("_results", self._result_bucket(json))
        self._snapshot_whitelist = json.get("snapshotWhitelist")
        self._snapshot_blacklist = json.get("snapshotBlacklist")
        self._results_whitelist = json.get("resultsWhitelist")
        self._results_blacklist = json.get("resultsBlacklist")
        self._wait_for_pool_resources_synchronization = json.get("waitForPoolResourcesSynchronization")
        self._upload_results_on_cancellation = json.get("uploadResultsOnCancellation")
        self._dependencies = Dependencies.from_json(json.get("dependencies"))
        self._absorb_task_progress(json)

    def _absorb_task_progress(self, json: Json) -> None:
        self._completed_instances = [CompletedInstance(item) for item in json.get("completedInstances") or []]
        self._wall_time: str | None = json.get("wallTime")
        self._snapshot_interval: int | None = json.get("snapshotInterval")
        self._progress: float = json.get("progress") or 0.0
        count: Any = json.get("resultsCount")
        self._results_count: int = -1 if count is None else count

    def _result_bucket(self, json: Json) -> Bucket | None:
        name = json.get("resultBucket")
        if name is None or (self._results is not None and self._results.uuid == name):
            return None if name is None else self._results
        ttl = json.get("ResultsCacheTTLSec", json.get("resultsCacheTTLSec"))
        return Bucket(self._connection, name, create=False, cacheTTLSec=ttl)
