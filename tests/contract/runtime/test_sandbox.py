"""What the sandbox hides, gives and limits."""

import os
import socket
from pathlib import Path

import pytest

from hearth.agent.runtime.base import Refused
from hearth.agent.runtime.sandbox import RUN_UID, SandboxRuntime, available
from tests.contract.runtime.machine import MEBIBYTE, PATH, Machine, Runs

needs_limits = pytest.mark.skipif(os.geteuid() != 0, reason="limits need the right to make cgroups: run as root")


def test_a_machine_with_bubblewrap_can_make_sandboxes(bubblewrap: str) -> None:
    assert available() is None


def test_a_machine_without_bubblewrap_says_how_to_mend_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth.agent.runtime.sandbox._PATH_OF_TOOLS", "/nowhere")
    assert "install bubblewrap" in (available() or "")


@pytest.mark.parametrize("hidden", ["/root", "/home", "/run", "/var", "/srv", "/etc/shadow", "/etc/hostname", "/sys"])
async def test_places_of_the_machine_are_not_there(sandboxed: Runs, hidden: str) -> None:
    await sandboxed.sh(f"[ -e {hidden} ] && echo there || echo not there")
    assert sandboxed.stdout() == b"not there\n"


async def test_the_data_directory_is_not_there(sandboxed: Runs) -> None:
    spec = sandboxed.spec("task.0.1", "sh", "-c", f"ls {sandboxed.folder} || ls -A /tmp; cat /proc/mounts > mounts")
    await sandboxed.runtime.start([spec])
    await sandboxed.exit_of("task.0.1")
    assert sandboxed.stdout() == b""


async def test_a_data_directory_below_usr_can_be_hidden(sandbox_machine: Machine) -> None:
    secret = Path("/usr/share")
    assert sandbox_machine.spawner is not None
    runtime = SandboxRuntime(sandbox_machine.spawner.socket, hidden=[secret])
    runs = Runs(runtime, sandbox_machine.folder, None)
    await runtime.open()
    try:
        await runs.sh("ls -A /usr/share; echo end")
        assert runs.stdout() == b"end\n"
    finally:
        await runtime.close()


async def test_nothing_of_the_machine_can_be_written(sandboxed: Runs) -> None:
    script = "for f in /x /usr/x /bin/x /etc/x /etc/passwd /proc/sys/kernel/hostname; do (echo 1 > $f) && echo $f; done"
    await sandboxed.sh(script)
    assert sandboxed.stdout() == b""


async def test_own_folder_and_temporary_files_can_be_written(sandboxed: Runs) -> None:
    exit = await sandboxed.sh("set -e; echo 1 > x; mkdir -p a/b; echo 2 > /tmp/x; echo 3 > /dev/shm/x; cat x /tmp/x")
    assert (exit.exit_code, sandboxed.stdout()) == (0, b"1\n2\n")


async def test_what_a_run_writes_can_be_read_and_removed_by_the_agent(sandboxed: Runs) -> None:
    spec = sandboxed.spec("task.0.1", "sh", "-c", "umask 077; mkdir deep; echo mine > deep/file; chmod 000 deep/file")
    await sandboxed.runtime.start([spec])
    await sandboxed.exit_of("task.0.1")
    (spec.directory / "deep" / "file").chmod(0o600)
    assert (spec.directory / "deep" / "file").read_text() == "mine\n"
    (spec.directory / "deep" / "file").unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_a_file_that_has_a_second_name_is_not_given_away(sandboxed: Runs) -> None:
    shared = sandboxed.folder / "cached"
    shared.write_text("shared")
    spec = sandboxed.spec("task.0.1", "sh", "-c", "cat resource; echo changed > resource")
    os.link(shared, spec.directory / "resource")
    await sandboxed.runtime.start([spec])
    exit = await sandboxed.exit_of("task.0.1")
    assert exit.exit_code != 0
    assert (shared.read_text(), shared.stat().st_uid) == ("shared", 0)
    assert sandboxed.stdout() == b"shared"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_a_run_of_root_is_an_unprivileged_user_without_rights(sandboxed: Runs) -> None:
    await sandboxed.run("grep", "-E", "^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb)|NoNewPrivs):", "/proc/self/status")
    told = {line.split(":")[0]: line.split(":")[1].split() for line in sandboxed.stdout().decode().splitlines()}
    assert told.pop("Uid") == [str(RUN_UID)] * 4
    assert told.pop("Gid") == [str(RUN_UID)] * 4
    assert told.pop("Groups") == []
    assert told.pop("NoNewPrivs") == ["1"]
    assert {int(value[0], 16) for value in told.values()} == {0}


