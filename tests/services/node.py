"""One more node of a platform: an agent and a spawner with a directory of their own, on the same machine."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from shutil import copyfile

from hearth.agent.spawner import procfs
from hearth.agent.spawner.client import launch
from hearth.data_directory import open_directory
from tests.services.platform import Platform, hearth
from tests.services.process import _end_with_parent


class Node:
    """A node that can be lost like a machine whose power is cut."""

    def __init__(self, platform: Platform, folder: Path, name: str, **settings: str) -> None:
        self.name = name
        self._platform = platform
        self._directory = open_directory(folder)
        copyfile(platform.data / "keys/node.token", self._directory.node_token)
        self._settings = {f"HEARTH_{key}": value for key, value in settings.items()}
        self._log = folder / "agent.log"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> "Node":
        """Start its spawner and its agent."""
        directory = self._directory
        self._processes.append(launch(directory.spawner_socket, directory.site_id, directory.pid_file("spawner")))
        environ = {
            **self._platform.environ,
            "HEARTH_SERVER_URL": self._platform.api_url,
            "HEARTH_NODE_NAME": self.name,
            **self._settings,
        }
        with self._log.open("ab") as log:
            command = [*hearth(), "agent", "--data", str(directory.root), "--runtime", "process"]
            self._processes.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environ,
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                )
            )
        return self

    def runs(self) -> list[int]:
        """Return the processes of its runs."""
        mark = f"HEARTH_RUN={self._directory.site_id}/".encode()
        found = []
        for pid in procfs.processes():
            with suppress(OSError):
                if mark in Path(f"/proc/{pid}/environ").read_bytes() and not procfs.is_zombie(pid):
                    found.append(pid)
        return found

    def lose(self) -> None:
        """Kill all of it at once, and whatever it ran."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait(timeout=10)
        while runs := self.runs():
            for pid in runs:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def log(self) -> str:
        """Return what its agent said."""
        return self._log.read_text(errors="replace")
