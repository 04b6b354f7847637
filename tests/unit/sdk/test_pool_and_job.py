"""Pools and jobs."""

from datetime import time, timedelta

import pytest

from qarnot.exceptions import (
    MaxJobException,
    MaxPoolException,
    MissingBucketException,
    MissingJobException,
    MissingPoolException,
    MissingPoolInstanceException,
    UnauthorizedException,
)
from qarnot.multi_slots_settings import MultiSlotsSettings
from qarnot.scaling import (
    FixedScalingPolicy,
    ManagedTasksQueueScalingPolicy,
    Scaling,
    TimePeriodAlways,
    TimePeriodWeeklyRecurring,
)

STATIC = {
    "isElastic": False,
    "minTotalSlots": 0,
    "maxTotalSlots": 1,
    "minIdleSlots": 0,
    "resizePeriod": 90,
    "rampResizeFactor": 1,
    "minIdleTimeSeconds": 0,
}
BARE_POOL = {
    "profile": "docker-batch",
    "constants": [],
    "forcedConstants": [],
    "constraints": [],
    "tags": [],
    "preparationTask": None,
    "elasticProperty": STATIC,
    "taskDefaultWaitForPoolResourcesSynchronization": False,
    "labels": {},
    "advancedResourceBuckets": [],
    "autoDeleteOnCompletion": False,
    "completionTimeToLive": "00:00:00",
    "hardwareConstraints": [],
    "defaultResourcesCacheTTLSec": None,
    "privileges": {"exportApiAndStorageCredentialsInEnvironment": False},
    "defaultRetrySettings": {"maxTotalRetries": None, "maxPerInstanceRetries": None},
    "forcedNetworkRules": [],
}


@pytest.fixture
def pool(connection, platform):
    """A submitted pool."""
    pool = connection.create_pool("pool1", "docker-batch", 2)
    pool.submit()
    platform.requests.clear()
    return pool


@pytest.fixture
def job(connection, platform):
    """A submitted job."""
    job = connection.create_job("job1")
    job.submit()
    platform.requests.clear()
    return job


def test_a_pool_is_sent_as_observed(connection, platform):
    pool = connection.create_pool("pool1", "docker-batch", 2)
    pool.preparation_command_line = "echo prep"
    pool.submit()
    assert platform.bodies("POST /pools") == [
        {**BARE_POOL, "name": "pool1", "instanceCount": 2, "preparationTask": {"commandLine": "echo prep"}}
    ]
    assert platform.lines() == ["POST /pools", f"GET /pools/{pool.uuid}"]


def test_an_elastic_pool_is_sent_as_observed(connection, platform):
    connection.create_elastic_pool("epool", "docker-batch", 0, 4, 1, 30, 0.5, 60).submit()
    elastic = {
        "isElastic": True,
        "minTotalSlots": 0,
        "maxTotalSlots": 4,
        "minIdleSlots": 1,
        "resizePeriod": 60,
        "rampResizeFactor": 0.5,
        "minIdleTimeSeconds": 30,
    }
    assert platform.bodies("POST /pools") == [
        {**BARE_POOL, "name": "epool", "instanceCount": 1, "elasticProperty": elastic}
    ]


def test_a_pool_with_policies_is_sent_as_observed_and_read_again(connection, platform):
    pool = connection.create_pool("spool", "docker-batch")
    week = TimePeriodWeeklyRecurring(["monday"], time(8), time(18), "w")
    queue = ManagedTasksQueueScalingPolicy(0, 4, 1, 90, 0.5, "q", [week])
    pool.scaling = Scaling([FixedScalingPolicy(2, "f", [TimePeriodAlways("a")]), queue])
    pool.multi_slots_settings = MultiSlotsSettings(4)
    pool.submit()
    (body,) = platform.bodies("POST /pools")
    assert body["multiSlotsSettings"] == {"slotsPerNode": 4}
    assert body["scaling"] == {
        "policies": [
            {
                "type": "Fixed",
                "slotsCount": 2,
                "name": "f",
                "enabledPeriods": [{"type": "Always", "name": "a"}],
            },
            {
                "type": "ManagedTasksQueue",
                "name": "q",
                "minTotalSlots": 0,
                "maxTotalSlots": 4,
                "minIdleSlots": 1,
                "minIdleTimeSeconds": 90,
                "scalingFactor": 0.5,
                "enabledPeriods": [
                    {
                        "type": "Weekly",
                        "days": ["monday"],
                        "startTimeUtc": "08:00:00",
                        "endTimeUtc": "18:00:00",
                        "name": "w",
                    }
                ],
            },
        ]
    }
    assert connection.retrieve_pool(pool.uuid).scaling == pool.scaling


def test_a_growing_pool_is_changed_by_commit(pool, platform):
    pool.setup_elastic(maximum_total_slots=8)
    pool.tags = ["t"]
    pool.commit()
    (body,) = platform.bodies(f"PUT /pools/{pool.uuid}")
    assert body["elasticProperty"] == {**STATIC, "isElastic": True, "maxTotalSlots": 8}
    assert body["tags"] == ["t"]
    assert pool.auto_update is True


