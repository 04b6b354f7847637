"""Tasks from `create_task` to `delete`."""

import logging
from datetime import datetime, timedelta

import pytest

from qarnot.bucket import Bucket
from qarnot.dependency import AdvancedDependency, TaskFinalStateFailure, TaskFinalStateSuccess
from qarnot.exceptions import (
    MaxTaskException,
    MissingBucketException,
    MissingTaskException,
    MissingTaskInstanceException,
    NotEnoughCreditsException,
    QarnotGenericException,
    UnauthorizedException,
)
from qarnot.forced_constant import ForcedConstant, ForcedConstantAccess
from qarnot.forced_network_rule import ForcedNetworkRule
from qarnot.hardware_constraint import MinimumCoreHardware
from qarnot.retry_settings import RetrySettings
from qarnot.scheduling_type import OnDemandScheduling
from qarnot.secrets import SecretsAccessRights

# What version 2.23.0 was seen to send for a task of which nothing is set.
BARE = {
    "profile": "docker-batch",
    "poolUuid": None,
    "jobUuid": None,
    "constants": [],
    "constraints": [],
    "forcedConstants": [],
    "waitForPoolResourcesSynchronization": None,
    "uploadResultsOnCancellation": None,
    "labels": {},
    "dependencies": {"dependsOn": []},
    "advancedResourceBuckets": [],
    "tags": [],
    "autoDeleteOnCompletion": False,
    "completionTimeToLive": "00:00:00",
    "hardwareConstraints": [],
    "defaultResourcesCacheTTLSec": None,
    "privileges": {"exportApiAndStorageCredentialsInEnvironment": False},
    "retrySettings": {"maxTotalRetries": None, "maxPerInstanceRetries": None},
    "forcedNetworkRules": [],
}


@pytest.fixture
def task(connection, platform):
    """A submitted task."""
    task = connection.create_task("hello", "docker-batch", 2)
    task.submit()
    platform.requests.clear()
    return task


def test_a_task_of_which_nothing_is_set_is_sent_as_observed(connection, platform):
    task = connection.create_task("bulk0", "docker-batch")
    task.submit()
    assert platform.bodies("POST /tasks") == [{**BARE, "name": "bulk0", "instanceCount": 1}]


def test_the_observed_submission_with_snapshots_resources_and_results(connection, platform):
    task = connection.create_task("hello", "docker-batch", 2)
    task.constants["DOCKER_CMD"] = "echo hi"
    task.resources.append(connection.create_bucket("in"))
    task.results = connection.create_bucket("out")
    task.tags = ["t1", "t2"]
    task.snapshot(60)
    task.submit()
    assert platform.bodies("POST /tasks") == [
        {
            **BARE,
            "name": "hello",
            "constants": [{"key": "DOCKER_CMD", "value": "echo hi"}],
            "advancedResourceBuckets": [
                {"bucketName": "in", "filtering": {}, "resourcesTransformation": {}, "cacheTTLSec": None}
            ],
            "resultBucket": "out",
            "instanceCount": 2,
            "tags": ["t1", "t2"],
        }
    ]
    periodic = f"POST /tasks/{task.uuid}/snapshot/periodic"
    assert platform.bodies(periodic) == [
        {"whitelist": None, "blacklist": None, "bucket": None, "bucketPrefix": None, "interval": 60}
    ]
    assert platform.lines() == ["POST /tasks", periodic, f"GET /tasks/{task.uuid}"]


