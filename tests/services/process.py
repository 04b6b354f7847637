"""A server process of a test session: started, waited for, and ended with everything that it started."""

import atexit
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import pytest

_SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def unavailable(what: str, remedy: str) -> None:
    """Skip the test for want of `what`; in CI fail it, since nothing is skipped there."""
    message = f"{what}; {remedy}"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def program(name: str, *, package: str, folders: Sequence[Path] = ()) -> str:
    """Return the path of the program `name`, looking in `folders` first."""
    path = shutil.which(name, path=os.pathsep.join([*map(str, folders), _SYSTEM_PATH]))
    if path is None:
        unavailable(f"{name} is not installed", f"as root: apt-get install {package}")
    assert path is not None
    return path


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def new_folder(service: str) -> Path:
    """Make a folder of the service's own, with a path short enough for unix sockets."""
    return Path(tempfile.mkdtemp(prefix=f"hearth-test-{service}-"))


def await_true(condition: Callable[[], bool], *, what: str, seconds: float = 30) -> None:
    """Wait until `condition()` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        # Another program's start gives no signal that could be waited on.
        time.sleep(0.02)


class ServerProcess:
    """A running server with its own process group and log; it ends with the session, however that ends."""

    def __init__(self, command: Sequence[str], folder: Path, *, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        self._name = Path(command[0]).name
        self._log = folder / f"{self._name}.log"
        self._stop_signal = stop_signal
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, "PATH": _SYSTEM_PATH},
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        atexit.register(self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def await_ready(self, is_ready: Callable[[], bool], *, seconds: float = 30) -> None:
        """Wait until the server serves; if it ended instead, say what it wrote."""

        def ready_or_over() -> bool:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self._name} ended with {self._process.returncode}:\n{self._last_words()}")
            return is_ready()

        try:
            await_true(ready_or_over, what=f"{self._name} serves", seconds=seconds)
        except TimeoutError as late:
            raise TimeoutError(f"{late}\n{self._last_words()}") from None

    def stop(self) -> None:
        """End the server and its group; a second call does nothing."""
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])


_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    """Have the kernel end this process when the test process dies, even by SIGKILL."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
