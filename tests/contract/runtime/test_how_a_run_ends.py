"""What every runtime promises about ends: nothing of a run outlives it, and agents that return learn of it."""

import pytest

from hearth.agent.runtime.base import Exited, Started
from tests.contract.runtime.machine import Machine, Runs, running, unique_seconds


async def test_stop_ends_a_run_that_ignores_signals(runs: Runs) -> None:
    mark = unique_seconds(runs.folder, "main")
    script = f"trap '' TERM INT HUP; echo ready; sleep {mark}; sleep {mark}"
    await runs.runtime.start([runs.spec("task.0.1", "sh", "-c", script)])
    await runs.shown("task.0.1", b"ready")
    await runs.runtime.stop("task.0.1")
    exit = await runs.exit_of("task.0.1")
    assert exit.exit_code == 137
    assert running(mark) == []


async def test_stop_ends_children_and_daemons(runs: Runs) -> None:
    mark = unique_seconds(runs.folder, "child")
    script = f"sleep {mark} & setsid sh -c 'sleep {mark} & echo deep; sleep {mark}' & sleep {mark}"
    await runs.runtime.start([runs.spec("task.0.1", "sh", "-c", script)])
    await runs.shown("task.0.1", b"deep")
    await runs.runtime.stop("task.0.1")
    await runs.exit_of("task.0.1")
    assert running(mark) == []


@pytest.mark.parametrize(
    "leave",
    [
        "sleep {mark} & echo left",
        "(setsid sleep {mark} &) ; (setsid sleep {mark} &) ; echo left",
        "setsid sh -c '(setsid sh -c \"sleep {mark} & echo left; sleep {mark}\" &)'; read line < gate",
        "(env -i /usr/bin/setsid /bin/sleep {mark} &) ; echo left",
    ],
    ids=["child", "daemon", "daemons-of-daemons", "without-environment"],
)
async def test_nothing_that_a_command_left_outlives_its_end(runs: Runs, leave: str) -> None:
    mark = unique_seconds(runs.folder, leave)
    spec = runs.spec("task.0.1", "sh", "-c", f"mkfifo gate; chmod 666 gate; {leave.format(mark=mark)}; exit 5")
    await runs.runtime.start([spec])
    await runs.shown("task.0.1", b"left")
    if "gate" in leave:
        (spec.directory / "gate").write_text("go\n")
    exit = await runs.exit_of("task.0.1")
    assert exit.exit_code == 5
    assert running(mark) == []


async def test_a_daemon_lives_as_long_as_its_run_though_others_end(runs: Runs) -> None:
    mark = unique_seconds(runs.folder, "daemon")
    spec = runs.spec("task.0.1", "sh", "-c", f"mkfifo gate; chmod 666 gate; (setsid sleep {mark} &); echo up; cat gate")
    await runs.runtime.start([spec])
    await runs.shown("task.0.1", b"up")
    await runs.run("true", key="task.1.1")
    await runs.run("true", key="task.2.1")
    assert len(running(mark)) == 1
    (spec.directory / "gate").write_text("go\n")
    await runs.exit_of("task.0.1")
    assert running(mark) == []


async def test_stopping_one_run_leaves_the_others(runs: Runs) -> None:
    specs = [
        runs.spec(f"task.{number}.1", "sh", "-c", "mkfifo gate; chmod 666 gate; echo up; cat gate")
        for number in range(2)
    ]
    await runs.runtime.start(specs)
    for number in range(2):
        await runs.shown(f"task.{number}.1", b"up")
    await runs.runtime.stop("task.0.1")
    assert (await runs.exit_of("task.0.1")).exit_code == 137
    (specs[1].directory / "gate").write_text("go\n")
    assert (await runs.exit_of("task.1.1")).exit_code == 0


async def test_stopping_what_is_not_known_or_over_does_nothing(runs: Runs) -> None:
    await runs.runtime.stop("nobody.0.1")
    await runs.run("true")
    await runs.runtime.stop("task.0.1")
    await runs.run("true", key="task.1.1")
    assert list(runs.told) == ["task.0.1", "task.1.1"]


