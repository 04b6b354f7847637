"""One cgroup per run, for limits and measurements, on cgroups v1 and v2.

The groups lie below the spawner's own place (v1), or below the nearest place above it that may hold groups
(v2), in a folder that carries the site: `.../hearth-<site>/<run>`. So whatever bounds the spawner bounds
its runs, and a later spawner finds what an earlier one left.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from hearth.agent.spawner.messages import Limits

_PERIOD_MICROSECONDS = 100_000
_V1 = ("memory", "pids", "cpu", "cpuacct")
_V2 = ("memory", "pids", "cpu")
_HAND_DOWN = " ".join(f"+{controller}" for controller in _V2)


def group_name(key: str) -> str:
    """Return the folder name of a run's cgroup."""
    return key.replace("/", "%2f")


def read(path: str) -> str:
    """Return a file's text; nothing when it cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _number(text: str) -> int:
    text = text.strip()
    return int(text) if text.isdigit() else 0


def _field(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return _number(value)
    return 0


def measure(folders: Mapping[str, str], key: str) -> tuple[int, int, int]:
    """Return a run's microseconds of processor time, bytes of memory now, and their peak."""
    name = group_name(key)
    memory = f"{folders.get('memory', '')}/{name}"
    # Page cache that the kernel would give back at once is not what people call memory in use.
    if "cpuacct" in folders:
        cpu = _number(read(f"{folders['cpuacct']}/{name}/cpuacct.usage")) // 1000
        now, peak, cache = "memory.usage_in_bytes", "memory.max_usage_in_bytes", "total_inactive_file"
    else:
        cpu = _field(read(f"{folders.get('cpu', '')}/{name}/cpu.stat"), "usage_usec")
        now, peak, cache = "memory.current", "memory.peak", "inactive_file"
    used = _number(read(f"{memory}/{now}")) - _field(read(f"{memory}/memory.stat"), cache)
    return cpu, max(0, used), _number(read(f"{memory}/{peak}"))


class Cgroups:
    """Makes, reads and removes the cgroups of one site's runs."""

    def __init__(self, site: str, folders: Mapping[str, str], details: str) -> None:
        self.site = site
        self.folders = dict(folders)  # controller -> the site's folder; empty: no limits on this machine
        self.details = details
        self._late: set[str] = set()  # groups that could not be removed at once
        self._made = False

    @property
    def usable(self) -> bool:
        """Whether runs can be limited."""
        return bool(self.folders)

    def create(self, key: str, limits: Limits) -> list[str]:
        """Make a run's cgroup; a process joins it by writing 0 to each of the returned files."""
        self._remove_late()
        self._make()
        name = group_name(key)
        groups = list(dict.fromkeys(f"{folder}/{name}" for folder in self.folders.values()))
        for group in groups:
            try:
                os.mkdir(group)
            except FileExistsError:
                pass
        memory, pids, cpu = (f"{self.folders[controller]}/{name}" for controller in _V2)
        quota = max(1000, int(limits.cores * _PERIOD_MICROSECONDS))
        if "cpuacct" in self.folders:
            _write(f"{cpu}/cpu.cfs_period_us", str(_PERIOD_MICROSECONDS))
            _write(f"{cpu}/cpu.cfs_quota_us", str(quota))
            if limits.memory_bytes:
                _write(f"{memory}/memory.limit_in_bytes", str(limits.memory_bytes))
                if os.path.exists(f"{memory}/memory.memsw.limit_in_bytes"):
                    _write(f"{memory}/memory.memsw.limit_in_bytes", str(limits.memory_bytes))
        else:
            _write(f"{cpu}/cpu.max", f"{quota} {_PERIOD_MICROSECONDS}")
            if limits.memory_bytes:
                _write(f"{memory}/memory.max", str(limits.memory_bytes))
                if os.path.exists(f"{memory}/memory.swap.max"):
                    _write(f"{memory}/memory.swap.max", "0")
        if limits.pids:
            _write(f"{pids}/pids.max", str(limits.pids))
        return [f"{group}/cgroup.procs" for group in groups]

    def _make(self) -> None:
        """Make the site's folders; they wait for the first run that needs them."""
        if not self._made:
            for folder in set(self.folders.values()):
                os.makedirs(folder, exist_ok=True)
                if "cpuacct" not in self.folders:
                    _write(f"{folder}/cgroup.subtree_control", _HAND_DOWN)
            self._made = True

    def members(self, key: str) -> list[int]:
        """Return the processes that are in a run's cgroup."""
        folder = self.folders.get("pids")
        return [int(pid) for pid in read(f"{folder}/{group_name(key)}/cgroup.procs").split()] if folder else []

    def out_of_memory(self, key: str) -> bool:
        """Whether the kernel killed a process of this run for its memory."""
        group = f"{self.folders.get('memory', '')}/{group_name(key)}"
        file = "memory.oom_control" if "cpuacct" in self.folders else "memory.events"
        return _field(read(f"{group}/{file}"), "oom_kill") > 0

    def remove(self, key: str) -> None:
        """Remove a run's cgroup, now or with one of the next."""
        self._late.add(group_name(key))
        self._remove_late()

    def _remove_late(self) -> None:
        for name in list(self._late):
            if not [folder for folder in set(self.folders.values()) if not _removed(f"{folder}/{name}")]:
                self._late.discard(name)

    def try_out(self) -> None:
        """Make the site's folders and remove them; raises `OSError` when they cannot be made."""
        try:
            self._make()
        finally:
            self.close()

    def close(self) -> None:
        """Remove the site's folders if they are empty."""
        self._remove_late()
        self._made = False
        for folder in set(self.folders.values()):
            _removed(folder)


