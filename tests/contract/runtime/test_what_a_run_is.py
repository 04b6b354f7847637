"""What every runtime promises about one run: what it sees, what it writes, and how its end is told."""

from dataclasses import replace

import pytest

from hearth.agent.runtime.base import Exited, Refused, Started
from tests.contract.runtime.machine import MEBIBYTE, PATH, Runs, now

# Variables that a runtime may add to those of the run.
OF_THE_RUNTIME = {"HEARTH_RUN", "PWD", "HOSTNAME", "HOME", "SHLVL", "_", "OLDPWD"}


async def test_a_command_runs_and_tells_start_exit_and_times(runs: Runs) -> None:
    before = now()
    exit = await runs.run("echo", "hello")
    assert runs.told["task.0.1"] == [Started("task.0.1", exit.started_at), exit]
    assert (exit.exit_code, exit.out_of_memory) == (0, False)
    assert before <= exit.started_at <= exit.at <= now()
    assert (runs.stdout(), runs.stderr()) == (b"hello\n", b"")


async def test_both_streams_arrive_byte_for_byte_and_without_a_newline_added(runs: Runs) -> None:
    await runs.sh(r"printf 'a\377b\nabc'; printf 'bad\n\0' >&2")
    assert (runs.stdout(), runs.stderr()) == (b"a\xffb\nabc", b"bad\n\0")


async def test_words_arrive_as_they_are(runs: Runs) -> None:
    words = ("a b", "", "*", "$HOME", "'\"", "-n", "é€😀", "line\nbreak")
    await runs.run("printf", "[%s]", *words)
    assert runs.stdout().decode() == "".join(f"[{word}]" for word in words)


@pytest.mark.parametrize(
    ("script", "exit_code"), [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137), ("kill $$", 143)]
)
async def test_the_exit_code_is_the_commands_own(runs: Runs, script: str, exit_code: int) -> None:
    # A container's first process ignores signals that it has no handler for, so a child is killed.
    exit = await runs.sh(f"sh -c '{script}'; exit $?")
    assert exit.exit_code == exit_code


@pytest.mark.parametrize(
    ("name", "exit_code", "code"),
    [
        ("no-such-command", 127, "COMMAND_NOT_FOUND"),
        ("/no/such/command", 127, "COMMAND_NOT_FOUND"),
        ("./missing.sh", 127, "COMMAND_NOT_FOUND"),
        ("", 127, "COMMAND_NOT_FOUND"),
        ("/usr", 126, "COMMAND_NOT_EXECUTABLE"),
        ("./plain.txt", 126, "COMMAND_NOT_EXECUTABLE"),
    ],
)
async def test_a_command_that_cannot_be_run_is_refused(runs: Runs, name: str, exit_code: int, code: str) -> None:
    spec = runs.spec("task.0.1", name)
    (spec.directory / "plain.txt").write_text("#!/bin/sh\n")
    refused = await runs.refused(name)
    assert (refused.exit_code, refused.code) == (exit_code, code)
    assert name in refused.message
    assert runs.told["task.0.1"] == [refused]


@pytest.mark.parametrize(("text", "exit_code"), [("neither program nor script", 126), ("#!/bin/nobody\n", 127)])
async def test_a_file_that_cannot_be_executed_ends_as_shells_say(runs: Runs, text: str, exit_code: int) -> None:
    spec = runs.spec("task.0.1", "./file")
    (spec.directory / "file").write_text(text)
    (spec.directory / "file").chmod(0o755)
    await runs.runtime.start([spec])
    # An engine learns of this only when the container runs, so there it may be an exit.
    end = await runs.end_of("task.0.1")
    assert isinstance(end, Refused) or (isinstance(end, Exited) and runs.image is not None)
    assert end.exit_code == exit_code


async def test_a_refused_run_has_no_output_of_the_runtime(runs: Runs) -> None:
    spec = runs.spec("task.0.1", "no-such-command")
    await runs.refused("no-such-command")
    texts = [path.read_bytes() for path in (spec.stdout, spec.stderr) if path.exists()]
    assert b"".join(texts) == b""


async def test_a_variable_that_no_process_can_have_is_refused(runs: Runs) -> None:
    refused = await runs.refused("true", environment={"A": "a\0b"})
    assert refused.exit_code == 125


async def test_the_environment_is_exact(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_AGENT", "must not be seen")
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
        "LD_LIBRARY_PATH": "/job/lib",
        "TMPDIR": "/job",
    }
    await runs.run("cat", "/proc/self/environ", environment={**given, "PATH": PATH})
    seen = dict(entry.split("=", 1) for entry in runs.stdout().decode().split("\0") if entry)
    assert {name: value for name, value in seen.items() if name not in OF_THE_RUNTIME | {"PATH"}} == given
    assert seen["PATH"] == PATH


async def test_a_command_is_looked_up_in_the_path_of_the_run(runs: Runs) -> None:
    spec = runs.spec("task.0.1", "mine")
    inside = "/job" if runs.runtime.isolated else str(spec.directory)
    spec = replace(spec, environment={"PATH": f"/no/such:{inside}/tools:{PATH}"})
    tool = spec.directory / "tools" / "mine"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)
    await runs.runtime.start([spec])
    await runs.exit_of("task.0.1")
    assert runs.stdout() == b"found\n"


async def test_a_relative_command_starts_at_the_folder_of_the_run(runs: Runs) -> None:
    spec = runs.spec("task.0.1", "./mine.sh")
    (spec.directory / "mine.sh").write_text("#!/bin/sh\necho $0\n")
    (spec.directory / "mine.sh").chmod(0o755)
    await runs.runtime.start([spec])
    await runs.exit_of("task.0.1")
    assert runs.stdout() == b"./mine.sh\n"


