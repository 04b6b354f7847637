"""Where cgroups are made, and what is read from them, on both versions: folders stand for hierarchies."""

from pathlib import Path

import pytest

from hearth.agent.spawner.cgroups import Cgroups, detect, leftovers, measure
from hearth.agent.spawner.messages import Limits

LIMITS = Limits(cores=1.5, memory_bytes=1000, pids=7)


def v1(root: Path, own: str = "/") -> dict[str, str]:
    """A machine with version 1, as the kernel describes it."""
    lines, places = [], []
    for number, controllers in enumerate(("memory", "pids", "cpu,cpuacct", "freezer")):
        top = root / controllers
        (top / own.strip("/")).mkdir(parents=True)
        lines.append(f"{30 + number} 20 0:{number} / {top} rw,relatime - cgroup cgroup rw,{controllers}")
        places.append(f"{number}:{controllers}:{own}")
    return {"mountinfo": "\n".join(lines), "own": "\n".join(places)}


def v2(root: Path, own: str = "/a/b", mount_root: str = "/") -> dict[str, str]:
    """A machine with version 2 only."""
    (root / own.strip("/")).mkdir(parents=True, exist_ok=True)
    (root / "cgroup.controllers").write_text("cpu io memory pids\n")
    others = "31 20 0:2 / /tmp rw - tmpfs t rw"
    return {
        "mountinfo": f"30 20 0:1 {mount_root} {root} rw - cgroup2 cgroup2 rw,nsdelegate\n{others}",
        "own": f"0::{own if mount_root == '/' else mount_root + own}\n",
    }


def writable(*folders: Path) -> None:
    """Make the control file that the kernel would make."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.subtree_control").write_text("")


def ready(cgroups: Cgroups, key: str, *files: str) -> None:
    """Make the files of a run's group that the kernel would make with it."""
    for file in files:
        folder = Path(cgroups.folders[file.split(".")[0]]) / key
        folder.mkdir(exist_ok=True)
        (folder / file).write_text("")


def test_groups_of_version_1_lie_below_the_spawners_own(tmp_path: Path) -> None:
    cgroups = detect("s", **v1(tmp_path, own="/mine"))
    assert cgroups.folders == {
        "memory": f"{tmp_path}/memory/mine/hearth-s",
        "pids": f"{tmp_path}/pids/mine/hearth-s",
        "cpu": f"{tmp_path}/cpu,cpuacct/mine/hearth-s",
        "cpuacct": f"{tmp_path}/cpu,cpuacct/mine/hearth-s",
    }
    assert list(tmp_path.glob("*/mine/*")) == []  # until a run needs them