def test_everything_that_may_be_set_is_sent(connection, platform):
    task = connection.create_task("all", "docker-batch", 1, shortname="short")
    task.constraints = {"c": "1"}
    task.forced_constants = {"X": ForcedConstant("v", True, ForcedConstantAccess.ReadOnly)}
    task.forced_network_rules = [ForcedNetworkRule(True, "tcp", port="22", to_payload=True)]
    task.labels = {"Kept": "As Is"}
    task.hardware_constraints = [MinimumCoreHardware(4)]
    task.default_resources_cache_ttl_sec = 60
    task.allow_credentials_to_be_exported_to_task_environment()
    task.retry_settings = RetrySettings(3, 1)
    task.scheduling_type = OnDemandScheduling()
    task.targeted_reservation_name = "res"
    task.secrets_access_rights = SecretsAccessRights().add_secret_by_key("k").add_secret_by_prefix("p")
    task.max_time_queue_seconds = 30
    task.auto_delete = True
    task.completion_ttl = timedelta(hours=10)
    task.upload_results_on_cancellation = True
    task.wait_for_pool_resources_synchronization = False
    task.results_whitelist, task.results_blacklist = r"\.txt$", "tmp"
    task.snapshot_whitelist, task.snapshot_blacklist = "a", "b"
    task.results = Bucket(connection, "out", create=False, cacheTTLSec=9)
    task.submit()
    assert platform.bodies("POST /tasks") == [
        {
            **BARE,
            "name": "all",
            "shortname": "short",
            "instanceCount": 1,
            "constraints": [{"key": "c", "value": "1"}],
            "forcedConstants": [
                {
                    "constantName": "X",
                    "forcedValue": "v",
                    "forceExportInEnvironment": True,
                    "access": "ReadOnly",
                }
            ],
            "forcedNetworkRules": [{"inbound": True, "proto": "tcp", "port": "22", "toPayload": True}],
            "labels": {"Kept": "As Is"},
            "hardwareConstraints": [{"discriminator": "MinimumCoreHardwareConstraint", "coreCount": 4}],
            "defaultResourcesCacheTTLSec": 60,
            "privileges": {"exportApiAndStorageCredentialsInEnvironment": True},
            "retrySettings": {"maxTotalRetries": 3, "maxPerInstanceRetries": 1},
            "schedulingType": "OnDemand",
            "targetedReservationName": "res",
            "secretsAccessRights": {"bySecret": [{"key": "k"}], "byPrefix": [{"prefix": "p"}]},
            "maxTimeQueueSeconds": 30,
            "autoDeleteOnCompletion": True,
            "completionTimeToLive": "0.10:00:00",
            "uploadResultsOnCancellation": True,
            "waitForPoolResourcesSynchronization": False,
            "resultsWhitelist": r"\.txt$",
            "resultsBlacklist": "tmp",
            "snapshotWhitelist": "a",
            "snapshotBlacklist": "b",
            "resultBucket": "out",
            "ResultsCacheTTLSec": 9,
        }
    ]
    again = connection.retrieve_task(task.uuid)
    sent = platform.bodies("POST /tasks")[0]
    assert again._to_json() == sent


def test_a_range_replaces_the_count(connection, platform):
    task = connection.create_task("range", "docker-batch", 0)
    task.advanced_range = "115-120"
    task.submit()
    assert platform.bodies("POST /tasks") == [{**BARE, "name": "range", "advancedRanges": "115-120"}]
    assert connection.create_task("r", "p", "1-3,7").advanced_range == "1-3,7"


def test_count_and_range_exclude_each_other(connection):
    task = connection.create_task("t", "p", 4)
    with pytest.raises(AttributeError, match="set instancecount to 0 first"):
        task.advanced_range = "1-3"
    task.instancecount = 0
    task.advanced_range = "1-3"
    with pytest.raises(AttributeError, match="set advanced_range to None first"):
        task.instancecount = 4


def test_profile_and_pool_exclude_each_other(connection, platform):
    pool = connection.create_pool("p", "docker-batch")
    pool.submit()
    task = connection.create_task("t", "docker-batch")
    with pytest.raises(AttributeError, match="set profile to None first"):
        task.pool = pool
    task.profile = None
    task.pool = pool
    with pytest.raises(AttributeError, match="set pool to None first"):
        task.profile = "docker-batch"
    task.submit()
    (body,) = platform.bodies("POST /tasks")
    assert (body["profile"], body["poolUuid"]) == (None, pool.uuid)
    assert connection.retrieve_task(task.uuid).pool.uuid == pool.uuid


def test_a_second_submission_does_nothing(task, platform):
    task.submit()
    assert platform.lines() == []


@pytest.mark.parametrize(
    "attribute",
    ["name", "shortname", "profile", "instancecount", "completion_ttl", "auto_delete", "results_whitelist"],
)
def test_what_is_settled_by_submission_cannot_be_set_after_it(task, attribute):
    with pytest.raises(AttributeError, match="can't be set on a submitted task"):
        setattr(task, attribute, getattr(task, attribute))


