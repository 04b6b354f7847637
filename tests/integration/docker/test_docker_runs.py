"""What a run in a container sees and how its end is told."""

from pathlib import Path

import pytest

from hearth.agent.runtime.base import Exited, Image, Refused, Started
from tests.integration.docker.runs import Runs, now, opened
from tests.services.docker import DockerEngine
from tests.services.registry import Registry

MEBIBYTE = 1024 * 1024


async def test_a_command_runs_and_tells_start_exit_and_times(runs: Runs) -> None:
    before = now()
    exit = await runs.run("echo", "hello")
    assert runs.told["task.0.1"] == [Started("task.0.1", exit.started_at), exit]
    assert (exit.exit_code, exit.out_of_memory) == (0, False)
    assert before <= exit.started_at <= exit.at <= now()
    assert (runs.stdout(), runs.stderr()) == (b"hello\n", b"")


async def test_both_streams_arrive_byte_for_byte_and_without_a_newline_added(runs: Runs) -> None:
    await runs.run("sh", "-c", r"printf 'a\377b\nabc'; printf 'bad\n\0' >&2")
    assert (runs.stdout(), runs.stderr()) == (b"a\xffb\nabc", b"bad\n\0")


@pytest.mark.parametrize(
    ("script", "exit_code"), [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137), ("kill $$", 143)]
)
async def test_the_exit_code_is_the_commands_own(runs: Runs, script: str, exit_code: int) -> None:
    # A first process ignores signals that it has no handler for, so the shell that is killed is a child.
    exit = await runs.run("sh", "-c", f"sh -c '{script}'; exit $?")
    assert exit.exit_code == exit_code


@pytest.mark.parametrize(
    ("argv", "exit_code", "code"),
    [
        (("no-such-command",), 127, "COMMAND_NOT_FOUND"),
        (("/no/such/command",), 127, "COMMAND_NOT_FOUND"),
        (("./missing.sh",), 127, "COMMAND_NOT_FOUND"),
        (("hostname exec mounting cwd",), 127, "COMMAND_NOT_FOUND"),
        (("/etc",), 126, "COMMAND_NOT_EXECUTABLE"),
        (("/job/plain.txt",), 126, "COMMAND_NOT_EXECUTABLE"),
    ],
)
async def test_a_command_that_cannot_be_run_is_refused(
    runs: Runs, argv: tuple[str, ...], exit_code: int, code: str
) -> None:
    spec = runs.spec("task.0.1", *argv)
    (spec.directory / "plain.txt").write_text("not a program")
    await runs.runtime.start([spec])
    event = await runs.end_of("task.0.1")
    assert isinstance(event, Refused)
    assert (event.exit_code, event.code) == (exit_code, code)
    assert argv[0] in event.message
    assert "busybox" in event.message


@pytest.mark.parametrize(("content", "exit_code"), [("#!/bin/python-of-nobody\n", 127), ("no script\n", 126)])
async def test_a_script_that_cannot_be_executed_ends_as_shells_count(runs: Runs, content: str, exit_code: int) -> None:
    spec = runs.spec("task.0.1", "./script.sh")
    script = spec.directory / "script.sh"
    script.write_text(content)
    script.chmod(0o755)
    await runs.runtime.start([spec])
    event = await runs.end_of("task.0.1")
    assert isinstance(event, (Refused, Exited))
    assert event.exit_code == exit_code


async def test_a_user_that_does_not_exist_is_refused(runs: Runs) -> None:
    event = await runs.refused("true", user="ada")
    assert (event.exit_code, event.code) == (125, "USER_NOT_FOUND")
    assert "'ada'" in event.message


async def test_a_working_directory_that_is_not_absolute_is_refused(runs: Runs) -> None:
    event = await runs.refused("true", working_directory="some/where")
    assert (event.exit_code, event.code) == (125, "WORKING_DIRECTORY_INVALID")
    assert "'some/where'" in event.message


