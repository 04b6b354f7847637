"""What is measured of attempts, when it is told, and that many cost no more than some."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from hearth.agent import attempt as attempts
from hearth.agent.attempt import Attempt, Key, RunEnd
from hearth.agent.logic import Logic
from hearth.agent.measure import MEASURED_AT_ONCE, Meter, frequency_ghz
from hearth.agent.runtime.base import Runtime, Usage
from hearth.domain.instance import Phase
from hearth.wire import agent as wire

OFFER = wire.Offer(64.0, 1 << 40, "process", isolated=False, takes_images=False)
SECOND = 1_000_000
KEY: Key = (1, 0, 1)


class Gauge:
    """A runtime of which only `usage` is asked."""

    def __init__(self) -> None:
        self.now: dict[str, Usage] = {}
        self.asked: list[str] = []

    async def usage(self, key: str) -> Usage:
        self.asked.append(key)
        return self.now.get(key, Usage())


@pytest.fixture
def logic() -> Logic:
    return Logic("node", 1, OFFER)


@pytest.fixture
def gauge() -> Gauge:
    return Gauge()


@pytest.fixture
def meter(logic: Logic, gauge: Gauge) -> Meter:
    return Meter(logic, cast(Runtime, gauge), lambda: None, lambda: 2.5)


def hold(logic: Logic, key: Key = KEY, phase: attempts.Phase = attempts.Phase.RUNNING, **how: object) -> Attempt:
    made = logic.attempts[key] = Attempt(key, phase, **how)  # type: ignore[arg-type]
    return made


async def test_a_run_is_measured_once_it_has_lasted_a_second(logic: Logic, gauge: Gauge, meter: Meter):
    hold(logic, started_at=10 * SECOND)
    assert await meter.round(1.0, 10 * SECOND + SECOND // 2) == []
    gauge.now["1.0.1"] = Usage(3 * SECOND, 40, 50, 2000, 1000)
    assert await meter.round(3.0, 12 * SECOND) == [
        wire.Usage(
            *KEY,
            phase=Phase.EXECUTION,
            at=12 * SECOND,
            cpu_cores=1.5,  # since its start two seconds ago
            cpu_microseconds=3 * SECOND,
            memory_bytes=40,
            peak_memory=50,
            network_in_kbps=8.0,
            network_out_kbps=4.0,
            frequency_ghz=2.5,
        )
    ]


async def test_rates_are_those_since_the_last_measurement(logic: Logic, gauge: Gauge, meter: Meter):
    hold(logic, started_at=0)
    gauge.now["1.0.1"] = Usage(100 * SECOND, 40, 50, 10_000, 0)
    await meter.round(100.0, 100 * SECOND)
    gauge.now["1.0.1"] = Usage(101 * SECOND, 20, 50, 10_000, 500)
    [usage] = await meter.round(104.0, 104 * SECOND)
    assert (usage.cpu_cores, usage.network_in_kbps, usage.network_out_kbps) == (0.25, 0.0, 1.0)
    assert (usage.cpu_microseconds, usage.memory_bytes, usage.peak_memory) == (101 * SECOND, 20, 50)


async def test_of_many_runs_some_are_measured_in_a_round_and_all_in_turn(logic: Logic, gauge: Gauge, meter: Meter):
    many = 3 * MEASURED_AT_ONCE
    for number in range(many):
        hold(logic, (1, number, 1), started_at=0)
    for mono in range(10, 13):
        assert len(await meter.round(float(mono), 60 * SECOND)) == MEASURED_AT_ONCE
    assert sorted(gauge.asked) == sorted(f"1.{number}.1" for number in range(many))
    await meter.round(13.0, 60 * SECOND)
    assert gauge.asked[many:] == gauge.asked[:MEASURED_AT_ONCE]


@pytest.mark.parametrize(
    ("phase", "how", "told"),
    [
        (attempts.Phase.QUEUED, {}, Phase.DOWNLOAD),
        (attempts.Phase.READY, {}, Phase.ENVIRONMENT),
        (attempts.Phase.RUNNING, {}, Phase.ENVIRONMENT),
        (attempts.Phase.RUNNING, {"started_at": 0, "killed": True}, Phase.SHUTDOWN),
    ],
)
async def test_a_phase_is_told_when_it_lasts_and_not_again_at_once(
    logic: Logic, meter: Meter, phase: attempts.Phase, how: dict[str, object], told: Phase
):
    hold(logic, phase=phase, **how)
    assert await meter.round(2.0, 2 * SECOND) == []
    assert await meter.round(4.0, 4 * SECOND) == [wire.Usage(*KEY, phase=told, at=4 * SECOND)]
    assert await meter.round(6.0, 6 * SECOND) == []
    # A server that has started since knows nothing of it.
    assert await meter.round(60.0, 60 * SECOND) == [wire.Usage(*KEY, phase=told, at=60 * SECOND)]


async def test_an_upload_shows_what_the_run_used(logic: Logic, gauge: Gauge, meter: Meter):
    hold(logic, phase=attempts.Phase.COLLECTING, exit=RunEnd(5, 0, cpu_microseconds=7, peak_memory=9))
    await meter.round(2.0, 2 * SECOND)
    [usage] = await meter.round(4.0, 4 * SECOND)
    assert usage == wire.Usage(*KEY, phase=Phase.UPLOAD, at=4 * SECOND, cpu_microseconds=7, peak_memory=9)
    assert gauge.asked == []


async def test_what_is_over_or_not_ours_is_left_alone(logic: Logic, gauge: Gauge, meter: Meter):
    hold(logic, (1, 0, 1), attempts.Phase.ENDED, started_at=0)
    hold(logic, (1, 1, 1), started_at=0, dropped=True)
    hold(logic, (1, 2, 1), started_at=0, confirmed=False)
    for mono in (2.0, 4.0):
        assert await meter.round(mono, 60 * SECOND) == []
    assert gauge.asked == []


async def test_a_report_carries_the_newest_measurement_and_leaves_because_of_it(logic: Logic, meter: Meter):
    assert logic.report_due(1.0) is None
    attempt = hold(logic, started_at=0)
    logic.measured([wire.Usage(*KEY, Phase.EXECUTION, 1)])
    newest = wire.Usage(*KEY, Phase.EXECUTION, 2)
    logic.measured([newest])
    assert logic.report_due(1.0) == 1.0
    report = logic.next_report(1.0)
    assert report.usages == [newest]
    assert logic.report_due(2.0) is None
    logic.report_failed(report)  # it may be lost
    assert logic.report_due(2.0) is None

    logic.measured([newest])
    attempt.phase = attempts.Phase.ENDED
    assert logic.next_report(3.0).usages == []


def test_the_frequency_is_the_mean_of_the_processors(tmp_path: Path):
    for number, kilohertz in enumerate((1_000_000, 3_000_000)):
        (tmp_path / f"policy{number}").mkdir()
        (tmp_path / f"policy{number}" / "scaling_cur_freq").write_text(f"{kilohertz}\n")
    assert frequency_ghz(tmp_path, tmp_path / "none") == 2.0


def test_without_governors_the_processors_tell_their_frequency(tmp_path: Path):
    (tmp_path / "cpuinfo").write_text("processor : 0\ncpu MHz\t\t: 2000.5\n\nprocessor : 1\ncpu MHz\t\t: 2500.5\n")
    assert frequency_ghz(tmp_path, tmp_path / "cpuinfo") == pytest.approx(2.25, abs=0.001)


def test_a_frequency_that_nobody_tells_is_0(tmp_path: Path):
    assert frequency_ghz(tmp_path, tmp_path / "none") == 0.0