def test_a_senseless_time_to_live_is_refused_with_the_field_s_name(connection):
    task = connection.create_task("t", "p")
    with pytest.raises(ValueError, match="completion_ttl should be a timedelta or text like"):
        task.completion_ttl = "tomorrow"


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (400, "Invalid task file", QarnotGenericException),
        (402, "no money", NotEnoughCreditsException),
        (402, "this Hardware Constraint is not in your offer", QarnotGenericException),
        (403, "Maximum number of tasks reached", MaxTaskException),
        (403, "not allowed", UnauthorizedException),
        (404, "No such bucket: x", MissingBucketException),
        (409, "shortname taken", QarnotGenericException),
    ],
)
def test_a_refused_submission_says_why(connection, platform, refuse, status, message, expected):
    platform.prepare("POST /tasks", refuse(status, message))
    task = connection.create_task("t", "p")
    with pytest.raises(expected, match=message):
        task.submit()
    assert task.uuid is None


def test_values_of_the_platform_are_kept_for_five_seconds(task, platform, clock):
    assert (task.state, task.status, task.errors) == ("Submitted", None, [])
    assert platform.lines() == []
    clock.now += 4.9
    assert task.state == "Submitted"
    clock.now += 0.1
    assert task.state == "Submitted"
    assert platform.lines() == [f"GET /tasks/{task.uuid}"]
    assert task.creation_date == datetime(2026, 1, 31, 12)  # noqa: DTZ001 (documented without a zone)


def test_automatic_updates_can_be_switched_off_and_their_age_set(task, platform, clock):
    task.auto_update = False
    clock.now += 60
    assert task.state == "Submitted"
    assert platform.lines() == []
    task.update()
    task.auto_update, task.update_cache_time = True, 100
    clock.now += 60
    assert task.state == "Submitted"
    assert platform.lines() == [f"GET /tasks/{task.uuid}"]
    task.update(True)
    assert platform.lines() == [f"GET /tasks/{task.uuid}"]


def test_changes_wait_for_commit_and_survive_updates_until_then(task, platform, clock):
    task.tags = ["t3"]
    task.constants["A"] = "1"
    assert task.auto_update is False
    clock.now += 60
    assert (task.state, platform.lines()) == ("Submitted", [])
    task.update()
    assert (task.tags, task.constants) == (["t3"], {"A": "1"})
    platform.requests.clear()
    task.commit()
    (body,) = platform.bodies(f"PUT /tasks/{task.uuid}")
    assert (body["tags"], body["constants"]) == (["t3"], [{"key": "A", "value": "1"}])
    assert body["shortname"] == task.uuid
    assert task.auto_update is True
    assert platform.lines() == [f"PUT /tasks/{task.uuid}"]


def test_a_forced_update_gives_uncommitted_changes_up(task):
    task.constants["A"] = "1"
    task.update(True)
    assert task.constants == {}


def test_wait_ends_with_the_task(task, platform, clock):
    platform.script(task.uuid, {"state": "FullyExecuting"}, {"state": "UploadingResults"}, {"state": "Success"})
    assert task.wait() is True
    assert task.state == "Success"
    assert len(clock.pauses) == 2


def test_wait_goes_on_while_a_task_is_being_cancelled(task, platform):
    platform.script(task.uuid, {"state": "PendingCancel"}, {"state": "Cancelled"})
    assert task.wait() is True
    assert task.state == "Cancelled"


def test_wait_gives_up_after_its_timeout(task, clock):
    before = clock.now
    assert task.wait(timeout=7) is False
    assert clock.now == before + 7


def test_wait_for_a_task_that_is_not_submitted_says_that_it_is_not_over(connection, platform):
    assert connection.create_task("t", "p").wait() is False
    assert platform.lines() == []


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def test_states_and_output_are_followed(task, platform, answer):
    lines = Lines()
    task._connection.logger = task._connection.logger_stderr = logging.Logger("followed")
    task._connection.logger.addHandler(lines)
    platform.script(task.uuid, {"state": "FullyExecuting"}, {"state": "FullyExecuting"}, {"state": "Success"})
    out = f"POST /tasks/{task.uuid}/stdout"
    platform.prepare(out, answer(body="0> one\n"), answer(body=""), answer(body="1> two\n"))
    platform.prepare(f"POST /tasks/{task.uuid}/stderr", answer(body=""), answer(body=""), answer(body="1> oops\n"))
    assert task.wait(follow_state=True, follow_stdout=True, follow_stderr=True)
    assert lines.lines == [
        f"task {task.uuid} is FullyExecuting",
        "0> one",
        f"task {task.uuid} is Success",
        "1> two",
        "1> oops",
    ]