async def test_a_host_name_that_is_too_long_is_refused(runs: Runs) -> None:
    event = await runs.refused("true", hostname="h" * 80)
    assert (event.exit_code, event.code) == (125, "HOSTNAME_INVALID")


async def test_a_refused_run_leaves_no_container(runs: Runs, docker_engine: DockerEngine, site: str) -> None:
    await runs.refused("no-such-command")
    assert docker_engine.containers(f"hearth.site={site}") == []


async def test_the_images_entrypoint_is_kept_and_gets_the_words(runs: Runs, registry: Registry) -> None:
    await runs.run("echo", "a b", "c", image=Image(registry.entry))
    assert runs.stdout() == b"entry got 3 words\na b c\n"


async def test_without_words_the_images_own_command_runs(runs: Runs, registry: Registry) -> None:
    await runs.run(image=Image(registry.entry))
    assert runs.stdout() == b"entry got 2 words\ndefault\n"


async def test_the_environment_is_exact(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_AGENT", "must not be seen")
    monkeypatch.setenv("http_proxy", "http://must.not.be.seen")
    given = {
        "PLAIN": "1",
        "EMPTY": "",
        "WITH-DASH.AND.DOT": "x",
        "LINES": "a\nb",
        "EQUALS": "a=b=c",
        "QUOTES": "\"'`$HOME ${X} \\",
        "LETTERS": "é€😀",
        "lower": "case",
        "1ST": "digit",
    }
    await runs.run("cat", "/proc/self/environ", environment=given)
    seen = dict(entry.split("=", 1) for entry in runs.stdout().decode().split("\0") if entry)
    of_the_engine = {"PATH", "HOSTNAME", "HOME"}
    assert {name: value for name, value in seen.items() if name not in of_the_engine} == given


async def test_the_folder_is_the_working_directory_and_what_is_written_there_stays(runs: Runs) -> None:
    spec = runs.spec("task.0.1", "sh", "-c", "pwd; cat in.txt; echo result > out.txt")
    (spec.directory / "in.txt").write_text("resource\n")
    await runs.runtime.start([spec])
    await runs.exit_of("task.0.1")
    assert runs.stdout() == b"/job\nresource\n"
    assert (spec.directory / "out.txt").read_text() == "result\n"


async def test_the_working_directory_moves_without_the_folder(runs: Runs) -> None:
    await runs.run("sh", "-c", "pwd; ls -d /job", working_directory="/tmp/elsewhere")
    assert runs.stdout() == b"/tmp/elsewhere\n/job\n"


async def test_the_folder_can_appear_elsewhere(runs: Runs) -> None:
    await runs.run("sh", "-c", "pwd", mount_point="/data/in put:here")
    assert runs.stdout() == b"/data/in put:here\n"


async def test_runs_are_root_unless_a_user_is_named(runs: Runs) -> None:
    await runs.run("id", "-u", key="task.0.1")
    await runs.run("id", "-u", key="task.1.1", user="nobody")
    await runs.run("id", "-u", key="task.2.1", user="1234:5678")
    assert [runs.stdout(f"task.{n}.1") for n in range(3)] == [b"0\n", b"65534\n", b"1234\n"]


async def test_the_host_name_can_be_chosen(runs: Runs) -> None:
    await runs.run("hostname", hostname="render-7")
    assert runs.stdout() == b"render-7\n"


async def test_there_is_no_network_by_default(runs: Runs) -> None:
    await runs.run("ls", "/sys/class/net")
    assert runs.stdout() == b"lo\n"


async def test_a_run_that_may_use_the_network_gets_the_sites_network(
    runs: Runs, docker_engine: DockerEngine, site: str, tmp_path: Path
) -> None:
    async with opened(
        docker_engine.url, f"{site}-networked", tmp_path / "networked", runs.image, network="host"
    ) as more:
        await more.run("ls", "/sys/class/net", network=True, key="task.0.1")
        await more.run("ls", "/sys/class/net", key="task.1.1")
        await more.runtime.forget(["task.0.1", "task.1.1"])
        assert set(more.stdout("task.0.1").decode().split()) == {path.name for path in Path("/sys/class/net").iterdir()}
        assert more.stdout("task.1.1") == b"lo\n"


async def test_a_command_cannot_gain_privileges(runs: Runs) -> None:
    await runs.run("grep", "NoNewPrivs", "/proc/self/status")
    assert runs.stdout().split() == [b"NoNewPrivs:", b"1"]


async def test_standard_input_is_at_its_end(runs: Runs) -> None:
    exit = await runs.run("cat")
    assert (exit.exit_code, runs.stdout()) == (0, b"")


async def test_too_much_memory_ends_a_run_as_out_of_memory(runs: Runs) -> None:
    exit = await runs.run("tail", "/dev/zero", memory_bytes=32 * MEBIBYTE)
    assert (exit.exit_code, exit.out_of_memory) == (137, True)


async def test_a_failure_of_its_own_is_not_out_of_memory(runs: Runs) -> None:
    exit = await runs.run("sh", "-c", "exit 137", memory_bytes=32 * MEBIBYTE)
    assert (exit.exit_code, exit.out_of_memory) == (137, False)


async def test_the_number_of_processes_is_limited(runs: Runs) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done; echo all"
    exit = await runs.run("sh", "-c", script, pids=6)
    assert exit.exit_code != 0
    assert b"all" not in runs.stdout()


async def test_more_cores_than_there_are_is_all_of_them(runs: Runs) -> None:
    exit = await runs.run("true", cores=4096)
    assert exit.exit_code == 0


async def test_usage_is_measured_while_a_run_works_and_kept_after_its_end(runs: Runs) -> None:
    work = "dd if=/dev/zero bs=24M count=1 of=/dev/null 2>/dev/null; seq 500000 | md5sum"
    spec = runs.spec("task.0.1", "sh", "-c", f"mkfifo /job/gate; {work}; echo worked; cat /job/gate")
    await runs.runtime.start([spec])
    await runs.started("task.0.1")
    await runs.shown("task.0.1", b"worked")
    measured = await runs.runtime.usage("task.0.1")
    (spec.directory / "gate").write_text("go\n")
    exit = await runs.exit_of("task.0.1")
    assert measured.cpu_microseconds > 10_000
    assert measured.memory_bytes > 0
    assert measured.peak_memory_bytes >= 24 * MEBIBYTE
    assert exit.usage.cpu_microseconds >= measured.cpu_microseconds
    assert exit.usage.peak_memory_bytes >= measured.peak_memory_bytes
    assert await runs.runtime.usage("task.0.1") == exit.usage


async def test_the_usage_of_a_run_that_nobody_knows_is_zero(runs: Runs) -> None:
    usage = await runs.runtime.usage("nobody.0.1")
    assert (usage.cpu_microseconds, usage.memory_bytes, usage.peak_memory_bytes) == (0, 0, 0)


async def test_a_key_that_was_started_is_not_started_again(runs: Runs) -> None:
    spec = runs.spec("task.0.1", "sh", "-c", "echo once >> /job/times")
    await runs.runtime.start([spec, spec])
    await runs.runtime.start([spec])
    await runs.exit_of("task.0.1")
    await runs.runtime.start([spec])
    await runs.run("true", key="task.1.1")
    assert (spec.directory / "times").read_text() == "once\n"
    assert len(runs.told["task.0.1"]) == 2


async def test_a_run_without_an_image_is_refused(runs: Runs) -> None:
    event = await runs.refused("true", image=None)
    assert (event.exit_code, event.code) == (125, "IMAGE_MISSING")


async def test_forgotten_runs_leave_no_container(runs: Runs, docker_engine: DockerEngine, site: str) -> None:
    await runs.run("true", key="task.0.1")
    await runs.run("true", key="task.1.1")
    assert len(docker_engine.containers(f"hearth.site={site}")) == 2
    await runs.runtime.forget(["task.0.1", "task.1.1", "nobody.0.1"])
    assert docker_engine.containers(f"hearth.site={site}") == []
