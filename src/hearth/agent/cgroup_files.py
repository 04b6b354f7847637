"""Reading what a process tree has used from its cgroup, version 1 and version 2.

The kernel tells in `/proc/PID/cgroup` which groups a process is in, and in `/proc/self/mountinfo` where the
hierarchies are mounted. On version 1 each controller may lie in a hierarchy of its own; on a hybrid machine
both versions are mounted and a controller is bound to one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hearth.agent.runtime.base import Usage


@dataclass(frozen=True, slots=True)
class CgroupFiles:
    """The folders in which one cgroup's processor time and memory can be read; None: cannot be measured."""

    path: str  # of the cgroup in its hierarchy, as the kernel names it
    cpu: Path | None
    memory: Path | None
    cpu_is_v2: bool
    memory_is_v2: bool

    def read(self) -> Usage | None:
        """Measure now; None once the cgroup is gone."""
        cpu = _cpu(self.cpu, v2=self.cpu_is_v2) if self.cpu else 0
        memory, peak = _memory(self.memory, v2=self.memory_is_v2) if self.memory else (0, 0)
        if cpu is None and memory is None:
            return None
        return Usage(cpu or 0, memory or 0, max(peak or 0, memory or 0))


def of_process(pid: int, proc: Path = Path("/proc")) -> CgroupFiles | None:
    """Return where the cgroup of process `pid` can be read; None when there is no such process."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
        mounts = list(_mounts((proc / "self/mountinfo").read_text()))
    except OSError:
        return None
    unified = ""
    by_controller: dict[str, str] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers:
            by_controller.update(dict.fromkeys(controllers.split(","), path))
        else:
            unified = path
    cpu_is_v2 = "cpuacct" not in by_controller
    memory_is_v2 = "memory" not in by_controller
    cpu_path = unified if cpu_is_v2 else by_controller["cpuacct"]
    memory_path = unified if memory_is_v2 else by_controller["memory"]
    return CgroupFiles(
        path=memory_path or cpu_path,
        cpu=_folder(mounts, "" if cpu_is_v2 else "cpuacct", cpu_path),
        memory=_folder(mounts, "" if memory_is_v2 else "memory", memory_path),
        cpu_is_v2=cpu_is_v2,
        memory_is_v2=memory_is_v2,
    )


@dataclass(frozen=True, slots=True)
class _Mount:
    root: PurePosixPath
    point: Path
    controllers: frozenset[str]  # empty: version 2


def _mounts(mountinfo: str) -> Iterator[_Mount]:
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, tail = before.split(), after.split()
        if len(tail) < 3 or tail[0] not in ("cgroup", "cgroup2"):
            continue
        controllers = frozenset(tail[2].split(",")) if tail[0] == "cgroup" else frozenset[str]()
        yield _Mount(PurePosixPath(fields[3]), Path(fields[4]), controllers)


def _folder(mounts: list[_Mount], controller: str, path: str) -> Path | None:
    if not path:
        return None
    for mount in mounts:
        if (controller in mount.controllers) if controller else not mount.controllers:
            inside = PurePosixPath(path)
            if inside.is_relative_to(mount.root):
                return mount.point / inside.relative_to(mount.root)
    return None


def _cpu(folder: Path, *, v2: bool) -> int | None:
    if v2:
        return _field(folder / "cpu.stat", "usage_usec")
    nanoseconds = _number(folder / "cpuacct.usage")
    return None if nanoseconds is None else nanoseconds // 1000


def _memory(folder: Path, *, v2: bool) -> tuple[int | None, int | None]:
    current = _number(folder / ("memory.current" if v2 else "memory.usage_in_bytes"))
    peak = _number(folder / ("memory.peak" if v2 else "memory.max_usage_in_bytes"))
    if current is not None:
        # Page cache that the kernel would give back at once is not what people call memory in use.
        cache = _field(folder / "memory.stat", "inactive_file" if v2 else "total_inactive_file")
        current = max(0, current - (cache or 0))
    return current, peak


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _field(path: Path, name: str) -> int | None:
    try:
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    except (OSError, ValueError):
        pass
    return None