def test_run_submits_waits_and_fetches(connection, platform, tmp_path):
    task = connection.create_task("t", "docker-batch")
    task.results = connection.create_bucket("out")
    platform.buckets["out"]["dir/a.txt"] = (b"hello", '"5d41402abc4b2a76b9719d911017c592"')
    add = platform._add

    def submit(noun, body):
        uuid = add(noun, body)
        platform.script(uuid, {"state": "FullyExecuting"}, {"state": "Success", "resultsCount": 1})
        return uuid

    platform._add = submit
    task.run(str(tmp_path / "results"), job_timeout=100)
    assert (tmp_path / "results/dir/a.txt").read_bytes() == b"hello"
    assert "abort" not in " ".join(platform.lines())


def test_run_aborts_what_is_not_over_in_time(connection, platform):
    task = connection.create_task("t", "docker-batch")
    task.run(job_timeout=3)
    lines = platform.lines()
    assert f"POST /tasks/{task.uuid}/abort" in lines


def test_results_are_fetched_again_only_when_there_are_more(task, connection, platform, tmp_path):
    platform.things["tasks", task.uuid] |= {"resultBucket": "out", "resultsCount": 1, "state": "Success"}
    platform.buckets["out"] = {"a": (b"1", '"c4ca4238a0b923820dcc509a6f75849b"')}
    task.download_results(tmp_path)
    assert platform.s3_lines() == ["GET /out?encoding-type=url", "GET /out/a"]
    task.download_results(tmp_path)
    assert platform.s3_lines() == []
    platform.things["tasks", task.uuid]["resultsCount"] = 2
    task.download_results(tmp_path)
    assert platform.s3_lines() == ["GET /out?encoding-type=url"]


def test_looking_at_the_buckets_of_a_task_makes_none(task, platform):
    platform.things["tasks", task.uuid] |= {"resultBucket": "out", "resourceBuckets": ["in"]}
    task.update(True)
    assert (task.results.uuid, [bucket.uuid for bucket in task.resources]) == ("out", ["in"])
    assert (platform.s3_lines(), platform.buckets) == ([], {})


def test_results_without_a_bucket_are_none(task, platform, tmp_path):
    task.download_results(tmp_path)
    assert platform.s3_lines() == []


def test_results_of_a_bucket_that_is_gone_say_so(task, platform, tmp_path):
    platform.things["tasks", task.uuid] |= {"resultBucket": "gone", "resultsCount": 1}
    with pytest.raises(MissingBucketException, match="no such bucket: gone"):
        task.download_results(tmp_path)


def test_output_is_text_of_all_or_of_one_instance(task, platform, answer):
    path = f"/tasks/{task.uuid}"
    platform.prepare(f"GET {path}/stdout", answer(body="0> é\n"))
    platform.prepare(f"POST {path}/stdout/1", answer(body="fresh"))
    platform.prepare(f"GET {path}/stderr/1", answer(body="oops"))
    platform.prepare(f"POST {path}/stderr", answer(body=""))
    assert task.stdout() == "0> é\n"
    assert task.fresh_stdout(1) == "fresh"
    assert task.stderr(instanceId=1) == "oops"
    assert task.fresh_stderr() == ""


def test_an_instance_that_is_not_there_has_its_own_exception(task, platform, refuse):
    platform.prepare(f"GET /tasks/{task.uuid}/stdout/9", refuse(404, "No such instance: 9"))
    with pytest.raises(MissingTaskInstanceException, match="9"):
        task.stdout(9)


def test_output_of_a_task_that_is_not_submitted_is_empty(connection, platform):
    assert connection.create_task("t", "p").stdout() == ""
    assert platform.lines() == []


def test_abort_and_update_resources_look_before_and_after(task, platform):
    get = f"GET /tasks/{task.uuid}"
    task.abort()
    assert platform.lines() == [get, f"POST /tasks/{task.uuid}/abort", get]
    task.update_resources()
    assert platform.lines() == [get, f"PATCH /tasks/{task.uuid}", get]


def test_an_instant_snapshot_returns_its_id(task, platform, answer):
    line = f"POST /tasks/{task.uuid}/snapshot"
    platform.prepare(line, answer(body={"id": "snap-1"}))
    assert task.instant() == "snap-1"
    assert platform.bodies(line) == [{"whitelist": None, "blacklist": None, "bucket": None, "bucketPrefix": None}]