async def test_a_run_that_is_stopped_at_once_ends(runs: Runs) -> None:
    await runs.runtime.start([runs.spec("task.0.1", "sleep", "1000")])
    await runs.runtime.stop("task.0.1")
    assert (await runs.exit_of("task.0.1")).exit_code == 137


async def test_an_agent_that_returns_finds_what_runs_and_what_ended(machine: Machine) -> None:
    async with machine.agent() as first:
        await first.run("sh", "-c", "echo before; exit 4", key="task.0.1")
        spec = first.spec("task.1.1", "sh", "-c", "mkfifo gate; chmod 666 gate; echo up; cat gate; echo after; exit 6")
        await first.runtime.start([spec])
        started = await first.started("task.1.1")
        await first.shown("task.1.1", b"up")
    async with machine.agent() as second:
        found = {run.key: run for run in second.found}
        assert sorted(found) == ["task.0.1", "task.1.1"]
        ended = found["task.0.1"].exited
        assert isinstance(ended, Exited)
        assert ended.exit_code == 4
        assert found["task.1.1"].exited is None
        assert found["task.1.1"].started_at == started.at
        (spec.directory / "gate").write_text("go\n")
        exit = await second.exit_of("task.1.1")
        assert (exit.exit_code, exit.started_at) == (6, started.at)
        assert second.stdout("task.1.1") == b"up\ngo\nafter\n"
        assert not any(isinstance(event, Started) for event in second.told["task.1.1"])


async def test_an_agent_that_returns_learns_of_an_end_while_it_was_away(machine: Machine) -> None:
    async with machine.agent() as first:
        spec = first.spec("task.0.1", "sh", "-c", "mkfifo gate; chmod 666 gate; echo up; cat gate; echo late; exit 9")
        await first.runtime.start([spec])
        await first.shown("task.0.1", b"up")
    (spec.directory / "gate").write_text("go\n")
    await first.shown("task.0.1", b"go") if machine.image is None else None
    async with machine.agent() as second:
        [found] = second.found
        exit = found.exited or await second.exit_of("task.0.1")
        assert exit.exit_code == 9
        assert second.stdout("task.0.1") == b"up\ngo\nlate\n"


async def test_an_agent_that_returns_measures_what_ran_without_it(machine: Machine) -> None:
    work = "dd if=/dev/zero of=/dev/null bs=50M count=1; (ulimit -t 1; while :; do :; done)"
    async with machine.agent() as first:
        spec = first.spec("task.0.1", "sh", "-c", f"mkfifo gate; chmod 666 gate; {work}; echo up; cat gate")
        await first.runtime.start([spec])
        await first.started("task.0.1")
    await first.shown("task.0.1", b"up") if machine.image is None else None
    async with machine.agent() as second:
        await second.shown("task.0.1", b"up")
        (spec.directory / "gate").write_text("go\n")
        usage = (await second.exit_of("task.0.1")).usage
        assert 700_000 <= usage.cpu_microseconds < 5_000_000
        assert 40 << 20 <= usage.peak_memory_bytes < 500 << 20


async def test_an_agent_that_returns_can_stop_what_it_found(machine: Machine) -> None:
    async with machine.agent() as first:
        await first.runtime.start([first.spec("task.0.1", "sleep", "1000")])
        await first.started("task.0.1")
    async with machine.agent() as second:
        await second.runtime.stop("task.0.1")
        assert (await second.exit_of("task.0.1")).exit_code == 137


async def test_a_run_that_was_forgotten_is_not_found_again(machine: Machine) -> None:
    async with machine.agent() as first:
        await first.run("true", key="task.0.1")
        await first.run("true", key="task.1.1")
        await first.runtime.forget(["task.0.1", "nobody.0.1"])
        await first.run("true", key="task.2.1")
    async with machine.agent() as second:
        assert sorted(run.key for run in second.found) == ["task.1.1", "task.2.1"]


async def test_a_forgotten_run_that_still_goes_on_stays(runs: Runs) -> None:
    await runs.runtime.start([runs.spec("task.0.1", "sleep", "1000")])
    await runs.started("task.0.1")
    await runs.runtime.forget(["task.0.1"])
    await runs.runtime.stop("task.0.1")
    assert (await runs.exit_of("task.0.1")).exit_code == 137
