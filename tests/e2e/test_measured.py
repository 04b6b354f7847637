"""What is shown of runs was measured: processor time, memory, network, phases, in every runtime."""

from __future__ import annotations

import sqlite3

import pytest

from tests.services.account import Account, Json
from tests.services.platform import Platform

# The kernel ends the loop after one second of processor time.
ONE_SECOND = "(ulimit -t 1; while :; do :; done)"
# A block as large as that is read into memory, and stays there while nobody reads what is written.
HOLD_50_MB = "mkfifo gate; (sleep 1000 < gate) & dd if=/dev/zero of=gate bs=50M count=1 2>/dev/null &"


def test_a_short_run_tells_what_it_used(each_platform: Platform, anyone: Account) -> None:
    task = anyone.run(f"dd if=/dev/zero of=/dev/null bs=50M count=1; {ONE_SECOND}; exit 0", shell=True)
    [done] = task["completedInstances"]
    assert done["state"] == "Success", done
    assert 40 <= done["peakMemoryMB"] < 500
    assert done["execTimeSec"] >= 0.5
    assert done["wallTimeSec"] >= done["execTimeSec"]
    assert 0.5 <= processor_seconds(each_platform, task["uuid"]) < 5
    assert task["status"]["executionTimeSec"] == pytest.approx(done["execTimeSec"])
    [model] = task["status"]["executionTimeByCpuModel"]
    assert (model["time"], model["model"]) == (pytest.approx(done["execTimeSec"]), done["cpuModel"])


def processor_seconds(platform: Platform, uuid: str) -> float:
    """Return the processor time that is stored of all instances of a task: the contract has no field for it."""
    database = sqlite3.connect(f"file:{platform.data / 'hearth.db'}?mode=ro", uri=True)
    with database:
        query = "SELECT sum(cpu_microseconds) FROM instances JOIN tasks ON tasks.id = task_id WHERE uuid = ?"
        [(microseconds,)] = database.execute(query, [uuid]).fetchall()
    database.close()
    return float(microseconds) / 1e6


def test_a_running_instance_shows_what_it_uses_now(anyone: Account) -> None:
    uuid = anyone.submit(f"{HOLD_50_MB} while :; do :; done", shell=True)

    def is_measured(task: Json) -> bool:
        running = task["status"]["runningInstancesInfo"]["perRunningInstanceInfo"]
        return any(one["cpuUsage"] > 5 and one["currentMemoryMB"] >= 40 for one in running)

    task = anyone.await_task(uuid, is_measured, "its processor time and memory are measured")
    info = task["status"]["runningInstancesInfo"]
    [one] = info["perRunningInstanceInfo"]
    assert (one["phase"], one["instanceId"], one["executionAttemptCount"]) == ("execution", 0, 1)
    assert one["currentMemoryMB"] < 500
    assert one["cpuUsage"] < 400
    assert one["networkInKbps"] == one["networkOutKbps"] == 0.0  # it has no network
    assert info["averageCpuUsage"] == one["cpuUsage"]
    assert one["executionTimeSec"] >= 1.0
    anyone.post(f"/tasks/{uuid}/abort")
    [done] = anyone.await_end(uuid)["completedInstances"]
    assert done["peakMemoryMB"] >= 40
    assert done["error"]["code"] == "CANCELLED"


def test_a_failure_tells_what_was_said_last_and_no_secret(anyone: Account) -> None:
    task = anyone.run(
        'echo "cannot open $PASSWORD.txt" >&2; exit 3',
        shell=True,
        constants={"QARNOT_SECRET__PASSWORD": "swordfish"},
    )
    [done] = task["completedInstances"]
    assert done["error"] == {
        "code": "EXIT_CODE",
        "message": "Instance 0: the command ended with exit code 3",
        "debug": "cannot open [SECRET].txt",
    }
    assert task["errors"] == [done["error"]]


def test_the_phases_of_a_task_make_its_wall_time(anyone: Account) -> None:
    bucket = anyone.make_bucket("measured-inputs", large__bin=b"x" * (8 << 20))
    task = anyone.run("sh -c 'cp large.bin copy.bin'", resourceBuckets=[bucket], resultBucket="measured-outputs")
    [done] = task["completedInstances"]
    status = task["status"]
    assert done["results"][0].endswith("/measured-outputs/copy.bin")
    assert status["downloadTimeSec"] > 0
    assert status["environmentTimeSec"] > 0
    assert status["uploadTimeSec"] > 0
    phases = sum(status[f"{phase}TimeSec"] for phase in ("download", "environment", "execution", "upload"))
    assert phases == pytest.approx(done["wallTimeSec"], abs=0.05)
    assert done["wallTimeSec"] <= status["wallTimeSec"]