def test_a_snapshot_may_go_to_a_bucket_of_its_own(task, platform, connection):
    task.snapshot(30, "w", "b", connection.create_bucket("snaps"), "pre")
    assert platform.bodies(f"POST /tasks/{task.uuid}/snapshot/periodic") == [
        {"whitelist": "w", "blacklist": "b", "bucket": "snaps", "bucketPrefix": "pre", "interval": 30}
    ]


def test_a_refused_interval_is_a_value_error(task, platform, refuse):
    platform.prepare(f"POST /tasks/{task.uuid}/snapshot/periodic", refuse(400, "interval"))
    with pytest.raises(ValueError, match="-5"):
        task.snapshot(-5)


def test_a_snapshot_is_waited_for(task, platform, answer):
    line = f"GET /tasks/{task.uuid}/snapshot/snap-1"
    going = {"id": "snap-1", "status": "inProgress", "triggerDate": "2026-01-31T12:00:00.1234567Z"}
    platform.prepare(line, answer(body=going), answer(body={**going, "status": "success"}))
    assert task.wait_snapshot("snap-1") is True
    snapshot = task.snapshot_status("snap-1")
    assert (snapshot.status.is_completed, snapshot.trigger_date.microsecond) == (True, 123456)


def test_delete_forgets_the_task_and_purges_what_was_asked(connection, platform):
    task = connection.create_task("t", "docker-batch")
    task.resources = [connection.create_bucket("in"), connection.create_bucket("both")]
    task.results = task.resources[1]
    connection.create_bucket("other")
    task.submit()
    line = f"DELETE /tasks/{task.uuid}"
    platform.lines()
    task.delete(purge_resources=True, purge_results=True)
    assert platform.lines() == [line]
    assert (task.uuid, task.state, set(platform.buckets)) == (None, "Deleted", {"other"})
    task.delete()
    assert platform.lines() == []


def test_deleting_tolerates_a_bucket_that_is_gone(task, platform):
    platform.things["tasks", task.uuid] |= {"resultBucket": "gone"}
    task.update(True)
    task.delete(purge_results=True)
    assert task.uuid is None


def test_a_with_block_deletes_its_task(connection, platform):
    with connection.create_task("t", "docker-batch") as task:
        task.submit()
        assert len(platform.things) == 1
    assert platform.things == {}


def test_a_with_block_accepts_that_its_task_is_gone(connection, platform):
    with connection.create_task("t", "docker-batch") as task:
        task.submit()
        platform.things.clear()
    assert task.uuid is not None


def test_a_task_that_is_gone_says_so(task, platform):
    platform.things.clear()
    with pytest.raises(MissingTaskException, match="No such task"):
        task.update(True)
    with pytest.raises(MissingTaskException):
        task.commit()


def test_actions_need_a_submitted_task(connection):
    for action in ("abort", "commit", "update_resources", "instant", "credits", "carbon_facts"):
        with pytest.raises(MissingTaskException, match=f"{action} needs a submitted task"):
            getattr(connection.create_task("t", "p"), action)()


def test_what_the_platform_measured_is_read(task, platform):
    platform.things["tasks", task.uuid] |= {
        "completedInstances": [
            {"instanceId": 1, "state": "Success", "results": ["s3://host/out/a"], "execTimeSec": 0.5}
        ],
        "errors": [{"code": "E1", "message": "it broke"}],
        "status": {
            "executionProgress": 50.0,
            "succeededRange": "0-3",
            "runningInstancesInfo": {
                "perRunningInstanceInfo": [
                    {
                        "instanceId": 4,
                        "phase": "execution",
                        "activeForwards": [{"applicationPort": 22, "forwarderPort": 9022}],
                        "vpnConnections": None,
                    }
                ]
            },
        },
        "progress": 62.5,
        "executionTime": "00:00:38",
    }
    task.update(True)
    (instance,) = task.completed_instances
    assert (instance.instance_id, instance.state, instance.results) == (1, "Success", ["s3://host/out/a"])
    assert (task.errors[0].code, task.errors[0].message, task.errors[0].debug) == ("E1", "it broke", None)
    running = task.status.running_instances_info.per_running_instance_info[0]
    assert (running.phase, running.active_forward[0].forwarder_port, running.vpn_connections) == (
        "execution",
        9022,
        [],
    )
    assert (task.status.succeeded_range, task.progress, task.execution_time) == ("0-3", 62.5, "00:00:38")
    assert "it broke" in repr(task.errors[0]) and "0-3" in repr(task.status) and "Success" in repr(instance)


