"""New tasks made of old ones: retry, recover, resume, clone and restart."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hearth.api.read_task import TaskReader
from hearth.api.resubmission import changed, submission_of
from hearth.domain.spec import Dependencies, ResourceBucket, Retries, SchedulingClass, TaskSpec
from hearth.store.queries import tasks
from hearth.wire import agent as wire
from hearth_client.messages.submissions import KeyValue, RetrySettings, TaskSubmit
from tests.integration.api.sites import TestSite, a_task

# All that a specification can say, nothing of it as it is by default.
WHOLE = TaskSpec(
    constants={"DOCKER_CMD": "echo ${X}", "QARNOT_SECRET__X": "hidden"},
    constraints={"a": "b"},
    resources=(ResourceBucket("in", "a/", "b/", 7), ResourceBucket("in2")),
    resources_are_advanced=True,
    default_cache_ttl_seconds=5,
    result_bucket="out",
    results_prefix="p/",
    results_whitelist="w",
    results_blacklist="b",
    results_cache_ttl_seconds=6,
    snapshot_whitelist="sw",
    snapshot_blacklist="sb",
    snapshot_bucket="snap",
    snapshot_prefix="sp/",
    tags=("t1", "t2"),
    labels={"k": "v"},
    retries=Retries(3, 2),
    auto_delete=True,
    completion_ttl_seconds=100_000,
    wait_for_pool_resources=True,
    upload_on_cancel=True,
    max_queue_seconds=60,
    hardware=({"discriminator": "MinimumCoreHardwareConstraint", "coreCount": 2},),
    export_credentials=True,
    scheduling=SchedulingClass.RESERVED,
    reserved_key="key",
    forced_constants=({"constantName": "F", "forcedValue": "1", "access": "ReadOnly"},),
    forced_network_rules=({"inbound": True, "proto": "tcp"},),
    secrets_by_key=("s",),
    secrets_by_prefix=("s/",),
)
# Not in a submission, or not together with the others.
LEFT_OUT = {"from_ranges", "counted_as", "dependencies", "max_retries_per_instance"}


async def reader(site: TestSite) -> TaskReader:
    account, _ = await site.account()
    return TaskReader(account, site.site.profiles, site.site.new_uuid)


def test_nothing_that_a_specification_can_say_is_left_out_here() -> None:
    default = TaskSpec()
    assert {name for name in default.__slots__ if getattr(WHOLE, name) == getattr(default, name)} == LEFT_OUT
    assert default.dependencies == Dependencies()


@pytest.mark.parametrize(
    "spec",
    [WHOLE, TaskSpec(constants={"A": "1"}, resources=(ResourceBucket("in"),), max_retries_per_instance=4), TaskSpec()],
    ids=["whole", "older", "bare"],
)
async def test_a_stored_task_submitted_anew_is_the_same(site: TestSite, spec: TaskSpec) -> None:
    told = submission_of("hello", "docker-batch", None, spec)
    told = changed(told, TaskSubmit(instance_count=3))
    assert (await reader(site)).read(told).spec == spec


def test_one_way_to_say_a_thing_takes_the_place_of_the_other() -> None:
    base = submission_of("hello", "docker-batch", None, WHOLE)
    assert changed(base, TaskSubmit(resource_buckets=["x"])).advanced_resource_buckets is None
    assert changed(base, TaskSubmit(max_retries_per_instance=1)).retry_settings is None
    assert changed(base, TaskSubmit(targeted_reserved_machine_key="m")).targeted_reservation_name is None
    older = submission_of("hello", "docker-batch", None, TaskSpec(max_retries_per_instance=4))
    assert changed(older, TaskSubmit(retry_settings=RetrySettings())).max_retries_per_instance == 4
    assert changed(older, TaskSubmit(retry_settings=RetrySettings(1))).max_retries_per_instance is None
    pool = "00000000-0000-7000-8000-00000000000a"
    assert changed(base, TaskSubmit(pool_uuid=pool)).profile is None


def test_what_a_typed_client_sends_for_nothing_changes_nothing() -> None:
    base = submission_of("hello", "docker-batch", None, WHOLE)
    nothing = TaskSubmit(
        name="",
        shortname="",
        profile="",
        pool_uuid="00000000-0000-0000-0000-000000000000",
        job_uuid="",
        instance_count=0,
        advanced_ranges="",
        retry_settings=RetrySettings(),
    )
    assert changed(base, nothing) == base
    assert changed(base, TaskSubmit(constants=[KeyValue("QARNOT_SECRET__X", "[SECRET]")])).constants == [
        KeyValue("QARNOT_SECRET__X", "hidden")
    ]


async def ended(site: TestSite, api: httpx.AsyncClient, **asked: Any) -> str:
    """Return a task of which 1 and 3 failed, 5 to 9 were cancelled, and the others succeeded."""
    body = a_task(instanceCount=10, tags=["a"], labels={"k": "v"}, shortname="first", **asked)
    uuid = str((await api.post("/tasks", json=body)).json()["uuid"])
    [grant] = await site.dispatch(cores=5)
    await site.tell(
        ended=[
            wire.Ended(
                grant.task.id,
                number,
                grant.attempt,
                at=site.clock.now,
                exit_code=number % 2,
                error_code="EXIT_CODE" if number % 2 else "",
                error_message="it failed" if number % 2 else "",
            )
            for number in grant.numbers
        ]
    )
    await api.post(f"/tasks/{uuid}/abort")
    task = (await api.get(f"/tasks/{uuid}")).json()
    assert (task["state"], task["status"]["failedOnlyRange"], task["status"]["cancelledRange"]) == (
        "Cancelled",
        "1,3",
        "5-9",
    )
    return uuid


@pytest.mark.parametrize(("verb", "ranges"), [("retry", "1,3"), ("resume", "5-9"), ("recover", "1,3,5-9")])
async def test_those_that_ended_so_are_run_again_as_a_new_task(
    site: TestSite, api: httpx.AsyncClient, verb: str, ranges: str
) -> None:
    uuid = await ended(site, api)
    answer = await api.post(f"/tasks/first/{verb}")
    new = answer.json()["uuid"]
    assert answer.status_code == 200 and answer.json() == {"uuid": new} and new != uuid
    assert answer.headers["Location"] == f"http://api.test/tasks/{new}"
    task = (await api.get(f"/tasks/{new}")).json()
    told = {key: task[key] for key in ("state", "advancedRanges", "instanceCount", "tags", "labels", "shortname")}
    assert told == {
        "state": "Submitted",
        "advancedRanges": ranges,
        "instanceCount": 0,
        "tags": ["a"],
        "labels": {"k": "v"},
        "shortname": new,
    }
    assert [one["uuid"] for one in (await api.get("/tasks", params={"tag": "a"})).json()] == [new, uuid]
    assert (await api.get(f"/tasks/{uuid}")).json()["state"] == "Cancelled"


async def test_an_instance_that_runs_again_sees_the_first_count(site: TestSite, api: httpx.AsyncClient) -> None:
    from hearth.control.work import work

    await ended(site, api)
    first = (await api.post("/tasks/first/retry")).json()["uuid"]
    await site.run(exit_code=1)
    for uuid in (first, (await api.post(f"/tasks/{first}/retry")).json()["uuid"]):
        row = await site.site.store.read(tasks.find, 1, uuid)
        assert row is not None
        assert (row.instance_total, work(site.site, row).total) == (2, 10)
    cloned = (await api.post(f"/tasks/{first}/clone", json={"instanceCount": 4})).json()["uuid"]
    row = await site.site.store.read(tasks.find, 1, cloned)
    assert row is not None and work(site.site, row).total == 4


async def test_a_clone_has_all_instances_of_a_task_that_runs(site: TestSite, api: httpx.AsyncClient) -> None:
    for asked, ranges, count, total in (
        ({"instanceCount": 10}, None, 10, 10),
        ({"instanceCount": ..., "advancedRanges": "1-3, 8"}, "1-3,8", 0, 4),
    ):
        uuid = (await api.post("/tasks", json=a_task(**asked))).json()["uuid"]
        await site.dispatch(cores=2)
        new = (await api.post(f"/tasks/{uuid}/clone")).json()["uuid"]
        task = (await api.get(f"/tasks/{new}")).json()
        assert (task["advancedRanges"], task["instanceCount"], task["totalInstanceCount"]) == (ranges, count, total)


async def test_a_body_changes_what_it_names(site: TestSite, api: httpx.AsyncClient) -> None:
    await ended(site, api)
    body = {
        "Name": "second",
        "shortname": "second",
        "tags": ["b"],
        "constants": [{"key": "DOCKER_CMD", "value": "true"}],
        "labels": None,
        "completionTimeToLive": "1.00:00:00",
    }
    assert (await api.post("/tasks/first/retry", json=body)).status_code == 200
    task = (await api.get("/tasks/second")).json()
    assert {key: task[key] for key in ("name", "tags", "constants", "labels", "completionTimeToLive")} == {
        "name": "second",
        "tags": ["b"],
        "constants": [{"key": "DOCKER_CMD", "value": "true"}],
        "labels": {"k": "v"},
        "completionTimeToLive": "1.00:00:00",
    }
    assert (await api.post("/tasks/first/clone", json={"advancedRanges": "7-8", "instanceCount": 0})).status_code == 200


async def test_a_whole_answer_may_be_sent_back_and_secrets_stay(site: TestSite, api: httpx.AsyncClient) -> None:
    constants = [{"key": "DOCKER_CMD", "value": "true"}, {"key": "QARNOT_SECRET__X", "value": "hidden"}]
    forced = [{"constantName": "QARNOT_SECRET__Y", "forcedValue": "buried"}]
    uuid = await ended(site, api, constants=constants, forcedConstants=forced)
    whole = (await api.get(f"/tasks/{uuid}")).json()
    whole.pop("shortname")
    for path, body in (("retry", whole), ("clone", whole), ("recover", {}), ("restart", None)):
        answer = await api.post(f"/tasks/{uuid}/{path}", json=body)
        assert answer.status_code == 200, answer.text
        new = answer.headers["Location"].rpartition("/")[2]
        row = await site.site.store.read(tasks.find, 1, new)
        assert row is not None
        assert row.parsed_spec().constants == {"DOCKER_CMD": "true", "QARNOT_SECRET__X": "hidden"}
        assert row.parsed_spec().forced_constants == tuple(forced)
        shown = await api.get(f"/tasks/{new}")
        assert "hidden" not in shown.text and "buried" not in shown.text


async def test_a_restart_is_a_clone_whose_place_is_told(api: httpx.AsyncClient) -> None:
    uuid = (await api.post("/tasks", json=a_task(instanceCount=3))).json()["uuid"]
    answer = await api.post(f"/tasks/{uuid}/restart")
    assert (answer.status_code, answer.content) == (200, b"")
    place = answer.headers["Location"]
    assert place.startswith("http://api.test/tasks/") and not place.endswith(uuid)
    assert (await api.get(place)).json()["totalInstanceCount"] == 3


@pytest.mark.parametrize("verb", ["retry", "resume", "recover"])
async def test_what_runs_is_not_run_again(site: TestSite, api: httpx.AsyncClient, verb: str) -> None:
    uuid = (await api.post("/tasks", json=a_task())).json()["uuid"]
    for state in ("Submitted", "FullyDispatched"):
        answer = await api.post(f"/tasks/{uuid}/{verb}")
        assert (answer.status_code, answer.json()) == (
            409,
            {"message": f"the task is {state}: {verb} is possible when it has ended; wait for its end, or abort it"},
        )
        await site.dispatch()


@pytest.mark.parametrize(
    ("verb", "sentence"),
    [
        ("retry", "there is nothing to retry: no instance of the task has failed"),
        ("resume", "there is nothing to resume: no instance of the task has been cancelled"),
        ("recover", "there is nothing to recover: no instance of the task has failed or been cancelled"),
    ],
)
async def test_where_there_is_nothing_to_do_again_it_is_said(
    site: TestSite, api: httpx.AsyncClient, verb: str, sentence: str
) -> None:
    uuid = (await api.post("/tasks", json=a_task())).json()["uuid"]
    await site.run()
    answer = await api.post(f"/tasks/{uuid}/{verb}")
    assert (answer.status_code, answer.json()["message"]) == (400, sentence)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"instanceCount": 4}, "instanceCount: cannot be chosen: retry runs the instances that ended so"),
        ({"advancedRanges": "1"}, "advancedRanges: cannot be chosen: retry runs the instances that ended so"),
        ({"shortname": "first"}, "shortname: 'first' is the name of another task of yours; choose another"),
        ({"tags": ["x" * 600]}, "tags[0]: has 600 characters, at most 511 are possible"),
        ({"profile": "none"}, "profile: "),
        ({"constants": [{"key": "a b", "value": "1"}]}, "constants[0].key: 'a b' should be letters"),
        ({"resourceBuckets": ["none"]}, "No such bucket: none"),
        ({"maxRetriesPerInstance": 1, "retrySettings": {"maxTotalRetries": 2}}, "maxRetriesPerInstance: "),
        ([], "body: expected an object, got a list"),
    ],
    ids=lambda value: next(iter(value), "list") if isinstance(value, dict | list) else "",
)
async def test_a_body_is_checked_as_a_submission_is(
    site: TestSite, api: httpx.AsyncClient, body: object, sentence: str
) -> None:
    await ended(site, api)
    answer = await api.post("/tasks/first/retry", json=body)
    assert answer.status_code in (400, 404, 409)
    assert answer.json()["message"].startswith(sentence), answer.text
    assert len((await api.get("/tasks/summaries")).json()) == 1


async def test_a_body_that_repeats_the_count_changes_nothing(site: TestSite, api: httpx.AsyncClient) -> None:
    await ended(site, api)
    assert (await api.post("/tasks/first/retry", json={"instanceCount": 10})).status_code == 200


async def test_the_quota_of_tasks_counts_new_ones_too(site: TestSite) -> None:
    _, token = await site.account(max_tasks=1)
    async with site.client(token) as api:
        await ended(site, api)
        answer = await api.post("/tasks/first/retry")
        assert answer.status_code == 403
        assert answer.json()["message"].startswith("Maximum number of tasks reached: 1 of 1")
