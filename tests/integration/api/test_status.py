"""The status of a task and its instances: times that are sums, measurements that a node told, errors."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hearth.control.clean_up import end_overdue
from hearth.domain.instance import Phase
from hearth.wire import agent as wire
from tests.integration.api.sites import OFFER, SECOND, TestSite, a_task

Key = tuple[int, int, int]
MEBIBYTE = 1 << 20


async def submitted(api: httpx.AsyncClient, **changes: object) -> str:
    answer = await api.post("/tasks", json=a_task(**changes))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["uuid"])


async def shown(api: httpx.AsyncClient, uuid: str) -> Any:
    return (await api.get(f"/tasks/{uuid}")).json()


async def held(site: TestSite, cores: float = 64.0) -> list[Key]:
    return [(g.task.id, n, g.attempt) for g in await site.dispatch(cores) for n in g.numbers]


def measure(site: TestSite, key: Key, phase: Phase = Phase.EXECUTION, **values: Any) -> None:
    """Let the node tell a measurement."""
    usage = wire.Usage(*key, phase=phase, at=site.clock.now, **values)
    site.site.usages.take(site.node_id, 1, [usage], [], site.clock.now)


async def test_a_running_instance_shows_what_its_node_measured(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(
        api, hardwareConstraints=[{"discriminator": "MinimumRamHardwareConstraint", "minimumMemoryMB": 64}]
    )
    [key] = await held(site)
    await site.tell(started=[wire.Started(*key, site.clock.now)])
    site.clock.pass_seconds(10)
    measure(
        site,
        key,
        cpu_cores=0.75,
        cpu_microseconds=7 * SECOND,
        memory_bytes=16 * MEBIBYTE,
        peak_memory=20 * MEBIBYTE,
        network_in_kbps=80.0,
        network_out_kbps=8.0,
        frequency_ghz=1.6,
    )
    status = (await shown(api, uuid))["status"]
    assert status["instanceCount"] == 1  # of those that run now
    assert status["runningInstancesInfo"] == {
        "timestamp": "2026-05-01T12:00:10Z",
        "averageFrequencyGHz": 1.6,
        "maxFrequencyGHz": 1.6,
        "minFrequencyGHz": 1.6,
        "averageMaxFrequencyGHz": 2.0,
        "averageCpuUsage": 75.0,
        "clusterPowerIndicator": 1.25,
        "averageMemoryUsage": 0.25,
        "averageNetworkInKbps": 80.0,
        "averageNetworkOutKbps": 8.0,
        "totalNetworkInKbps": 80.0,
        "totalNetworkOutKbps": 8.0,
        "snapshotResults": [],
        "runningCoreCountByCpuModel": [{"model": "Model T", "core": 1, "runningCorecount": 1}],
        "perRunningInstanceInfo": [
            {
                "phase": "execution",
                "instanceId": 0,
                "maxFrequencyGHz": 2.0,
                "currentFrequencyGHz": 1.6,
                "cpuUsage": 75.0,
                "maxMemoryMB": 64,
                "currentMemoryMB": 16,
                "memoryUsage": 0.25,
                "networkInKbps": 80.0,
                "networkOutKbps": 8.0,
                "progress": 0.0,
                "executionTimeSec": 10.0,
                "executionTimeGHz": 20.0,
                "specificationKey": OFFER.specification_key,
                "cpuModel": "Model T",
                "coreCount": 1,
                "executionAttemptCount": 1,
                "clockRatio": 1.0,
                "activeForwards": [],
                "vpnConnections": [],
            }
        ],
    }


async def test_what_nobody_measured_is_0(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api)
    [key] = await held(site)
    await site.tell(started=[wire.Started(*key, site.clock.now)])
    info = (await shown(api, uuid))["status"]["runningInstancesInfo"]
    [one] = info["perRunningInstanceInfo"]
    measured = ("cpuUsage", "currentMemoryMB", "memoryUsage", "networkInKbps", "networkOutKbps", "currentFrequencyGHz")
    assert [one[name] for name in measured] == [0] * len(measured)
    assert (info["averageFrequencyGHz"], info["clusterPowerIndicator"]) == (0.0, 1.0)


async def test_a_measurement_of_another_attempt_is_not_shown(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api)
    [(task, number, attempt)] = await held(site)
    measure(site, (task, number, attempt + 1), cpu_cores=1.0)
    await site.tell(started=[wire.Started(task, number, attempt, site.clock.now)])
    [one] = (await shown(api, uuid))["status"]["runningInstancesInfo"]["perRunningInstanceInfo"]
    assert one["cpuUsage"] == 0.0


@pytest.mark.parametrize(
    ("told", "phase"), [(None, "dispatch"), (Phase.DOWNLOAD, "download"), (Phase.ENVIRONMENT, "environment")]
)
async def test_the_phase_before_the_start_is_what_the_node_told(
    api: httpx.AsyncClient, site: TestSite, told: Phase | None, phase: str
) -> None:
    uuid = await submitted(api)
    [key] = await held(site)
    if told is not None:
        measure(site, key, told)
    [one] = (await shown(api, uuid))["status"]["runningInstancesInfo"]["perRunningInstanceInfo"]
    assert (one["phase"], one["executionTimeSec"]) == (phase, 0.0)


async def test_the_phases_from_the_start_on(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api, instanceCount=3)
    first, second, third = await held(site)
    await site.tell(started=[wire.Started(*key, site.clock.now) for key in (first, second, third)])
    await site.tell(exited=[wire.Exited(*second, 0, site.clock.now)])
    measure(site, third, Phase.SHUTDOWN)
    running = (await shown(api, uuid))["status"]["runningInstancesInfo"]["perRunningInstanceInfo"]
    assert [(one["instanceId"], one["phase"], one["progress"]) for one in running] == [
        (0, "execution", 0.0),
        (2, "shutdown", 0.0),
        (1, "upload", 100.0),
    ]
    await api.post(f"/tasks/{uuid}/abort")
    running = (await shown(api, uuid))["status"]["runningInstancesInfo"]["perRunningInstanceInfo"]
    assert [one["phase"] for one in running] == ["shutdown"] * 3


async def test_times_are_those_of_what_is_over_and_of_what_goes_on(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api, instanceCount=2)
    first, second = await held(site)
    site.clock.pass_seconds(5)
    starts = [wire.Started(*key, site.clock.now, 3 * SECOND) for key in (first, second)]
    await site.tell(started=starts)
    begin = site.clock.now
    site.clock.pass_seconds(12)
    ended = wire.Ended(*first, at=site.clock.now, exit_code=0, started_at=begin, exited_at=begin + 10 * SECOND)
    await site.tell(ended=[ended])
    site.clock.pass_seconds(8)
    task = await shown(api, uuid)
    status = task["status"]
    assert {name: value for name, value in status.items() if name.endswith(("Sec", "Time"))} == {
        "downloadTime": "00:00:06",
        "downloadTimeSec": 6.0,
        "environmentTime": "00:00:04",
        "environmentTimeSec": 4.0,
        "executionTime": "00:00:30",
        "executionTimeSec": 30.0,
        "uploadTime": "00:00:02",
        "uploadTimeSec": 2.0,
        "wallTime": "00:00:25",
        "wallTimeSec": 25.0,
    }
    assert (task["executionTime"], task["wallTime"], task["progress"]) == ("00:00:30", "00:00:25", 50.0)
    key, site_uuid = OFFER.specification_key, site.site.site_id
    assert {name: value for name, value in status.items() if "TimeBy" in name or "TimeGhzBy" in name} == {
        "executionTimeByCpuModel": [{"model": "Model T", "time": 30.0, "core": 1}],
        "executionTimeGhzByCpuModel": [{"model": "Model T", "timeGhz": 60.0, "clockRatio": 1.0, "core": 1}],
        "executionTimeByMachineSpecification": [{"specificationKey": key, "time": 30.0}],
        "executionTimeBySiteAndMachine": [{"siteUuid": site_uuid, "specificationKey": key, "time": 30.0}],
        "executionTimeByInstanceId": [
            {
                "instanceId": number,
                "specificationKey": key,
                "siteUuid": site_uuid,
                "time": seconds,
                "timeGhz": 2 * seconds,
                "clockRatio": 1.0,
            }
            for number, seconds in ((0, 10.0), (1, 20.0))
        ],
    }
    assert (status["downloadProgress"], status["executionProgress"], status["uploadProgress"]) == (100.0, 50.0, 50.0)


async def test_a_status_is_of_now_until_the_task_has_ended(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api)

    async def moments() -> dict[str, str]:
        status = (await shown(api, uuid))["status"]
        return {name: status[name] for name in ("timestamp", "lastUpdateTimestamp")}

    assert await moments() == dict.fromkeys(("timestamp", "lastUpdateTimestamp"), "2026-05-01T12:00:00Z")
    site.clock.pass_seconds(10)
    assert await moments() == dict.fromkeys(("timestamp", "lastUpdateTimestamp"), "2026-05-01T12:00:10Z")
    await site.run(seconds=2)
    site.clock.pass_seconds(10)
    assert await moments() == {"timestamp": "2026-05-01T12:00:22Z", "lastUpdateTimestamp": "2026-05-01T12:00:12Z"}


async def test_ranges_tell_who_ended_how(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api, instanceCount=6)
    keys = await held(site, cores=4)
    await site.tell(started=[wire.Started(*key, site.clock.now) for key in keys[:3]])
    await site.tell(ended=[wire.Ended(*keys[0], at=1, exit_code=0), wire.Ended(*keys[1], at=1, error_code="EXIT_CODE")])
    await api.post(f"/tasks/{uuid}/abort")
    await site.tell(ended=[wire.Ended(*key, at=1, exit_code=137, error_code="EXIT_CODE") for key in keys[2:]])
    task = await shown(api, uuid)
    assert task["state"] == "Cancelled"
    assert {name: value for name, value in task["status"].items() if name.endswith("Range")} == {
        "succeededRange": "0",
        "executedRange": "0-5",
        "failedRange": "1-5",
        "cancelledRange": "2-5",
        "failedOnlyRange": "1",
        "startedOnceRange": "0-2",
    }


async def test_a_cancelled_instance_is_cancelled_and_not_failed(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api)
    [key] = await held(site)
    await site.tell(started=[wire.Started(*key, site.clock.now)])
    await api.post(f"/tasks/{uuid}/abort")
    await site.tell(ended=[wire.Ended(*key, at=1, exit_code=137, error_code="EXIT_CODE", error_message="killed")])
    for task in (await shown(api, uuid), (await api.get("/tasks")).json()[0]):
        [done] = task["completedInstances"]
        assert done["state"] == "Cancelled"
        assert done["error"] == {"code": "CANCELLED", "message": "Instance 0: it was cancelled", "debug": None}
        assert task["errors"] == [{"code": "CANCELLED", "message": "The task was cancelled", "debug": None}]


async def test_a_failure_shows_what_the_command_said_last(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api)
    [key] = await held(site)
    end = wire.Ended(
        *key,
        at=1,
        exit_code=2,
        error_code="EXIT_CODE",
        error_message="the command ended with exit code 2",
        notes=["the network was off"],
        debug="no such file: a.txt",
    )
    await site.tell(ended=[end])
    task = await shown(api, uuid)
    [done] = task["completedInstances"]
    error = {
        "code": "EXIT_CODE",
        "message": "Instance 0: the command ended with exit code 2",
        "debug": "no such file: a.txt",
    }
    assert (done["error"], task["errors"], done["notes"]) == (error, [error], ["the network was off"])


async def test_pages_of_ended_instances_stay_while_others_end(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api, instanceCount=12)
    keys = await held(site)
    await site.tell(ended=[wire.Ended(*key, at=1, exit_code=0) for key in keys[::2]])
    seen: list[int] = []
    after: Any = -1
    while after is not None:
        page = (await api.get(f"/tasks/{uuid}/instances", params={"after": after, "limit": 2})).json()
        seen += [one["instanceId"] for one in page["data"]]
        after = page["nextToken"]
        # One that lies behind the page and one before it end meanwhile.
        behind = [key for key in keys[1::2] if key[1] < seen[-1]][-1:]
        await site.tell(ended=[wire.Ended(*key, at=1, exit_code=0) for key in (*behind, keys[11])])
    assert seen == [0, 2, 4, 6, 8, 10, 11]


async def test_ended_instances_of_one_state_can_be_paged(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api, instanceCount=9)
    keys = await held(site, cores=8)
    failing = [wire.Ended(*key, at=1, exit_code=1, error_code="EXIT_CODE") for key in keys[1:6:2]]
    await site.tell(ended=[*failing, *(wire.Ended(*key, at=1, exit_code=0) for key in keys[0:6:2])])
    await api.post(f"/tasks/{uuid}/abort")
    await site.tell(ended=[wire.Ended(*key, at=1, error_code="CANCELLED") for key in keys[6:]])

    async def page(**params: Any) -> tuple[list[int], int, str | None]:
        answer = (await api.get(f"/tasks/{uuid}/instances", params=params)).json()
        return [one["instanceId"] for one in answer["data"]], answer["total"], answer["nextToken"]

    assert await page(state="Failure") == ([1, 3, 5], 3, None)
    assert await page(state="failure", limit=2) == ([1, 3], 3, "3")
    assert await page(state="failure", limit=2, after=3) == ([5], 3, None)
    assert await page(state="Success", limit=3) == ([0, 2, 4], 3, None)
    assert await page(state="Cancelled") == ([6, 7, 8], 3, None)  # the last one was never on a node
    assert await page() == (list(range(9)), 9, None)
    assert await page(limit=4, after=3) == ([4, 5, 6, 7], 9, "7")
    assert await page(limit=4, after=7) == ([8], 9, None)
    refused = await api.get(f"/tasks/{uuid}/instances", params={"state": "Lost"})
    assert refused.status_code == 400
    assert "'Lost' is none of Success, Failure and Cancelled" in refused.json()["message"]


@pytest.mark.parametrize("end", ["cancel", "overdue"])
async def test_instances_that_no_node_had_are_on_the_pages_too(
    api: httpx.AsyncClient, site: TestSite, end: str
) -> None:
    uuid = await submitted(api, instanceCount=10, maxTimeQueueSeconds=5)
    if end == "cancel":
        await api.post(f"/tasks/{uuid}/abort")
        state, code, message = "Cancelled", "CANCELLED", "it was cancelled"
    else:
        site.clock.pass_seconds(6)
        await site.site.store.write(end_overdue, site.clock.now)
        state, code = "Failure", "QUEUE_TIME_EXCEEDED"
        message = "no instance was given to a node within maxTimeQueueSeconds, 5 seconds: all 10 waited 6 seconds"
    for params in ({}, {"state": state}):
        page = (await api.get(f"/tasks/{uuid}/instances", params={**params, "limit": 9})).json()
        assert [one["instanceId"] for one in page["data"]] == list(range(9))
        assert (page["total"], page["isTruncated"], page["nextToken"]) == (10, True, "8")
        page = (await api.get(f"/tasks/{uuid}/instances", params={**params, "limit": 9, "after": 8})).json()
        assert (page["total"], page["isTruncated"], page["nextToken"]) == (10, False, None)
        [last] = page["data"]
        assert last == {
            "instanceId": 9,
            "state": state,
            "results": [],
            "wallTimeSec": 0.0,
            "execTimeSec": 0.0,
            "execTimeSecGHz": 0.0,
            "peakMemoryMB": 0,
            "averageGHz": 0.0,
            "error": {"code": code, "message": f"Instance 9: {message}", "debug": None},
            "specificationKey": "",
            "cpuModel": "",
            "coreCount": 1,
            "clockRatio": 1.0,
            "executionAttemptCount": 0,
            "notes": [],
        }
    other = {"Cancelled": "Failure", "Failure": "Cancelled"}[state]
    page = (await api.get(f"/tasks/{uuid}/instances", params={"state": other})).json()
    assert (page["data"], page["total"], page["nextToken"]) == ([], 0, None)