def test_many_tasks_are_submitted_at_once_and_the_refused_are_named(connection, platform):
    tasks = [connection.create_task(name, "docker-batch") for name in ("bulk0", "bulk1", "bad")]
    with pytest.raises(QarnotGenericException, match=r"'bad'.* : 400, Invalid task file"):
        connection.submit_tasks(tasks)
    bodies = platform.bodies("POST /tasks")
    assert [[item["name"] for item in body] for body in bodies] == [["bulk0", "bulk1", "bad"]]
    assert platform.lines() == ["POST /tasks"]
    assert (tasks[2].state, tasks[2].uuid) == ("UnSubmitted", None)
    assert (tasks[0].state, tasks[0].errors, tasks[0].constants) == ("Submitted", [], {})
    assert platform.lines() == [f"GET /tasks/{tasks[0].uuid}"]


def test_a_bulk_submission_sends_the_snapshots_and_leaves_submitted_tasks_alone(connection, platform, task):
    fresh = connection.create_task("t", "docker-batch")
    fresh.snapshot(60)
    connection.submit_tasks([task, fresh])
    assert platform.lines() == ["POST /tasks", f"POST /tasks/{fresh.uuid}/snapshot/periodic"]
    connection.submit_tasks([task, fresh])
    assert platform.lines() == []


def test_dependencies_are_simple_or_have_conditions_not_both(connection, platform, task):
    dependent = connection.create_task("d", "docker-batch")
    dependent.set_task_dependencies_from_tasks([task])
    with pytest.raises(ValueError, match="clear them before setting advanced ones"):
        dependent.set_task_advanced_dependencies([AdvancedDependency("x")])
    assert dependent.dependencies.depends_on == [task.uuid]
    dependent.remove_task_dependency(task.uuid)
    conditions = [TaskFinalStateSuccess(), TaskFinalStateFailure()]
    dependent.set_task_advanced_dependencies([AdvancedDependency(task.uuid, conditions)])
    with pytest.raises(ValueError, match="clear them before setting simple ones"):
        dependent.set_task_dependencies_from_uuids(["x"])
    dependent.submit()
    assert platform.bodies("POST /tasks")[-1]["dependencies"] == {
        "advancedDependsOn": [{"taskUuid": task.uuid, "taskFinalStateCondition": ["failure", "success"]}]
    }


def test_dependencies_of_a_submitted_task_tell_where_they_stand(connection, platform, task):
    item = {"taskUuid": "u", "taskFinalStateCondition": ["success"], "state": "Waiting", "actualFinalState": None}
    platform.things["tasks", task.uuid]["dependencies"] = {
        "dependsOn": ["u"],
        "advancedDependsOn": [item],
        "state": "waiting",
    }
    task.update(True)
    (one,) = task.dependencies.advanced_depends_on
    assert (one.task_uuid, one.state.value, task.dependencies.state.value) == ("u", "waiting", "waiting")


def test_credits_and_carbon_facts_are_asked_for(task, platform, answer):
    platform.prepare(f"GET /credits/v1/tasks/{task.uuid}/credits", answer(body={"credits": 1.25}))
    carbon = f"GET /carbon/v1/tasks/{task.uuid}/carbon-facts?comparisonDatacenter=dc"
    platform.prepare(carbon, answer(body={"total_consumed_energy_Wh": 3.5, "pue": 1.1}))
    assert task.credits().amount_in_cents == 125
    facts = task.carbon_facts("dc")
    assert (facts.energy_consumption_Wh, facts.PUE) == (3.5, 1.1)


def test_submissions_have_a_key_so_that_a_repeated_one_makes_nothing_twice(connection, platform):
    connection.create_task("t", "docker-batch").submit()
    connection.submit_tasks([connection.create_task("a", "docker-batch"), connection.create_task("b", "docker-batch")])
    posts = [request for request in platform.requests if request.line == "POST /tasks"]
    keys = [value for post in posts for name, value in post.headers.items() if name.lower() == "idempotency-key"]
    assert len(posts) == len(keys) == len(set(keys)) == 2