async def test_the_folder_is_the_working_directory_and_what_is_written_there_stays(runs: Runs) -> None:
    spec = runs.spec("task.0.1", "sh", "-c", "cat deep/in.txt; echo more >> deep/in.txt; echo result > deep/out.txt")
    (spec.directory / "deep").mkdir()
    (spec.directory / "deep" / "in.txt").write_text("resource\n")
    await runs.runtime.start([spec])
    assert (await runs.exit_of("task.0.1")).exit_code == 0
    assert runs.stdout() == b"resource\n"
    assert (spec.directory / "deep" / "out.txt").read_text() == "result\n"
    assert (spec.directory / "deep" / "in.txt").read_text() == "resource\nmore\n"


async def test_standard_input_is_at_its_end(runs: Runs) -> None:
    exit = await runs.run("cat")
    assert (exit.exit_code, runs.stdout()) == (0, b"")


async def test_no_descriptor_is_inherited(runs: Runs) -> None:
    await runs.sh("ls -1 /proc/$$/fd; :")
    open_at_start = {int(number) for number in runs.stdout().split()}
    # A shell may keep its script at 10 or above.
    assert {number for number in open_at_start if number < 10} == {0, 1, 2}


async def test_no_signal_is_ignored_or_blocked(runs: Runs) -> None:
    await runs.run("grep", "-E", "Sig(Ign|Blk)", "/proc/self/status")
    masks = [int(word, 16) for word in runs.stdout().split()[1::2]]
    # Bit n-1 stands for signal n; 32 and 33 are the C library's own, and it ignores them as it likes.
    assert [mask & ~0x1_8000_0000 for mask in masks] == [0, 0]


async def test_output_of_ten_megabytes_is_complete_at_the_end(runs: Runs) -> None:
    exit = await runs.sh(f"head -c {10 * MEBIBYTE} /dev/zero | tr '\\0' x; printf end")
    assert exit.exit_code == 0
    assert runs.stdout() == b"x" * (10 * MEBIBYTE) + b"end"


async def test_output_is_appended_to_what_the_spool_files_hold(runs: Runs) -> None:
    spec = runs.spec("task.0.1", "echo", "second")
    if runs.image is None:  # an engine's spool is made whole from the engine's log instead
        spec.stdout.write_bytes(b"first\n")
    await runs.runtime.start([spec])
    await runs.exit_of("task.0.1")
    assert runs.stdout() == (b"" if runs.image else b"first\n") + b"second\n"


async def test_output_is_in_the_spool_while_the_run_goes_on(runs: Runs) -> None:
    await runs.runtime.start([runs.spec("task.0.1", "sh", "-c", "echo soon; sleep 1000")])
    await runs.shown("task.0.1", b"soon\n")
    await runs.runtime.stop("task.0.1")
    assert (await runs.exit_of("task.0.1")).exit_code == 137


async def test_usage_is_measured_while_a_run_works_and_told_at_its_end(runs: Runs) -> None:
    work = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo worked; cat gate"
    await runs.runtime.start([runs.spec("task.0.1", "sh", "-c", f"mkfifo gate; chmod 666 gate; {work}")])
    await runs.shown("task.0.1", b"worked")
    measured = await runs.runtime.usage("task.0.1")
    (runs.folder / "task.0.1" / "job" / "gate").write_text("go\n")
    exit = await runs.exit_of("task.0.1")
    assert measured.cpu_microseconds > 10_000
    assert measured.memory_bytes > 0
    assert exit.usage.cpu_microseconds >= measured.cpu_microseconds
    assert exit.usage.peak_memory_bytes >= measured.peak_memory_bytes


async def test_the_end_tells_what_a_short_run_used(runs: Runs) -> None:
    # The kernel ends the loop after one second of processor time; children of the command count too.
    work = "dd if=/dev/zero of=/dev/null bs=50M count=1; (ulimit -t 1; while :; do :; done)"
    exit = await runs.run("sh", "-c", f"{work}; exit 0")
    assert exit.exit_code == 0
    assert 500_000 <= exit.usage.cpu_microseconds < 5_000_000
    assert 40 << 20 <= exit.usage.peak_memory_bytes < 500 << 20


async def test_the_usage_of_a_run_that_nobody_knows_is_zero(runs: Runs) -> None:
    usage = await runs.runtime.usage("nobody.0.1")
    assert (usage.cpu_microseconds, usage.memory_bytes, usage.peak_memory_bytes) == (0, 0, 0)


async def test_a_key_that_was_started_is_not_started_again(runs: Runs) -> None:
    spec = runs.spec("task.0.1", "sh", "-c", "echo once >> times")
    await runs.runtime.start([spec, spec])
    await runs.runtime.start([spec])
    await runs.exit_of("task.0.1")
    await runs.runtime.start([spec])
    await runs.run("true", key="task.1.1")
    assert (spec.directory / "times").read_text() == "once\n"
    assert len(runs.told["task.0.1"]) == 2


async def test_many_runs_at_once_do_not_mix(runs: Runs) -> None:
    keys = [f"task.{number}.1" for number in range(12)]
    await runs.runtime.start(
        [runs.spec(key, "sh", "-c", f"echo {key}; exit {index}") for index, key in enumerate(keys)]
    )
    codes = [(await runs.exit_of(key)).exit_code for key in keys]
    assert codes == list(range(12))
    assert [runs.stdout(key).decode() for key in keys] == [f"{key}\n" for key in keys]