def _removed(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def site_folder(site: str) -> str:
    """Return the name of the folder that holds the cgroups of a site."""
    return f"hearth-{site}"


class _Mounts:
    """Where the cgroup hierarchies are mounted, and where this process is in them."""

    def __init__(self, mountinfo: str, own: str) -> None:
        self.v1: dict[str, str] = {}  # controller -> own folder
        self.v2: str | None = None
        self.v2_top = ""
        self.tops: list[str] = []
        places = {}
        for line in own.splitlines():
            _, controllers, place = line.split(":", 2)
            for controller in controllers.split(","):
                places[controller] = place
        for line in mountinfo.splitlines():
            left, _, right = line.partition(" - ")
            kind, _, options = right.partition(" ")
            if kind not in ("cgroup", "cgroup2"):
                continue
            root, top = left.split()[3:5]
            self.tops.append(top)
            if kind == "cgroup2":
                self.v2_top, self.v2 = top, _below(top, root, places.get("", "/"))
            else:
                for controller in options.split()[-1].split(","):
                    if controller in _V1:
                        self.v1[controller] = _below(top, root, places.get(controller, "/"))


def _below(top: str, root: str, place: str) -> str:
    if root != "/":  # a container sees only its own part of the hierarchy
        place = place[len(root) :] if place.startswith(root) else "/"
    return (top + "/" + place.strip("/")).rstrip("/")


def _mounts(mountinfo: str | None, own: str | None) -> _Mounts:
    return _Mounts(
        read("/proc/self/mountinfo") if mountinfo is None else mountinfo,
        read("/proc/self/cgroup") if own is None else own,
    )


def detect(site: str, *, mountinfo: str | None = None, own: str | None = None) -> Cgroups:
    """Find a place for the cgroups of a site's runs."""
    mounts = _mounts(mountinfo, own)
    name = site_folder(site)
    if mounts.v2 is not None and "memory" in read(f"{mounts.v2_top}/cgroup.controllers").split():
        return _detect_v2(site, name, mounts.v2, mounts.v2_top)
    missing = [controller for controller in _V1 if controller not in mounts.v1]
    if missing:
        return Cgroups(site, {}, f"no limits: this machine has no cgroup controller {', '.join(missing)}")
    folders = {controller: f"{place}/{name}" for controller, place in mounts.v1.items()}
    cgroups = Cgroups(site, folders, f"cgroups v1 below {folders['memory']}")
    try:
        cgroups.try_out()
    except OSError as error:
        return Cgroups(site, {}, f"no limits: {error.filename} cannot be made: {error.strerror}")
    return cgroups


def _detect_v2(site: str, name: str, own: str, top: str) -> Cgroups:
    why = "no place holds groups"
    place = own
    while place.startswith(top):
        folder = f"{place}/{name}"
        try:
            # A group with processes of its own cannot hand controllers down, so look further up.
            if not _has_all(read(f"{place}/cgroup.subtree_control")):
                _write(f"{place}/cgroup.subtree_control", _HAND_DOWN)
            cgroups = Cgroups(site, dict.fromkeys(_V2, folder), f"cgroups v2 below {folder}")
            cgroups.try_out()
        except OSError as error:
            why = f"{place}: {error.strerror}"
        else:
            return cgroups
        place = place.rpartition("/")[0]
    return Cgroups(site, {}, f"no limits: {why}; run as root, or delegate a cgroup to this user")


def _has_all(controllers: str) -> bool:
    return set(_V2) <= set(controllers.split())


def leftovers(site: str, *, mountinfo: str | None = None, own: str | None = None) -> list[str]:
    """Return every cgroup that an earlier spawner of this site left, deepest first."""
    name = site_folder(site)
    found: list[str] = []
    for top in _mounts(mountinfo, own).tops:
        for folder, below, _ in os.walk(top):
            if folder.rpartition("/")[2] == name:
                found.extend(inner for inner, _, _ in os.walk(folder, topdown=False))
                below.clear()
    return found
