"""The folders of runs on this node: `runs/<task>.<number>.<attempt>/{job,stdout,stderr,resources}`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hearth.agent.logic import Key


def key_text(key: Key) -> str:
    """Return the name by which runtimes and folders know an attempt."""
    return f"{key[0]}.{key[1]}.{key[2]}"


def key_of(text: str) -> Key:
    """Read the name of an attempt."""
    task, number, attempt = text.split(".")
    return int(task), int(number), int(attempt)


class Folders:
    """Where the files of runs are."""

    def __init__(self, root: Path) -> None:
        self._runs = str(root / "runs")
        os.makedirs(self._runs, mode=0o711, exist_ok=True)

    def path(self, key: Key) -> str:
        """Return the folder of an attempt."""
        return f"{self._runs}/{key[0]}.{key[1]}.{key[2]}"

    def job(self, key: Key) -> Path:
        """Return the folder that is the attempt's working folder."""
        return Path(self.path(key)) / "job"

    def stdout(self, key: Key) -> Path:
        """Return the spool file of the attempt's output."""
        return Path(self.path(key)) / "stdout"

    def stderr(self, key: Key) -> Path:
        """Return the spool file of the attempt's error output."""
        return Path(self.path(key)) / "stderr"

    def make(self, key: Key) -> None:
        """Make an empty folder for an attempt, whatever was there before."""
        path = self.path(key)
        try:
            os.mkdir(path)
        except FileExistsError:
            shutil.rmtree(path)
            os.mkdir(path)
        job = path + "/job"
        os.mkdir(job)
        os.chmod(job, 0o777)

    def remove(self, key: Key) -> bool:
        """Remove the folder of an attempt that left nothing; False: something is left for `remove_tree`."""
        path = self.path(key)
        try:
            for name in ("/stdout", "/stderr"):
                try:
                    os.unlink(path + name)
                except FileNotFoundError:
                    pass
            os.rmdir(path + "/job")
            os.rmdir(path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def remove_tree(self, key: Key) -> None:
        """Remove the folder of an attempt with all that is in it."""
        shutil.rmtree(self.path(key), ignore_errors=True)

    def leftovers(self, known: set[Key]) -> list[Key]:
        """Return the attempts that have a folder here and are not known."""
        found = []
        for name in os.listdir(self._runs):
            try:
                key = key_of(name)
            except ValueError:
                continue
            if key not in known:
                found.append(key)
        return found
