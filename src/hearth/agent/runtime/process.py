"""The `process` runtime: no isolation at all, for machines of a single user; the fastest start there is."""

from __future__ import annotations

from hearth.agent.runtime.base import RunSpec
from hearth.agent.runtime.spawned import SpawnedRuntime
from hearth.agent.spawner import messages


class ProcessRuntime(SpawnedRuntime):
    """Runs commands as plain processes of the agent's user.

    The run's folder is the working folder; image, user, host name, network and limits do not apply. The
    environment is the run's, plus HEARTH_RUN, by which what a run leaves behind is found and ended.
    """

    name = "process"

    async def _command(self, spec: RunSpec) -> messages.Start:
        directory, stdout, stderr = str(spec.directory), str(spec.stdout), str(spec.stderr)
        return messages.Start(spec.key, spec.argv, spec.environment, directory, stdout, stderr)


def available() -> str | None:
    """Return why this runtime cannot work here; None when it can."""
    return None