async def test_a_run_cannot_load_code_before_it_has_lost_its_rights(sandboxed: Runs) -> None:
    environment = {"PATH": PATH, "LD_PRELOAD": "/job/not-there.so"}
    await sandboxed.run("cat", "/proc/self/environ", environment=environment)
    assert b"LD_PRELOAD=/job/not-there.so" in sandboxed.stdout()
    # The loader complains once per program that it starts: only the run's own may be among them.
    assert sandboxed.stderr().count(b"not-there.so") == 1


async def test_a_run_sees_its_own_processes_only(sandboxed: Runs) -> None:
    await sandboxed.sh("ls -d /proc/[0-9]* | wc -l; kill -9 -1; echo alone")
    assert int(sandboxed.stdout().split()[0]) <= 5
    assert (await sandboxed.run("true", key="task.1.1")).exit_code == 0


async def test_there_is_no_network_by_default(sandboxed: Runs) -> None:
    await sandboxed.sh("cut -d: -f1 -s /proc/net/dev; [ -e /etc/resolv.conf ] || echo no names")
    assert sandboxed.stdout().split() == [b"lo", b"no", b"names"]


async def test_with_network_the_machines_own_is_there(sandboxed: Runs) -> None:
    await sandboxed.run("cat", "/proc/net/dev", network=True)
    seen = {line.split(":")[0].strip() for line in sandboxed.stdout().decode().splitlines() if ":" in line}
    assert seen == {name for _, name in socket.if_nameindex()}


async def test_the_host_name_can_be_chosen_and_resolved(sandboxed: Runs) -> None:
    await sandboxed.sh("cat /proc/sys/kernel/hostname; grep -c render-7 /etc/hosts; id -un", hostname="render-7")
    assert sandboxed.stdout() == b"render-7\n1\nhearth\n"


async def test_a_host_name_that_is_too_long_is_refused(sandboxed: Runs) -> None:
    refused = await sandboxed.refused("true", hostname="h" * 80)
    assert (refused.exit_code, refused.code) == (125, "HOSTNAME_INVALID")


async def test_the_folder_can_appear_elsewhere(sandboxed: Runs) -> None:
    await sandboxed.sh("pwd; echo x > '/data/in put:here/y'; ls /data", mount_point="/data/in put:here")
    assert sandboxed.stdout() == b"/data/in put:here\nin put:here\n"
    assert (sandboxed.folder / "task.0.1" / "job" / "y").exists()


@pytest.mark.parametrize("place", ["/tmp/elsewhere", "/srv/deep/elsewhere", "/job/deep/elsewhere"])
async def test_the_working_directory_moves_without_the_folder(sandboxed: Runs, place: str) -> None:
    exit = await sandboxed.sh(f"pwd; echo x > {place}/y && ls -d /job", working_directory=place)
    assert (exit.exit_code, sandboxed.stdout()) == (0, f"{place}\n/job\n".encode())


async def test_the_working_directory_may_be_one_of_the_machine(sandboxed: Runs) -> None:
    await sandboxed.run("pwd", working_directory="/usr/bin")
    assert sandboxed.stdout() == b"/usr/bin\n"


@pytest.mark.parametrize("place", ["some/where", "/", "/usr/no/such", "/job/out/there"])
async def test_a_working_directory_that_cannot_be_is_refused(sandboxed: Runs, place: str) -> None:
    spec = sandboxed.spec("task.0.1", "true", working_directory=place)
    (spec.directory / "out").symlink_to("/")
    await sandboxed.runtime.start([spec])
    refused = await sandboxed.end_of("task.0.1")
    assert isinstance(refused, Refused)
    assert (refused.exit_code, refused.code) == (125, "WORKING_DIRECTORY_INVALID")
    assert repr(place) in refused.message


