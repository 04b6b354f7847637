"""A task that runs is changed: its resources are pushed, its constants and tags are other ones."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from hearth.control.work import CACHE_TTL_SECONDS, work
from hearth.store.queries import buckets, tasks
from hearth.wire import agent as wire
from tests.integration.api.fake_agent import FakeAgent
from tests.integration.api.sites import TestSite, a_task
from tests.integration.api.test_tasks import submitted

SIMULATION = """
max_wall_seconds = 7200
[[constants]]
name = "USE_SIMULATION_MAXIMUM_EXECUTION_TIME"
value = "false"
[[constants]]
name = "SIMULATION_MAXIMUM_EXECUTION_TIME"
value = "8h"
"""


@pytest.fixture
def agent(site: TestSite) -> FakeAgent:
    return FakeAgent(site)


async def work_of(site: TestSite, uuid: str) -> wire.Work:
    """What agents are told of a task."""
    row = await site.site.store.read(tasks.find, 1, uuid)
    assert row is not None
    return work(site.site, row)


# PATCH: resources


async def test_a_push_is_told_until_the_node_has_it(api: httpx.AsyncClient, site: TestSite, agent: FakeAgent) -> None:
    uuid = await submitted(api)
    [key] = await agent.start()
    question = await agent.park()
    answer = await api.patch(f"/tasks/{uuid}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await question).updates == [wire.Update(key[0], 1)]
    assert (await agent.sync()).updates == [wire.Update(key[0], 1)]
    agent.versions[key[0]] = 1
    assert (await agent.sync()).updates == []
    assert (await work_of(site, uuid)).resources_version == 1


async def test_a_push_survives_the_server(api: httpx.AsyncClient, agent: FakeAgent) -> None:
    uuid = await submitted(api)
    [key] = await agent.start()
    assert (await api.patch(f"/tasks/{uuid}")).status_code == 200
    agent.meet_new_server()
    assert (await agent.sync()).updates == [wire.Update(key[0], 1)]


async def test_a_task_that_does_not_run_is_not_pushed_to(
    api: httpx.AsyncClient, site: TestSite, agent: FakeAgent
) -> None:
    waiting = await submitted(api)
    answer = await api.patch(f"/tasks/{waiting}")
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "the task is not running: its state is Submitted, and no node holds an instance to update",
    )
    await site.run()
    answer = await api.patch(f"/tasks/{waiting}")
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("the task is not running: its state is Success")
    assert (await api.patch("/tasks/nobodys")).status_code == 404


# PUT: constants and tags


async def test_puts_at_one_time_keep_each_others_half(api: httpx.AsyncClient) -> None:
    uuid = await submitted(api)
    for turn in range(5):
        constants = [{"key": "TURN", "value": str(turn)}]
        answers = await asyncio.gather(
            api.put(f"/tasks/{uuid}", json={"constants": constants}),
            api.put(f"/tasks/{uuid}", json={"tags": [f"tag-{turn}"]}),
        )
        assert [answer.status_code for answer in answers] == [200, 200]
        task = (await api.get(f"/tasks/{uuid}")).json()
        assert (task["constants"], task["tags"]) == (constants, [f"tag-{turn}"])


async def test_a_secret_that_is_sent_back_as_shown_is_the_newest_one(api: httpx.AsyncClient, site: TestSite) -> None:
    secret = "QARNOT_SECRET__PASSWORD"
    uuid = await submitted(api, constants=[{"key": secret, "value": "first"}])
    await asyncio.gather(
        api.put(f"/tasks/{uuid}", json={"constants": [{"key": secret, "value": "second"}]}),
        *(api.put(f"/tasks/{uuid}", json={"constants": [{"key": secret, "value": "[SECRET]"}]}) for _ in range(5)),
    )
    assert (await work_of(site, uuid)).constants[secret] == "second"


async def test_instances_that_start_later_see_the_new_constants(
    api: httpx.AsyncClient, site: TestSite, agent: FakeAgent
) -> None:
    uuid = await submitted(api, instanceCount=2, constants=[{"key": "WHICH", "value": "old"}])
    await site.dispatch(cores=1)
    [before] = (await agent.sync()).works
    await api.put(f"/tasks/{uuid}", json={"constants": [{"key": "WHICH", "value": "new"}]})
    await site.dispatch(cores=1)
    [after] = (await agent.sync()).works
    assert (before.constants["WHICH"], after.constants["WHICH"]) == ("old", "new")


async def test_an_ended_task_takes_new_tags_and_constants(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api)
    await site.run()
    constants = [{"key": "A", "value": "1"}]
    assert (await api.put(f"/tasks/{uuid}", json={"tags": ["kept"], "constants": constants})).status_code == 200
    task = (await api.get(f"/tasks/{uuid}")).json()
    assert (task["state"], task["tags"], task["constants"]) == ("Success", ["kept"], constants)


async def test_constraints_are_nothing_that_a_put_changes(api: httpx.AsyncClient) -> None:
    uuid = await submitted(api, constraints=[{"key": "K", "value": "submitted"}])
    said = {"constraints": [{"key": "K", "value": "changed"}]}
    assert (await api.put(f"/tasks/{uuid}", json=said)).status_code == 200
    assert (await api.get(f"/tasks/{uuid}")).json()["constraints"] == [{"key": "K", "value": "submitted"}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"tags": [f"t{n}" for n in range(11)]}, "tags: there are 11, at most 10 are possible"),
        ({"tags": [""]}, "tags[0]: is empty"),
        ({"constants": [{"key": "a b", "value": "1"}]}, "constants[0].key: 'a b' should be letters, digits"),
        ({"constants": [{"key": f"K{n}", "value": ""} for n in range(151)]}, "constants: there are 151, at most 150"),
        ({"constants": [{"key": "K", "value": None}]}, "constants[0].value: may not be null"),
    ],
)
async def test_a_put_is_checked_like_a_submission(
    api: httpx.AsyncClient, body: dict[str, object], message: str
) -> None:
    uuid = await submitted(api)
    answer = await api.put(f"/tasks/{uuid}", json=body)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(message)


# What agents are told


@pytest.fixture
def simulations(site: TestSite, api: httpx.AsyncClient) -> httpx.AsyncClient:
    """The API of a site that has a profile with a time limit."""
    (site.folder / "profiles").mkdir(exist_ok=True)
    (site.folder / "profiles" / "simulation.toml").write_text(SIMULATION)
    return api


def limited(value: str, used: str = "true") -> list[dict[str, str]]:
    return [
        {"key": "USE_SIMULATION_MAXIMUM_EXECUTION_TIME", "value": used},
        {"key": "SIMULATION_MAXIMUM_EXECUTION_TIME", "value": value},
    ]


async def test_runs_have_the_shorter_limit_of_profile_and_constants(
    simulations: httpx.AsyncClient, site: TestSite
) -> None:
    seconds = {}
    for value, used in (("8h", "false"), ("8h", "true"), ("30m", "true")):
        uuid = await submitted(simulations, profile="simulation", constants=limited(value, used))
        seconds[(value, used)] = (await work_of(site, uuid)).run_seconds
    assert seconds == {("8h", "false"): 7200, ("8h", "true"): 7200, ("30m", "true"): 1800}
    plain = await submitted(simulations, constants=limited("30m"))
    assert (await work_of(site, plain)).run_seconds == 0


async def test_a_limit_that_cannot_be_read_is_refused_at_submit_and_at_put(simulations: httpx.AsyncClient) -> None:
    message = "constants.SIMULATION_MAXIMUM_EXECUTION_TIME: 'soon' is not a time: write for example 8h, 1d or 1h30m"
    answer = await simulations.post("/tasks", json=a_task(profile="simulation", constants=limited("soon")))
    assert (answer.status_code, answer.json()["message"]) == (400, message)
    uuid = await submitted(simulations, profile="simulation")
    answer = await simulations.put(f"/tasks/{uuid}", json={"constants": limited("soon")})
    assert (answer.status_code, answer.json()["message"]) == (400, message)
    answer = await simulations.put(f"/tasks/{uuid}", json={"constants": limited("8h", "maybe")})
    assert answer.json()["message"] == (
        "constants.USE_SIMULATION_MAXIMUM_EXECUTION_TIME: 'maybe' is neither true nor false"
    )


async def test_resources_are_kept_as_long_as_bucket_task_or_contract_say(
    api: httpx.AsyncClient, site: TestSite
) -> None:
    for name in ("a", "b"):
        await site.site.store.write(buckets.create, 1, name, site.clock.now)
    told = [{"bucketName": "a", "cacheTTLSec": 60}, {"bucketName": "b"}]
    plain = await submitted(api, advancedResourceBuckets=told)
    short = await submitted(api, advancedResourceBuckets=told, defaultResourcesCacheTTLSec=0)
    assert (await work_of(site, plain)).resources == [
        wire.Resource("a", cache_ttl_seconds=60),
        wire.Resource("b", cache_ttl_seconds=CACHE_TTL_SECONDS),
    ]
    assert [r.cache_ttl_seconds for r in (await work_of(site, short)).resources] == [60, 1]


async def test_forced_constants_are_over_the_tasks_own_and_may_stay_out_of_the_environment(
    api: httpx.AsyncClient, site: TestSite
) -> None:
    forced = [
        {"constantName": "A", "forcedValue": "2", "access": "readOnly"},
        {"constantName": "B", "forceExportInEnvironment": False},
    ]
    uuid = await submitted(
        api, constants=[{"key": "A", "value": "1"}, {"key": "B", "value": "b"}], forcedConstants=forced
    )
    told = await work_of(site, uuid)
    assert (told.constants["A"], told.constants["B"], told.unexported) == ("2", "b", ["B"])
    assert (await api.get(f"/tasks/{uuid}")).json()["forcedConstants"] == [
        {"constantName": "A", "forcedValue": "2", "forceExportInEnvironment": None, "access": "ReadOnly"},
        {"constantName": "B", "forcedValue": None, "forceExportInEnvironment": False, "access": None},
    ]