def test_limits_of_version_1(tmp_path: Path) -> None:
    cgroups = detect("s", **v1(tmp_path))
    for folder in cgroups.folders.values():
        Path(folder).mkdir(exist_ok=True)
    ready(cgroups, "k", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    ready(cgroups, "k", "pids.max", "cpu.cfs_period_us", "cpu.cfs_quota_us")
    join = cgroups.create("k", LIMITS)
    assert join == [f"{tmp_path}/{name}/hearth-s/k/cgroup.procs" for name in ("memory", "pids", "cpu,cpuacct")]
    written = {path.name: path.read_text() for path in tmp_path.glob("*/hearth-s/k/*")}
    assert written == {
        "memory.limit_in_bytes": "1000",
        "memory.memsw.limit_in_bytes": "1000",
        "pids.max": "7",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "150000",
    }


def test_without_a_controller_there_are_no_limits_and_it_is_said(tmp_path: Path) -> None:
    machine = v1(tmp_path)
    machine["mountinfo"] = "\n".join(line for line in machine["mountinfo"].splitlines() if "pids" not in line)
    cgroups = detect("s", **machine)
    assert not cgroups.usable
    assert "pids" in cgroups.details


def test_groups_of_version_2_lie_in_the_nearest_place_that_may_hold_them(tmp_path: Path) -> None:
    machine = v2(tmp_path)
    writable(tmp_path / "a", tmp_path / "a" / "hearth-s")  # of the own place, the kernel says: busy
    (tmp_path / "a" / "b" / "cgroup.subtree_control").mkdir()
    cgroups = detect("s", **machine)
    assert set(cgroups.folders.values()) == {f"{tmp_path}/a/hearth-s"}
    assert (tmp_path / "a" / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    assert (tmp_path / "a" / "hearth-s" / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"


def test_a_container_sees_only_its_part_of_the_hierarchy(tmp_path: Path) -> None:
    machine = v2(tmp_path, own="/a", mount_root="/docker/x")
    writable(tmp_path / "a", tmp_path / "a" / "hearth-s")
    assert set(detect("s", **machine).folders.values()) == {f"{tmp_path}/a/hearth-s"}


def test_when_no_place_of_version_2_may_hold_groups_it_is_said(tmp_path: Path) -> None:
    cgroups = detect("s", **v2(tmp_path))
    assert not cgroups.usable
    assert "delegate" in cgroups.details


def test_limits_of_version_2(tmp_path: Path) -> None:
    folder = tmp_path / "hearth-s"
    writable(folder)
    cgroups = Cgroups("s", dict.fromkeys(("memory", "pids", "cpu"), str(folder)), "")
    ready(cgroups, "k", "memory.max", "memory.swap.max", "pids.max", "cpu.max")
    assert cgroups.create("k", LIMITS) == [f"{folder}/k/cgroup.procs"]
    assert (folder / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    written = {path.name: path.read_text() for path in folder.glob("k/*")}
    assert written == {
        "memory.max": "1000",
        "memory.swap.max": "0",
        "pids.max": "7",
        "cpu.max": "150000 100000",
    }


@pytest.mark.parametrize(("killed", "expected"), [("0", False), ("2", True)])
@pytest.mark.parametrize("version", [1, 2])
def test_usage_and_lack_of_memory_are_read(tmp_path: Path, version: int, killed: str, expected: bool) -> None:
    group = tmp_path / "k"
    group.mkdir()
    if version == 1:
        folders = dict.fromkeys(("memory", "pids", "cpu", "cpuacct"), str(tmp_path))
        files = {
            "cpuacct.usage": "5000999\n",
            "memory.usage_in_bytes": "700\n",
            "memory.max_usage_in_bytes": "900\n",
            "memory.stat": "inactive_file 1\ntotal_inactive_file 100\n",
            "memory.oom_control": f"oom_kill_disable 0\nunder_oom 0\noom_kill {killed}\n",
        }
    else:
        folders = dict.fromkeys(("memory", "pids", "cpu"), str(tmp_path))
        files = {
            "cpu.stat": "usage_usec 5000\nuser_usec 1\n",
            "memory.current": "700\n",
            "memory.peak": "900\n",
            "memory.stat": "anon 5\ninactive_file 100\n",
            "memory.events": f"low 0\noom 3\noom_kill {killed}\n",
        }
    for name, text in files.items():
        (group / name).write_text(text)
    assert measure(folders, "k") == (5000, 600, 900)
    assert Cgroups("s", folders, "").out_of_memory("k") is expected


def test_what_cannot_be_measured_is_zero() -> None:
    assert measure({}, "k") == (0, 0, 0)


def test_a_key_with_a_slash_stays_one_folder(tmp_path: Path) -> None:
    (tmp_path / "a%2fb").mkdir()
    (tmp_path / "a%2fb" / "memory.current").write_text("5")
    assert measure({"memory": str(tmp_path), "cpu": str(tmp_path)}, "a/b") == (0, 5, 0)


def test_leftovers_of_a_site_are_found_wherever_they_lie_deepest_first(tmp_path: Path) -> None:
    machine = v2(tmp_path)
    (tmp_path / "x" / "hearth-s" / "run" / "inner").mkdir(parents=True)
    (tmp_path / "x" / "hearth-other" / "run").mkdir(parents=True)
    found = leftovers("s", **machine)
    assert found == [f"{tmp_path}/x/hearth-s{rest}" for rest in ("/run/inner", "/run", "")]


def test_a_group_that_is_busy_is_removed_with_a_later_one(tmp_path: Path) -> None:
    cgroups = Cgroups("s", {"memory": str(tmp_path), "pids": str(tmp_path), "cpu": str(tmp_path)}, "")
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy" / "process").touch()
    cgroups.remove("busy")
    assert (tmp_path / "busy").exists()
    (tmp_path / "busy" / "process").unlink()
    cgroups.remove("other")
    assert not (tmp_path / "busy").exists()
