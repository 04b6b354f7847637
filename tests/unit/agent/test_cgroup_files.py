"""Usage is read from both versions of cgroups, wherever they are mounted."""

from pathlib import Path

import pytest

from hearth.agent import cgroup_files
from hearth.agent.runtime.base import Usage

V2_MOUNT = "30 23 0:26 / {root}/fs rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1_MOUNTS = (
    "31 23 0:28 / {root} rw - tmpfs tmpfs rw\n"
    "33 31 0:30 / {root}/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / {root}/mem rw,relatime shared:7 - cgroup cgroup rw,memory\n"
)


def machine(root: Path, mounts: str, cgroup: str, files: dict[str, str]) -> Path:
    """Lay down the files of a machine with one process, 7, and return its /proc."""
    proc = root / "proc"
    for name, text in {"self/mountinfo": mounts.format(root=root), "7/cgroup": cgroup}.items():
        (proc / name).parent.mkdir(parents=True, exist_ok=True)
        (proc / name).write_text(text)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return proc


def read(proc: Path) -> Usage | None:
    found = cgroup_files.of_process(7, proc)
    assert found is not None
    return found.read()


def test_version_2_is_read(tmp_path: Path) -> None:
    files = {
        "fs/system.slice/docker-abc.scope/cpu.stat": "usage_usec 1234567\nuser_usec 1\n",
        "fs/system.slice/docker-abc.scope/memory.current": "9000\n",
        "fs/system.slice/docker-abc.scope/memory.peak": "12000\n",
        "fs/system.slice/docker-abc.scope/memory.stat": "anon 1\ninactive_file 4000\nactive_file 7\n",
    }
    proc = machine(tmp_path, V2_MOUNT, "0::/system.slice/docker-abc.scope\n", files)
    assert read(proc) == Usage(1234567, 5000, 12000)
    found = cgroup_files.of_process(7, proc)
    assert found is not None
    assert "abc" in found.path


def test_version_2_without_a_peak_gives_what_is_in_use_now(tmp_path: Path) -> None:
    files = {"fs/a/cpu.stat": "usage_usec 1\n", "fs/a/memory.current": "9000\n"}
    assert read(machine(tmp_path, V2_MOUNT, "0::/a\n", files)) == Usage(1, 9000, 9000)


V1_FILES = {
    "cpu/docker/abc/cpuacct.usage": "1234567000\n",
    "mem/docker/abc/memory.usage_in_bytes": "9000\n",
    "mem/docker/abc/memory.max_usage_in_bytes": "12000\n",
    "mem/docker/abc/memory.stat": "inactive_file 1\ntotal_inactive_file 4000\n",
}
V1_GROUPS = "5:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n"


@pytest.mark.parametrize("unified", ["", "0::/\n", "0::/docker/abc\n"])
def test_version_1_is_read_also_beside_version_2(tmp_path: Path, unified: str) -> None:
    proc = machine(tmp_path, V1_MOUNTS + V2_MOUNT, V1_GROUPS + unified, V1_FILES)
    assert read(proc) == Usage(1234567, 5000, 12000)


def test_a_controller_that_is_not_in_version_1_is_read_from_version_2(tmp_path: Path) -> None:
    files = {
        **V1_FILES,
        "fs/docker/abc/memory.current": "77\n",
        "fs/docker/abc/memory.peak": "99\n",
    }
    proc = machine(tmp_path, V1_MOUNTS + V2_MOUNT, "2:cpu,cpuacct:/docker/abc\n0::/docker/abc\n", files)
    assert read(proc) == Usage(1234567, 77, 99)


def test_a_hierarchy_of_which_only_a_part_is_mounted_is_read_there(tmp_path: Path) -> None:
    mount = "30 23 0:26 /kubepods/pod1 {root}/fs rw - cgroup2 cgroup2 rw"
    files = {"fs/run/cpu.stat": "usage_usec 5\n", "fs/run/memory.current": "6\n"}
    assert read(machine(tmp_path, mount, "0::/kubepods/pod1/run\n", files)) == Usage(5, 6, 6)


def test_a_cgroup_that_is_gone_measures_nothing(tmp_path: Path) -> None:
    assert read(machine(tmp_path, V2_MOUNT, "0::/gone\n", {})) is None


def test_a_process_that_is_gone_has_no_cgroup(tmp_path: Path) -> None:
    proc = machine(tmp_path, V2_MOUNT, "0::/a\n", {})
    assert cgroup_files.of_process(8, proc) is None


def test_this_process_can_be_found_on_this_machine() -> None:
    assert cgroup_files.of_process(1) is not None
