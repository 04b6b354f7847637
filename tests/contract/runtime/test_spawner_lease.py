"""Runs whose lease is over end, with or without an agent."""

import pytest

from hearth.agent.lease import boot_seconds
from hearth.agent.runtime.base import Lost
from tests.contract.runtime.machine import Machine, gone, unique_seconds

SOON = 0.3


async def test_a_run_whose_agent_is_away_ends_with_its_lease(spawning_machine: Machine) -> None:
    mark = unique_seconds(spawning_machine.folder, "left alone")
    async with spawning_machine.agent() as runs:
        until = boot_seconds() + SOON
        runs.runtime.renew(until)
        await runs.runtime.start([runs.spec("task.0.1", "sh", "-c", f"(setsid sleep {mark} &); echo up; sleep {mark}")])
        await runs.shown("task.0.1", b"up")
    await gone(mark)
    assert boot_seconds() >= until
    async with spawning_machine.agent() as runs:
        assert [(found.key, found.exited) for found in runs.found] == [("task.0.1", None)]
        lost = await runs.lost("task.0.1")
        assert lost.message == "the lease of its node was over, and no agent renewed it"


async def test_a_lease_that_is_renewed_does_not_end(process_machine: Machine) -> None:
    async with process_machine.agent() as runs:
        runs.runtime.renew(boot_seconds() + SOON)
        await runs.runtime.start([runs.spec("task.0.1", "sh", "-c", f"sleep {2 * SOON}; exit 3")])
        await runs.started("task.0.1")
        runs.runtime.renew(boot_seconds() + 1000)
        assert (await runs.exit_of("task.0.1")).exit_code == 3


async def test_runs_that_are_left_without_an_end_go_on(process_machine: Machine) -> None:
    async with process_machine.agent() as runs:
        runs.runtime.renew(boot_seconds() + SOON)
        await runs.runtime.start([runs.spec("task.0.1", "sh", "-c", f"sleep {2 * SOON}; exit 3")])
        await runs.started("task.0.1")
        runs.runtime.renew(None)
    async with process_machine.agent() as runs:
        [found] = runs.found
        exited = found.exited or await runs.exit_of("task.0.1")
        assert exited.exit_code == 3


async def test_nothing_starts_when_the_lease_is_over_until_it_is_renewed(process_machine: Machine) -> None:
    async with process_machine.agent() as runs:
        runs.runtime.renew(boot_seconds() - 1)
        for key in ("task.0.1", "task.1.1"):
            await runs.runtime.start([runs.spec(key, "sleep", "1000")])
            await runs.lost(key)
        assert not any(isinstance(event, Lost) for event in runs.told.get("task.2.1", []))
        runs.runtime.renew(boot_seconds() + 1000)
        assert (await runs.run("true", key="task.2.1")).exit_code == 0


async def test_a_spawner_that_is_new_learns_of_the_lease(process_machine: Machine) -> None:
    spawner = process_machine.spawner
    assert spawner is not None
    async with process_machine.agent() as runs:
        runs.runtime.renew(boot_seconds() - 1)
        spawner.terminate()
        spawner.restart()
        await runs.runtime.start([runs.spec("task.0.1", "sleep", "1000")])
        await runs.lost("task.0.1")


@pytest.mark.parametrize("exit_code", [0, 7])
async def test_what_ended_by_itself_stays_as_it_ended(process_machine: Machine, exit_code: int) -> None:
    async with process_machine.agent() as runs:
        runs.runtime.renew(boot_seconds() + 1000)
        await runs.run("sh", "-c", f"exit {exit_code}")
        runs.runtime.renew(boot_seconds() - 1)
        await runs.runtime.start([runs.spec("task.1.1", "sleep", "1000")])
        await runs.lost("task.1.1")
    async with process_machine.agent() as runs:
        ended = {found.key: found.exited for found in runs.found}
        assert (ended["task.0.1"] and ended["task.0.1"].exit_code) == exit_code
