"""The connection to a platform: where everything begins."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from hearth_client.http import Params, url_path
from qarnot._account import Profile, UserInfo
from qarnot._configuration import FileOrDict, configure
from qarnot._filters import tag_filter
from qarnot._refusals import Special
from qarnot._task_parts import BulkTaskResponse
from qarnot._transport import S3, Rest
from qarnot.bucket import Bucket
from qarnot.computing_quotas import OrganizationComputingQuotasDetails, UserComputingQuotas
from qarnot.credits_client import Credits, CreditsClient
from qarnot.exceptions import (
    BucketStorageUnavailableException,
    MissingJobException,
    MissingPoolException,
    MissingProfileException,
    MissingTaskException,
    QarnotGenericException,
)
from qarnot.hardware_constraint import HardwareConstraint
from qarnot.helper import Log
from qarnot.job import Job
from qarnot.paginate import OffsetResponse, PaginateResponse
from qarnot.pool import Pool
from qarnot.task import SUBMISSION, Task

__all__ = ["Connection", "Profile", "UserInfo"]

_PROFILE_THREADS = 10


class Connection:
    """One account on one platform."""

    def __init__(
        self,
        fileconf: FileOrDict | None = None,
        client_token: str | None = None,
        cluster_url: str | None = None,
        cluster_unsafe: bool = False,
        cluster_timeout: float | None = None,
        storage_url: str | None = None,
        storage_unsafe: bool = False,
        retry_count: int = 5,
        retry_wait: float = 1.0,
        cluster_custom_certificate: str | None = None,
        storage_custom_certificate: str | None = None,
        sanitize_bucket_paths: bool = True,
        show_bucket_warnings: bool = True,
        logger: logging.Logger | None = None,
    ) -> None:
        """Connect with these options, else those of `fileconf`, else those of the environment.

        `fileconf` is the path of a file, or a dict with `cluster_url`, `client_auth`, `cluster_timeout`,
        `cluster_unsafe`, `cluster_custom_certificate` and `storage_url`. A file looks like this:

            [cluster]
            url=https://localhost
            [client]
            token=the token
            [storage]
            url=https://storage

        with `timeout`, `unsafe` and `custom_certificate` beside the URLs. The environment's variables
        are `QARNOT_CLIENT_TOKEN`, `QARNOT_CLUSTER_URL`, `QARNOT_CLUSTER_TIMEOUT`,
        `QARNOT_CLUSTER_UNSAFE` and `QARNOT_STORAGE_URL`.

        A request that fails for the moment is sent again up to `retry_count` times, after pauses of
        `retry_wait` seconds times 1, 2, 4 and so on.
        """
        configuration = configure(
            {
                "client_token": client_token,
                "cluster_url": cluster_url,
                "cluster_unsafe": cluster_unsafe,
                "cluster_timeout": cluster_timeout,
                "storage_url": storage_url,
                "storage_unsafe": storage_unsafe,
                "cluster_custom_certificate": cluster_custom_certificate,
                "storage_custom_certificate": storage_custom_certificate,
            },
            fileconf,
            os.environ,
        )
        self.logger = logger or Log.get_logger_for_stream(sys.stdout, "qarnot.stdout")
        """Where states and output are written that somebody follows."""
        self.logger_stderr = logger or Log.get_logger_for_stream(sys.stderr, "qarnot.stderr")
        """The same for standard error and warnings."""
        self.cluster = configuration.cluster_url
        """URL of the platform."""
        self.timeout = configuration.cluster_timeout_seconds
        """Seconds that a request may take, None for the usual minute."""
        self._sanitize_bucket_paths = sanitize_bucket_paths
        self._show_bucket_warnings = show_bucket_warnings
        self._now: Callable[[], float] = time.monotonic
        self._sleep: Callable[[float], None] = time.sleep
        self._rest = Rest(configuration, retry_count, retry_wait)
        self.storage: str | None = configuration.storage_url or self._json("GET", "/settings").get("storage")
        """URL of the storage, None when the platform offers none."""
        self._s3 = (
            S3(self.storage, self.user_info.email, configuration.token, configuration.storage_verify)
            if self.storage
            else None
        )

    def __repr__(self) -> str:
        return f"Connection({self.cluster!r}, storage={self.storage!r})"

    @property
    def s3client(self) -> Any:
        """boto3's S3 client, ready for the account's storage."""
        return self._storage().client

    @property
    def s3resource(self) -> Any:
        """boto3's S3 resource, ready for the account's storage."""
        return self._storage().resource

    @property
    def user_info(self) -> UserInfo:
        """What the platform says of the account now."""
        return UserInfo(self._json("GET", "/info"))

    def credits(self) -> Credits:
        """Return what the account has to spend."""
        return CreditsClient(self).get_account_credits()

    def get_user_computing_quotas(self) -> UserComputingQuotas:
        """Return how much the user may run, and runs."""
        return UserComputingQuotas.from_json(self._json("GET", "/quotas/computing-quotas/user"))

    def get_organization_computing_quotas(self) -> OrganizationComputingQuotasDetails:
        """Return how much the organization may run, and who runs how much of it."""
        json = self._json("GET", "/quotas/computing-quotas/organization")
        return OrganizationComputingQuotasDetails.from_json(json)

    def buckets(self) -> list[Bucket]:
        """Return all buckets of the account."""
        names = [bucket["Name"] for bucket in self.s3client.list_buckets()["Buckets"]]
        return [Bucket(self, name, create=False) for name in names]

    def pools(
        self, summary: bool = True, tags_intersect: list[str] | None = None, tags: list[str] | None = None
    ) -> list[Pool]:
        """Return all pools, or those with any of `tags` and all of `tags_intersect`."""
        return list(self.all_pools(summary, tags, tags_intersect))

    def tasks(
        self, tags: list[str] | None = None, summary: bool = True, tags_intersect: list[str] | None = None
    ) -> list[Task]:
        """Return all tasks, or those with any of `tags` and all of `tags_intersect`."""
        return list(self.all_tasks(summary, tags, tags_intersect))

    def jobs(self, tags: list[str] | None = None, tags_intersect: list[str] | None = None) -> list[Job]:
        """Return all jobs, or those with any of `tags` and all of `tags_intersect`."""
        return list(self.all_jobs(tags, tags_intersect))

    def all_pools(
        self, summary: bool = True, tags: list[str] | None = None, tags_intersect: list[str] | None = None
    ) -> Iterator[Pool]:
        """Yield all pools, asking for one page after the other."""
        return _pages(lambda token: self.pools_page(token, None, summary, tags, tags_intersect))

    def all_tasks(
        self, summary: bool = True, tags: list[str] | None = None, tags_intersect: list[str] | None = None
    ) -> Iterator[Task]:
        """Yield all tasks, asking for one page after the other."""
        return _pages(lambda token: self.tasks_page(token, None, summary, tags, tags_intersect))

    def all_jobs(self, tags: list[str] | None = None, tags_intersect: list[str] | None = None) -> Iterator[Job]:
        """Yield all jobs, asking for one page after the other."""
        return _pages(lambda token: self.jobs_page(token, None, tags, tags_intersect))

    def all_hardware_constraints(self) -> Iterator[HardwareConstraint]:
        """Yield all hardware constraints that may be asked for."""
        offset = 0
        while True:
            page = self.hardware_constraints_page(offset=offset)
            yield from (constraint for constraint in page.page_data if constraint is not None)
            offset += len(page.page_data)
            if not page.page_data or offset >= page.total:
                return

    def pools_page(
        self,
        token: str | None = None,
        maximum: int | None = None,
        summary: bool = True,
        tags: list[str] | None = None,
        tags_intersect: list[str] | None = None,
    ) -> PaginateResponse:
        """Return one page of pools."""
        return self._page("pools", Pool.from_json, token, maximum, summary, tags, tags_intersect)

    def tasks_page(
        self,
        token: str | None = None,
        maximum: int | None = None,
        summary: bool = True,
        tags: list[str] | None = None,
        tags_intersect: list[str] | None = None,
    ) -> PaginateResponse:
        """Return one page of tasks."""
        return self._page("tasks", Task.from_json, token, maximum, summary, tags, tags_intersect)

    def jobs_page(
        self,
        token: str | None = None,
        maximum: int | None = None,
        tags: list[str] | None = None,
        tags_intersect: list[str] | None = None,
    ) -> PaginateResponse:
        """Return one page of jobs."""

        def job(connection: Connection, json: dict[str, Any], _: bool) -> Job:
            return Job.from_json(connection, json)

        return self._page("jobs", job, token, maximum, False, tags, tags_intersect)

    def hardware_constraints_page(self, limit: int | None = 50, offset: int | None = 0) -> OffsetResponse:
        """Return one page of the hardware constraints that may be asked for."""
        json = self._json("GET", "/hardware-constraints", params={"limit": limit, "offset": offset})
        constraints = [HardwareConstraint.from_json(item) for item in json.get("data") or []]
        return OffsetResponse(
            json.get("total", len(constraints)), json.get("offset", offset), json.get("limit", limit), constraints
        )

    def search_cpu_model_constraints(self, cpu_model: str) -> list[HardwareConstraint]:
        """Return the processor models whose name holds this text."""
        path = "/hardware-constraints/cpu-model-constraints/search"
        found = map(HardwareConstraint.from_json, self._json("GET", path, params={"cpuModel": cpu_model}))
        return [constraint for constraint in found if constraint is not None]

    def retrieve_pool(self, uuid: str) -> Pool:
        """Return the pool with this uuid or short name."""
        json = self._json("GET", url_path("pools", uuid), special={404: MissingPoolException})
        return Pool.from_json(self, json)

    def retrieve_task(self, uuid: str) -> Task:
        """Return the task with this uuid or short name."""
        json = self._json("GET", url_path("tasks", uuid), special={404: MissingTaskException})
        return Task.from_json(self, json)

    def retrieve_job(self, uuid: str) -> Job:
        """Return the job with this uuid or short name."""
        json = self._json("GET", url_path("jobs", uuid), special={404: MissingJobException})
        return Job.from_json(self, json)

    def retrieve_or_create_bucket(self, uuid: str) -> Bucket:
        """Return the bucket of this name, made if there was none."""
        return Bucket(self, uuid)

    def retrieve_bucket(self, uuid: str) -> Bucket:
        """Return the bucket of this name; boto3's `ClientError` says when there is none."""
        self.s3client.head_bucket(Bucket=uuid)
        return Bucket(self, uuid, create=False)

    def create_pool(self, name: str, profile: str, instancecount: int = 1, shortname: str | None = None) -> Pool:
        """Return a new pool, which `submit` brings to the platform."""
        return Pool(self, name, profile, instancecount, shortname)

    def create_elastic_pool(
        self,
        name: str,
        profile: str,
        minimum_total_slots: int = 0,
        maximum_total_slots: int = 1,
        minimum_idle_slots: int = 0,
        minimum_idle_time_seconds: int = 0,
        resize_factor: float = 1,
        resize_period: int = 90,
        shortname: str | None = None,
    ) -> Pool:
        """Return a new pool that grows and shrinks, which `submit` brings to the platform."""
        pool = Pool(self, name, profile, shortname=shortname)
        pool.setup_elastic(
            minimum_total_slots,
            maximum_total_slots,
            minimum_idle_slots,
            minimum_idle_time_seconds,
            resize_factor,
            resize_period,
        )
        return pool

    def create_task(
        self,
        name: str,
        profile_or_pool: str | Pool | None = None,
        instancecount_or_range: int | str = 1,
        shortname: str | None = None,
        job: Job | None = None,
    ) -> Task:
        """Return a new task, which `submit` or `run` brings to the platform."""
        return Task(self, name, profile_or_pool, instancecount_or_range, shortname, job)

    def submit_tasks(self, tasks: list[Task]) -> None:
        """Submit tasks with one request; the error names those that were refused, the others run."""
        fresh = [task for task in tasks if task.uuid is None]
        if not fresh:
            return
        for task in fresh:
            task._flush_resources()
        answers = self._json(
            "POST", "/tasks", json=[task._to_json() for task in fresh], special=SUBMISSION, creates=True
        )
        refused = []
        for task, answer in zip(fresh, map(BulkTaskResponse, answers), strict=True):
            if answer.uuid is not None and answer.is_success():
                task._submitted_as(answer.uuid)
            else:
                refused.append(f"[{task!r}] : {answer.status_code}, {answer.message}")
        if refused:
            raise QarnotGenericException("\n".join(refused))

    def profiles_names(self) -> list[str]:
        """Return the names of all profiles."""
        names: list[str] = self._json("GET", "/profiles")
        return names

    def profile_details(self, profile_name: str) -> Profile | None:
        """Return a profile, None when there is none of this name."""
        try:
            return self.retrieve_profile(profile_name)
        except MissingProfileException:
            return None

    def profiles(self) -> list[Profile]:
        """Return all profiles."""
        with ThreadPoolExecutor(_PROFILE_THREADS) as pool:
            found = pool.map(self.profile_details, self.profiles_names())
            return [profile for profile in found if profile is not None]

    def retrieve_profile(self, name: str) -> Profile:
        """Return the profile of this name."""
        json = self._json("GET", url_path("profiles", name), special={404: MissingProfileException})
        return Profile(json)

    def create_bucket(self, name: str) -> Bucket:
        """Return the bucket of this name, made if there was none."""
        return Bucket(self, name)

    def create_job(
        self, name: str, pool: Pool | None = None, shortname: str | None = None, useDependencies: bool = False
    ) -> Job:
        """Return a new job, which `submit` brings to the platform."""
        return Job(self, name, pool, shortname, useDependencies)

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._rest.call(method, path, **options)

    def _json(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Params | None = None,
        special: Special | None = None,
        repeatable: bool | None = None,
        creates: bool = False,
    ) -> Any:
        more = {"params": params, "special": special, "repeatable": repeatable, "creates": creates}
        return self._rest.json(method, path, json=json, **more)

    def _text(self, method: str, segments: tuple[object, ...], special: Special | None = None) -> str:
        return self._rest.text(method, segments, special)

    def _storage(self) -> S3:
        if self._s3 is None:
            raise BucketStorageUnavailableException("the platform offers no bucket storage")
        return self._s3

    def _page(
        self,
        noun: str,
        from_json: Callable[[Connection, dict[str, Any], bool], Any],
        token: str | None,
        maximum: int | None,
        summary: bool,
        tags: list[str] | None,
        tags_intersect: list[str] | None,
    ) -> PaginateResponse:
        wanted = tag_filter(tags, tags_intersect)
        # Summaries have no tags, so a search by tag brings whole objects.
        in_short = summary and wanted is None
        json = self._json(
            "POST",
            f"/{noun}/summaries/paginate" if in_short else f"/{noun}/paginate",
            json={"filter": wanted, "token": token, "maximumResults": maximum},
            repeatable=True,
        )
        return PaginateResponse(
            json.get("token"),
            json.get("nextToken"),
            bool(json.get("isTruncated")),
            [from_json(self, item, in_short) for item in json.get("data") or []],
        )


def _pages(page_of: Callable[[str | None], PaginateResponse]) -> Iterator[Any]:
    """Yield what is on all pages."""
    token = None
    while True:
        page = page_of(token)
        yield from page.page_data
        token = page.next_token
        if not page.is_truncated or token is None:
            return