async def test_words_of_the_command_are_not_options_of_the_sandbox(sandboxed: Runs) -> None:
    refused = await sandboxed.refused("--bind", "/", "/host")
    assert (refused.exit_code, refused.code) == (127, "COMMAND_NOT_FOUND")


async def test_a_folder_that_vanished_is_not_the_users_failure(sandboxed: Runs) -> None:
    gone, fine = sandboxed.spec("task.0.1", "true"), sandboxed.spec("task.1.1", "true")
    gone.directory.rmdir()
    await sandboxed.runtime.start([gone, fine])
    assert "folder of the run" in (await sandboxed.lost("task.0.1")).message
    assert (await sandboxed.exit_of("task.1.1")).exit_code == 0


async def test_a_sandbox_that_cannot_be_made_is_not_the_users_failure(sandboxed: Runs) -> None:
    spec = sandboxed.spec("task.0.1", "true", mount_point="/usr/job")
    await sandboxed.runtime.start([spec])
    assert "sandbox could not be made" in (await sandboxed.lost("task.0.1")).message


async def test_secrets_of_the_environment_are_not_on_any_command_line(sandboxed: Runs) -> None:
    await sandboxed.runtime.start(
        [sandboxed.spec("task.0.1", "sh", "-c", "echo up; sleep 1000", environment={"PATH": PATH, "KEY": "hush-hush"})]
    )
    await sandboxed.shown("task.0.1", b"up")
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    await sandboxed.runtime.stop("task.0.1")
    await sandboxed.exit_of("task.0.1")
    assert not any(b"hush-hush" in line for line in lines)


@needs_limits
async def test_too_much_memory_ends_a_run_as_out_of_memory(sandboxed: Runs) -> None:
    exit = await sandboxed.run("tail", "/dev/zero", memory_bytes=32 * MEBIBYTE)
    assert (exit.exit_code, exit.out_of_memory) == (137, True)
    assert 0 < exit.usage.peak_memory_bytes <= 32 * MEBIBYTE


@needs_limits
async def test_a_failure_of_its_own_is_not_out_of_memory(sandboxed: Runs) -> None:
    exit = await sandboxed.sh("exit 137", memory_bytes=32 * MEBIBYTE)
    assert (exit.exit_code, exit.out_of_memory) == (137, False)


@needs_limits
async def test_files_in_memory_count_as_memory(sandboxed: Runs) -> None:
    exit = await sandboxed.sh("head -c 64M /dev/zero > /tmp/big", memory_bytes=32 * MEBIBYTE)
    assert exit.out_of_memory


@needs_limits
async def test_the_number_of_processes_is_limited(sandboxed: Runs) -> None:
    exit = await sandboxed.sh("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done; echo all", pids=6)
    assert exit.exit_code != 0
    assert b"all" not in sandboxed.stdout()


@needs_limits
async def test_as_many_processes_as_promised_fit(sandboxed: Runs) -> None:
    exit = await sandboxed.sh("for i in 1 2 3 4 5; do sleep 100 & done; echo all", pids=6)
    assert (exit.exit_code, sandboxed.stdout()) == (0, b"all\n")


@needs_limits
async def test_cores_are_limited(sandboxed: Runs) -> None:
    groups = sandboxed.runtime._client.welcome.cgroups  # type: ignore[attr-defined]
    await sandboxed.runtime.start([sandboxed.spec("task.0.1", "sh", "-c", "echo up; sleep 1000", cores=0.5)])
    await sandboxed.shown("task.0.1", b"up")
    folder = Path(groups["cpu"]) / "task.0.1"
    quota = folder / "cpu.cfs_quota_us"
    limit = quota.read_text().split() if quota.exists() else (folder / "cpu.max").read_text().split()
    await sandboxed.runtime.stop("task.0.1")
    await sandboxed.exit_of("task.0.1")
    assert limit[0] == "50000"


@needs_limits
async def test_nothing_of_its_cgroups_is_left_after_a_run(sandboxed: Runs) -> None:
    groups = sandboxed.runtime._client.welcome.cgroups  # type: ignore[attr-defined]
    await sandboxed.sh("sleep 1000 & exit 0", key="task.0.1")
    await sandboxed.run("true", key="task.1.1")
    left = [path.name for folder in set(groups.values()) for path in Path(folder).iterdir() if path.is_dir()]
    assert left == []
