"""Nothing that a container wrote is lost, however fast it ends and however much it is."""

import hashlib

from tests.integration.docker.runs import Runs

LINES = "i=0; while [ $i -lt {count} ]; do i=$((i+1)); echo line $i; done"


async def test_ten_megabytes_arrive_whole(runs: Runs) -> None:
    script = "yes 'a line of thirty-two characters!' | head -n 312500; echo the last line"
    await runs.run("sh", "-c", script)
    expected = b"a line of thirty-two characters!\n" * 312500 + b"the last line\n"
    assert len(runs.stdout()) == len(expected)
    assert hashlib.sha256(runs.stdout()).digest() == hashlib.sha256(expected).digest()


async def test_the_only_line_of_200_fast_runs_is_never_lost(runs: Runs) -> None:
    keys = [f"task.{number}.1" for number in range(200)]
    await runs.runtime.start([runs.spec(key, "echo", "only line of", key) for key in keys])
    for key in keys:
        assert (await runs.exit_of(key)).exit_code == 0
    assert {key: runs.stdout(key) for key in keys} == {key: f"only line of {key}\n".encode() for key in keys}


async def test_output_can_be_read_while_the_run_goes_on(runs: Runs) -> None:
    spec = runs.spec("task.0.1", "sh", "-c", "echo first; cat /job/gate; echo last")
    gate = spec.directory / "gate"
    await runs.run("mkfifo", "/job/gate", key="task.1.1", directory=spec.directory)
    await runs.runtime.start([spec])
    await runs.shown("task.0.1", b"first\n")
    gate.write_text("middle\n")
    await runs.exit_of("task.0.1")
    assert runs.stdout("task.0.1") == b"first\nmiddle\nlast\n"


async def test_a_run_that_closes_its_output_is_followed_to_its_end(runs: Runs) -> None:
    spec = runs.spec("task.0.1", "sh", "-c", "echo shown; exec >/dev/null 2>&1; cat /job/gate; exit 5")
    await runs.run("mkfifo", "/job/gate", key="task.1.1", directory=spec.directory)
    await runs.runtime.start([spec])
    await runs.shown("task.0.1", b"shown\n")
    (spec.directory / "gate").write_text("go\n")
    assert (await runs.exit_of("task.0.1")).exit_code == 5
    assert runs.stdout("task.0.1") == b"shown\n"


async def test_children_that_hold_the_output_open_end_with_the_command(runs: Runs) -> None:
    exit = await runs.run("sh", "-c", "sleep 1000 & echo parent ends")
    assert (exit.exit_code, runs.stdout()) == (0, b"parent ends\n")


async def test_what_was_in_the_spool_before_stays(runs: Runs) -> None:
    spec = runs.spec("task.0.1", "echo", "new")
    spec.stdout.write_bytes(b"old\n")
    await runs.runtime.start([spec])
    await runs.exit_of("task.0.1")
    assert runs.stdout() == b"old\nnew\n"