def test_closing_and_deleting_a_pool(connection, platform):
    pool = connection.create_pool("p", "docker-batch")
    pool.resources = [connection.create_bucket("in")]
    pool.submit()
    platform.lines()
    get = f"GET /pools/{pool.uuid}"
    pool.close()
    assert platform.lines() == [get, f"POST /pools/{pool.uuid}/close", get]
    pool.delete(purge_resources=True)
    assert (pool.uuid, pool.state, platform.buckets) == (None, "Deleted", {})


def test_refusals_of_pools_have_their_exceptions(connection, platform, refuse):
    platform.prepare("POST /pools", refuse(403, "maximum number of pools reached"), refuse(404, "No such bucket: x"))
    for expected in (MaxPoolException, MissingBucketException):
        with pytest.raises(expected):
            connection.create_pool("p", "docker-batch").submit()


def test_output_of_a_pool(pool, platform, answer):
    platform.prepare(f"GET /pools/{pool.uuid}/stdout", answer(body="ready\n"))
    assert pool.stdout() == "ready\n"
    with pytest.raises(MissingPoolInstanceException):
        platform.things.clear() or pool.stderr(3)
    with pytest.raises(MissingPoolException):
        pool.stderr()


def test_a_pool_that_is_submitted_is_settled(pool):
    with pytest.raises(AttributeError, match="can't be set on a submitted pool"):
        pool.instancecount = 3


def test_a_job_is_sent_as_observed(connection, platform, pool):
    job = connection.create_job("job1", pool, useDependencies=True)
    job.max_wall_time = "10:00:00"
    job.submit()
    assert platform.bodies("POST /jobs") == [
        {
            "name": "job1",
            "poolUuid": pool.uuid,
            "shortname": None,
            "state": "",
            "tags": [],
            "useDependencies": True,
            "maxWallTime": "10:00:00",
            "autoDeleteOnCompletion": False,
            "completionTimeToLive": "00:00:00",
        }
    ]
    assert (job.state, connection.retrieve_job(job.uuid).pool.uuid) == ("Submitted", pool.uuid)


def test_a_task_names_its_job(connection, platform, job):
    connection.create_task("a", "docker-batch", job=job).submit()
    connection.create_task("b", job).submit()
    assert [body["jobUuid"] for body in platform.bodies("POST /tasks")] == [job.uuid] * 2


def test_the_tasks_of_a_job_are_whole_and_stay_usable(job, platform, answer, connection, clock):
    task = connection.create_task("a", "docker-batch", job=job)
    task.submit()
    platform.prepare(f"GET /jobs/{job.uuid}/tasks", answer(body=[platform.things["tasks", task.uuid]]))
    (found,) = job.tasks
    clock.now += 60
    assert found.state == "Submitted"
    assert connection.create_job("j").tasks == []


def test_terminating_and_deleting_a_job(job, platform, refuse, answer):
    path = f"/jobs/{job.uuid}"
    job.terminate()
    assert platform.lines() == [f"POST {path}/terminate", f"GET {path}"]
    platform.prepare(f"DELETE {path}?force=False", refuse(403, "tasks are running"))
    platform.prepare(f"DELETE {path}?force=True", answer())
    with pytest.raises(UnauthorizedException, match="tasks are running"):
        job.delete()
    job.delete(forceAbort=True)
    assert (job.uuid, job.state) == (None, "Deleted")


def test_refusals_of_jobs_have_their_exceptions(connection, platform, refuse, job):
    platform.prepare("POST /jobs", refuse(403, "Maximum number of jobs reached"), refuse(404, "No such pool"))
    for expected in (MaxJobException, MissingJobException):
        with pytest.raises(expected):
            connection.create_job("j").submit()
    platform.things.clear()
    with pytest.raises(MissingJobException):
        job.update(True)


def test_a_job_s_times_are_checked(connection):
    job = connection.create_job("j")
    job.max_wall_time = timedelta(days=1, hours=2)
    job.completion_ttl = "1.00:00:00"
    assert (job.max_wall_time, job.completion_ttl) == ("1.02:00:00", "1.00:00:00")
    with pytest.raises(ValueError, match="max_wall_time should be a timedelta"):
        job.max_wall_time = "soon"


def test_a_pool_or_job_must_be_submitted_before_its_tasks(connection, platform):
    pool, job = connection.create_pool("p", "docker-batch"), connection.create_job("j")
    with pytest.raises(MissingPoolException, match="needs a submitted pool, and Pool"):
        connection.create_task("t", pool).submit()
    with pytest.raises(MissingJobException, match="needs a submitted job, and Job"):
        connection.create_task("t", "docker-batch", job=job).submit()
    with pytest.raises(MissingPoolException):
        connection.create_job("j", pool).submit()
    assert platform.lines() == []
