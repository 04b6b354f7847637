"""`hearth up` as its users start it, in a folder of its own, and everything that it started ended at the end."""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import Literal

import pytest

from hearth.agent.mounts import Mounts
from hearth.agent.spawner import procfs
from tests.services.account import Account
from tests.services.docker import DockerEngine
from tests.services.process import _end_with_parent, await_true, new_folder

Role = Literal["up", "server", "agent", "spawner"]
ROLES: tuple[Role, ...] = ("up", "server", "agent", "spawner")
LABEL_SITE = "hearth.site"


class Platform:
    """One data directory, and the processes that serve it."""

    def __init__(
        self,
        folder: Path,
        runtime: str = "process",
        *,
        environ: Mapping[str, str] | None = None,
        engine: DockerEngine | None = None,
    ) -> None:
        """`environ` is added to the environment; `engine` is where containers run."""
        self.data = folder / "data"
        self.runtime = runtime
        self.engine = engine
        self._output = folder / "up.log"
        self._environ = {
            "HEARTH_DOCKER_HOST": engine.url if engine else "unix:///nowhere",
            "HEARTH_DEFAULT_IMAGE": "library/busybox:1",
            **(environ or {}),
        }
        self._parent: subprocess.Popen[bytes] | None = None
        self._announced = 0

    # Starting ----------------------------------------------------------------------------------------

    def start(self, *options: str) -> None:
        """Start `hearth up`, and return once its doors are open."""
        self.launch(*options)
        try:
            await_true(self._is_up, what="hearth up opens its doors", seconds=40)
        except (TimeoutError, RuntimeError) as failure:
            raise RuntimeError(f"{failure}\n{self.logs()}") from None

    def launch(self, *options: str) -> "subprocess.Popen[bytes]":
        """Start `hearth up` without waiting for it."""
        self._announced = self.said().count("Ctrl-C ends it.")
        words = ["up", "--data", str(self.data), "--api-port", "0", "--storage-port", "0", "--runtime", self.runtime]
        with self._output.open("ab") as output:
            self._parent = subprocess.Popen(
                [*hearth(), *words, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environ,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        atexit.register(self.end_everything)
        return self._parent

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the platform's processes."""
        foreign = ("HEARTH_", "QARNOT_", "DOCKER_HOST")
        own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return {**own, **self._environ}

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run another command of `hearth` on this data directory to its end."""
        command = [*hearth(), *words, "--data", str(self.data)]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=self.environ, timeout=60)

    def _is_up(self) -> bool:
        if self._parent is not None and self._parent.poll() is not None:
            raise RuntimeError(f"hearth up ended with {self._parent.returncode}")
        # The parent says so after the server's doors are open.
        return self.said().count("Ctrl-C ends it.") > self._announced and self.is_open()

    # Looking -----------------------------------------------------------------------------------------

    def _doors(self) -> dict[str, str] | None:
        with suppress(FileNotFoundError, json.JSONDecodeError):
            found: dict[str, str] = json.loads((self.data / "run/server.json").read_text())
            return found
        return None

    def is_open(self) -> bool:
        """Whether the server's doors are open."""
        doors = self._doors()
        return doors is not None and int(doors["pid"]) == self.pid("server")

    @property
    def api_url(self) -> str:
        """Where the API answers."""
        return self._door("api")

    @property
    def storage_url(self) -> str:
        """Where the storage answers."""
        return self._door("storage")

    def _door(self, name: str) -> str:
        doors = self._doors()
        if doors is None:
            raise RuntimeError(f"the doors are closed\n{self.logs()}")
        return doors[name]

    @property
    def configuration(self) -> Path:
        """The qarnot.conf of the first account."""
        return self.data / "qarnot.conf"

    @property
    def token(self) -> str:
        """The first account's token."""
        lines = self.configuration.read_text().splitlines()
        return next(line.removeprefix("token=") for line in lines if line.startswith("token="))

    @property
    def site(self) -> str:
        """What containers and processes of this platform carry."""
        return (self.data / "site-id").read_text().strip()

    def account(self, email: str = "me@localhost", token: str = "") -> Account:
        """Return somebody who talks to this platform; the first account, if nothing is said."""
        return Account(self.api_url, self.storage_url, email, token or self.token, told_by=self.logs)

    def said(self) -> str:
        """Return what `hearth up` has printed, all starts together."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def logs(self) -> str:
        """Return the ends of all logs."""
        parts = [f"--- up\n{_last_lines(self.said())}"]
        for log in sorted((self.data / "log").glob("*.log")):
            parts.append(f"--- {log.name}\n{_last_lines(log.read_text(errors='replace'))}")
        return "\n".join(parts)

    # Processes ---------------------------------------------------------------------------------------

    def pid(self, role: Role) -> int:
        """Return the process id that the pid file of a role holds; 0 when there is none."""
        with suppress(FileNotFoundError, ValueError):
            return int((self.data / "run" / f"{role}.pid").read_text())
        return 0

    def is_running(self, role: Role) -> bool:
        """Whether the process of a role is there."""
        pid = self.pid(role)
        return pid > 0 and not procfs.is_zombie(pid)

    def send(self, role: Role, number: signal.Signals) -> int:
        """Send a signal to the process of a role; return its id."""
        pid = self.pid(role)
        assert pid > 0, f"there is no {role}\n{self.logs()}"
        os.kill(pid, number)
        return pid

    def kill(self, role: Role) -> int:
        """`kill -9` the process of a role, and wait until it is gone; return the id it had."""
        pid = self.pid(role)
        assert pid > 0, f"there is no {role}\n{self.logs()}"
        handle = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        if role == "up" and self._parent is not None:
            self._parent.wait(timeout=10)
        assert select.select([handle], [], [], 10)[0], f"the {role} does not die"
        os.close(handle)
        return pid

    def await_another(self, role: Role, than: int, seconds: float = 30) -> int:
        """Wait until a process of a role other than `than` runs; return its id."""

        def is_another() -> bool:
            return self.pid(role) not in (0, than) and self.is_running(role)

        self.wait(is_another, f"another {role} than process {than} runs", seconds)
        return self.pid(role)

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
        """Wait until something holds; when it does not come, show the logs."""
        try:
            await_true(condition, what=what, seconds=seconds)
        except TimeoutError as late:
            raise TimeoutError(f"{late}\n{self.logs()}") from None

    def processes(self) -> dict[int, str]:
        """Return every process of this platform, with its command line: roles, runs and what runs started."""
        found = {}
        data = str(self.data).encode()
        site = self.site.encode() if (self.data / "site-id").exists() else b"\0"
        for pid in procfs.processes():
            if pid == os.getpid() or procfs.is_zombie(pid):
                continue
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                marked = site in words or b"HEARTH_RUN=" + site in Path(f"/proc/{pid}/environ").read_bytes()
                if marked or data in words.split(b"\0"):
                    found[pid] = words.replace(b"\0", b" ").decode(errors="replace").strip()
        return found

    def containers(self) -> list[str]:
        """Return the containers of this platform, ended ones too."""
        return self.engine.containers(f"{LABEL_SITE}={self.site}") if self.engine else []

    # Ending ------------------------------------------------------------------------------------------

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 45) -> int:
        """Ask `hearth up` to end; return its exit code."""
        assert self._parent is not None
        self._parent.send_signal(number)
        try:
            return self._parent.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"hearth up does not end\n{self.logs()}") from None

    def end_everything(self) -> None:
        """End every process and container of this platform, by force where asking does not help."""
        atexit.unregister(self.end_everything)
        if self._parent is not None and self._parent.poll() is None:
            self._parent.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._parent.wait(timeout=30)
            if self._parent.poll() is None:
                self._parent.kill()
                self._parent.wait()
        while remaining := self.processes():
            for pid in remaining:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.engine is not None and (self.data / "site-id").exists():
            self.engine.remove(*self.containers())
        Mounts().clean(self.data / "node/runs")  # of a node that was killed with its runs


def hearth() -> list[str]:
    """Return the command `hearth` of this environment."""
    return [sys.executable, "-m", "hearth.cli.main"]


@contextmanager
def running_platform(
    runtime: str = "process",
    *,
    environ: Mapping[str, str] | None = None,
    engine: DockerEngine | None = None,
    started: bool = True,
) -> Iterator[Platform]:
    """Start a platform in a new folder; leave nothing behind."""
    folder = new_folder("platform")
    folder.chmod(0o755)  # runs of other users pass through
    platform = Platform(folder, runtime, environ=environ, engine=engine)
    try:
        if started:
            platform.start()
        yield platform
    finally:
        platform.end_everything()
        rmtree(folder, ignore_errors=True)


ISOLATED = [pytest.param("sandbox", marks=pytest.mark.sandbox), pytest.param("docker", marks=pytest.mark.docker)]
RUNTIMES = ["process", *ISOLATED]


def platform_with(
    request: pytest.FixtureRequest, runtime: str, environ: Mapping[str, str] | None = None
) -> AbstractContextManager[Platform]:
    """Start a platform with a runtime, and with the service that this runtime needs."""
    if runtime == "sandbox":
        request.getfixturevalue("bubblewrap")
    engine = request.getfixturevalue("docker_engine") if runtime == "docker" else None
    return running_platform(runtime, environ=environ, engine=engine)


def _last_lines(text: str, count: int = 40) -> str:
    return "\n".join(text.splitlines()[-count:])
