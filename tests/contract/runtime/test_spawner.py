"""What the spawner adds: runs survive agents and broken connections, and never survive their spawner's successor."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hearth.agent.runtime.base import Exited, Started
from tests.contract.runtime.machine import DEADLINE_SECONDS, Machine, Spawner, gone, running, unique_seconds


def spawner_of(machine: Machine) -> Spawner:
    assert machine.spawner is not None
    return machine.spawner


async def test_runs_of_a_killed_spawner_are_lost_and_nothing_of_them_is_left(spawning_machine: Machine) -> None:
    mark = unique_seconds(spawning_machine.folder, "leftover")
    spawner = spawner_of(spawning_machine)
    async with spawning_machine.agent() as runs:
        script = f"(setsid sleep {mark} &); sleep {mark} & echo up; sleep {mark}"
        await runs.runtime.start([runs.spec("task.0.1", "sh", "-c", script)])
        await runs.shown("task.0.1", b"up")
        await runs.run("sh", "-c", "exit 3", key="task.1.1")
        await asyncio.to_thread(spawner.kill)
        spawner.restart()
        lost = await runs.lost("task.0.1")
        assert "spawner" in lost.message
        assert running(mark) == []
        assert (await runs.run("sh", "-c", "exit 5", key="task.2.1")).exit_code == 5
        assert len(runs.told["task.1.1"]) == 2
    async with spawning_machine.agent() as runs:
        assert [found.key for found in runs.found] == ["task.2.1"]


async def test_an_agent_that_starts_after_a_killed_spawner_finds_nothing(spawning_machine: Machine) -> None:
    mark = unique_seconds(spawning_machine.folder, "both died")
    spawner = spawner_of(spawning_machine)
    async with spawning_machine.agent() as runs:
        await runs.runtime.start([runs.spec("task.0.1", "sleep", mark)])
        await runs.started("task.0.1")
    await asyncio.to_thread(spawner.kill)
    spawner.restart()
    async with spawning_machine.agent() as runs:
        assert runs.found == []
        assert running(mark) == []


async def test_a_spawner_spares_the_runs_of_other_sites(spawning_machine: Machine, tmp_path: Path) -> None:
    mark = unique_seconds(spawning_machine.folder, "spared")
    (tmp_path / "other").mkdir()
    async with spawning_machine.agent() as runs:
        await runs.runtime.start([runs.spec("task.0.1", "sleep", mark)])
        await runs.started("task.0.1")
        other = Spawner(tmp_path / "other", spawner_of(spawning_machine).site + "-2")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not other.pid_file.exists() or not other.pid_file.read_text():
                await asyncio.sleep(0.01)
        assert await asyncio.to_thread(other.terminate) == 0
        await runs.runtime.stop("task.0.1")
        assert (await runs.exit_of("task.0.1")).exit_code == 137


async def test_a_spawner_that_is_told_to_end_takes_its_runs_along(spawning_machine: Machine) -> None:
    mark = unique_seconds(spawning_machine.folder, "told to end")
    spawner = spawner_of(spawning_machine)
    async with spawning_machine.agent() as runs:
        await runs.runtime.start([runs.spec("task.0.1", "sh", "-c", f"(setsid sleep {mark} &); echo up; sleep {mark}")])
        await runs.shown("task.0.1", b"up")
        assert await asyncio.to_thread(spawner.terminate) == 0
        assert running(mark) == []
        await runs.lost("task.0.1")
        assert not spawner.socket.exists()
        spawner.restart()
        assert (await runs.run("true", key="task.1.1")).exit_code == 0


async def test_what_was_started_while_no_spawner_was_there_runs_with_the_next(spawning_machine: Machine) -> None:
    spawner = spawner_of(spawning_machine)
    async with spawning_machine.agent() as runs:
        await runs.run("true", key="task.0.1")
        await asyncio.to_thread(spawner.terminate)
        await runs.runtime.start([runs.spec("task.1.1", "sh", "-c", "exit 7")])
        spawner.restart()
        assert (await runs.exit_of("task.1.1")).exit_code == 7


async def test_a_second_spawner_at_the_same_place_gives_way(spawning_machine: Machine) -> None:
    spawner = spawner_of(spawning_machine)
    async with spawning_machine.agent() as runs:
        first = spawner.process
        spawner.restart()
        assert await asyncio.to_thread(spawner.process.wait, DEADLINE_SECONDS) == 3
        spawner.process = first
        assert spawner.pid_file.read_text() == f"{first.pid}\n"
        assert (await runs.run("true")).exit_code == 0


async def test_two_agents_both_hear_of_the_end(spawning_machine: Machine) -> None:
    async with spawning_machine.agent() as older:
        await older.runtime.start([older.spec("task.0.1", "sleep", "1000")])
        started = await older.started("task.0.1")
        async with spawning_machine.agent() as newer:
            [found] = newer.found
            assert (found.key, found.started_at, found.exited) == ("task.0.1", started.at, None)
            await newer.runtime.stop("task.0.1")
            assert (await newer.exit_of("task.0.1")).exit_code == 137
            newer_events = newer.told["task.0.1"]
        exit = await older.exit_of("task.0.1")
        assert newer_events == [exit]


@pytest.mark.parametrize("bytes_before_each_cut", [0, 1, 100, 1_000, 5_000])
async def test_an_agent_loses_nothing_when_its_connection_breaks(
    process_machine: Machine, bytes_before_each_cut: int
) -> None:
    cable = Cable(spawner_of(process_machine).socket, process_machine.folder / "cable.sock")
    async with cable.laid(), process_machine.through(cable.end).agent() as runs:
        keys = [f"task.{number}.1" for number in range(60)]
        for start in range(0, 60, 20):
            cable.cut_after(bytes_before_each_cut)
            batch = keys[start : start + 20]
            await runs.runtime.start([runs.spec(key, "sh", "-c", "echo x >> runs; exit 2") for key in batch])
        for key in keys:
            exit = await runs.exit_of(key)
            assert runs.told[key] == [Started(key, exit.started_at), exit]
            assert exit.exit_code == 2
            assert (runs.folder / key / "job" / "runs").read_text() == "x\n"
        assert cable.cuts >= 1


async def test_a_stop_and_a_forget_survive_a_broken_connection(process_machine: Machine) -> None:
    cable = Cable(spawner_of(process_machine).socket, process_machine.folder / "cable.sock")
    async with cable.laid(), process_machine.through(cable.end).agent() as runs:
        await runs.run("true", key="task.0.1")
        await runs.runtime.start([runs.spec("task.1.1", "sleep", "1000")])
        await runs.started("task.1.1")
        cable.cut_after(0)
        await runs.runtime.forget(["task.0.1"])
        await runs.runtime.stop("task.1.1")
        assert (await runs.exit_of("task.1.1")).exit_code == 137
        await runs.run("true", key="task.2.1")
    async with process_machine.agent() as returned:
        assert sorted(found.key for found in returned.found) == ["task.1.1", "task.2.1"]


async def test_a_broken_machine_is_not_the_users_failure(spawning_machine: Machine) -> None:
    async with spawning_machine.agent() as runs:
        spec = runs.spec("task.0.1", "true", stdout=runs.folder / "no" / "such" / "folder" / "stdout")
        await runs.runtime.start([spec])
        assert "could not start" in (await runs.lost("task.0.1")).message


async def test_a_death_by_signal_is_told_as_shells_do(spawning_machine: Machine) -> None:
    async with spawning_machine.agent() as runs:
        assert (await runs.sh("kill -9 $$", key="task.0.1")).exit_code == 137
        assert (await runs.sh("kill -SEGV $$", key="task.1.1")).exit_code == 128 + signal.SIGSEGV


async def test_a_stopped_agent_hears_of_ends_in_the_order_of_each_run(spawning_machine: Machine) -> None:
    async with spawning_machine.agent() as runs:
        for number in range(20):
            await runs.runtime.start([runs.spec(f"task.{number}.1", "true")])
        for number in range(20):
            await runs.exit_of(f"task.{number}.1")
        for events in runs.told.values():
            assert [type(event) for event in events] == [Started, Exited]


@pytest.mark.parametrize("words", [b"\0\0\0\5hello", b"\xff\xff\xff\xff", b"\0\0\0\1\x90\0"])
async def test_a_stranger_at_the_socket_harms_nobody(spawning_machine: Machine, words: bytes) -> None:
    async with spawning_machine.agent() as runs:
        reader, writer = await asyncio.open_unix_connection(_short(spawner_of(spawning_machine).socket))
        writer.write(words)
        writer.write_eof()
        await reader.read()
        writer.close()
        assert (await runs.run("true")).exit_code == 0


async def test_leftovers_of_a_spawner_end_even_if_it_is_never_replaced(sandbox_machine: Machine) -> None:
    mark = unique_seconds(sandbox_machine.folder, "orphaned sandbox")
    spawner = spawner_of(sandbox_machine)
    async with sandbox_machine.agent() as runs:
        await runs.runtime.start([runs.spec("task.0.1", "sh", "-c", f"echo up; sleep {mark}")])
        await runs.shown("task.0.1", b"up")
        await asyncio.to_thread(spawner.kill)
        await gone(mark)
    spawner.restart()
    async with sandbox_machine.agent() as runs:  # the next one also removes the cgroup
        assert runs.found == []


def _short(path: Path) -> str:
    return os.path.relpath(path)


class Cable:
    """A connection to a spawner that can be cut, with what was under way lost."""

    def __init__(self, spawner: Path, end: Path) -> None:
        self.end = end
        self.cuts = 0
        self._spawner = spawner
        self._left: int | None = None
        self._writers: list[asyncio.StreamWriter] = []

    def cut_after(self, size: int) -> None:
        """Cut once so many bytes more have gone through."""
        self._left = size

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(self._plugged, _short(self.end))
        try:
            yield
        finally:
            server.close()
            self._cut()

    async def _plugged(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(_short(self._spawner))
        except OSError:  # not there yet
            writer.close()
            return
        self._writers += [writer, far_writer]
        async with asyncio.TaskGroup() as both:
            both.create_task(self._carry(reader, far_writer))
            both.create_task(self._carry(far_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if self._left is not None:
                    data, self._left = data[: self._left], self._left - len(data)
                writer.write(data)
                if self._left is not None and self._left < 0:
                    self._left = None
                    self.cuts += 1
                    self._cut()
        except OSError:
            pass
        writer.close()

    def _cut(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()
