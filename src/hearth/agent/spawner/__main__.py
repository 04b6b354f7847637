"""`python -m hearth.agent.spawner --socket PATH --site SITE_ID --pid-file PATH`: run the spawner."""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import signal
import socket
import sys
import time

from hearth.agent.spawner import cgroups
from hearth.agent.spawner.leftovers import kill_leftovers
from hearth.agent.spawner.loop import ENDING_SIGNALS, Spawner

_USAGE = "usage: python -m hearth.agent.spawner --socket PATH --site SITE_ID --pid-file PATH"
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NAME = 15


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM; return the exit code."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    if len(arguments) != 6 or set(options) != {"--socket", "--site", "--pid-file"}:
        sys.stderr.write(_USAGE + "\n")
        return 2
    # An early SIGTERM waits until the loop can clean up.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    os.umask(0o077)
    lock = os.open(options["--pid-file"], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(lock, 32).decode(errors="replace").strip()
        sys.stderr.write(f"another spawner (process {holder}) holds {options['--pid-file']}\n")
        return 3
    _become_reaper()
    site = options["--site"]
    kill_leftovers(site)
    path = os.path.abspath(options["--socket"])
    listener = _listen(path)
    os.chdir("/")
    os.umask(0o022)  # the runs inherit it
    spawner = Spawner(
        site=site,
        boot=os.urandom(8).hex(),
        listener=listener,
        cgroups=cgroups.detect(site),
        clock=lambda: time.time_ns() // 1000,
    )
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    gc.collect()
    gc.freeze()
    spawner.serve()
    os.unlink(path)
    os.ftruncate(lock, 0)
    return 0


def _become_reaper() -> None:
    """Make every process that loses its parent below this one a child of this one."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this kernel has no child subreapers")
    libc.prctl(_PR_SET_NAME, b"hearth-spawner", 0, 0, 0)


def _listen(path: str) -> socket.socket:
    """Listen on a unix socket; the path may be longer than the 107 bytes that an address holds."""
    folder, _, name = path.rpartition("/")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        address = f"/proc/self/fd/{descriptor}/{name}"
        try:
            os.unlink(address)
        except FileNotFoundError:
            pass
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(address)
        listener.listen(16)
        return listener
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
