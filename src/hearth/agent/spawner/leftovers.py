"""A new spawner ends what an earlier one of its site left running, before it serves."""

from __future__ import annotations

import os
import select
import signal
import time

from hearth.agent.spawner import cgroups, procfs

_PATIENCE_SECONDS = 10.0


class StillAlive(RuntimeError):
    """Processes of an earlier spawner do not end."""

    def __init__(self, site: str, pids: list[int]) -> None:
        super().__init__(f"site {site}: processes of an earlier spawner do not end: {pids}")
        self.pids = pids


def kill_leftovers(site: str) -> int:
    """Kill every process that carries the site's mark, or is in its cgroups; return how many there were."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    groups = cgroups.leftovers(site)
    killed: set[int] = set()
    while found := _found(site, groups):
        if time.monotonic() > deadline:
            raise StillAlive(site, sorted(found))
        killed |= found
        _kill(found, deadline)
    for group in groups:
        try:
            os.rmdir(group)
        except OSError:
            pass  # a zombie that its parent has not reaped may hold it; the next spawner removes it
    return len(killed)


def _found(site: str, groups: list[str]) -> set[int]:
    spared = {0}
    ancestor = os.getpid()
    while ancestor > 0:
        spared.add(ancestor)
        ancestor = procfs.parent_of(ancestor)
    marked = {pid for pid in procfs.processes() if procfs.run_of(pid, site) is not None}
    marked |= {int(pid) for group in groups for pid in cgroups.read(f"{group}/cgroup.procs").split()}
    found = {member for pid in marked - spared for member in procfs.tree(pid)} - spared
    return {pid for pid in found if not procfs.is_zombie(pid)}


def _kill(pids: set[int], deadline: float) -> None:
    """Kill them all and wait until they are gone."""
    poll = select.poll()
    waiting = 0
    descriptors = []
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            continue
        descriptors.append(descriptor)
        poll.register(descriptor, select.POLLIN)
        waiting += 1
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    while waiting and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left * 1000):
            poll.unregister(descriptor)
            waiting -= 1
    for descriptor in descriptors:
        os.close(descriptor)
