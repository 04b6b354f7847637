"""How long the attempts of a task took, phase by phase: summed when they are over, so that nobody reads them again."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from hearth.domain.instance import Instance
from hearth.store.queries.machines import machine_times
from hearth.store.queries.tasks import Standing


@dataclass(slots=True)
class Times:
    """What the attempts of one task that a batch ended took, in microseconds; the phases do not overlap."""

    download: int = 0
    environment: int = 0
    execution: int = 0
    upload: int = 0
    machines: dict[int, int] = field(default_factory=dict)  # execution by kind of machine

    def add(self, attempt: Instance, now: int) -> None:
        """Add an attempt that is over now."""
        if attempt.dispatched_at is None:
            return
        began, exited = attempt.started_at, attempt.exited_at
        self.download += attempt.download_microseconds
        preparing = (now if began is None else began) - attempt.dispatched_at
        self.environment += max(0, preparing - attempt.download_microseconds)
        if began is None:
            return
        execution = max(0, (now if exited is None else exited) - began)
        self.execution += execution
        if exited is not None:
            self.upload += max(0, now - exited)
        if attempt.machine_id is not None:
            self.machines[attempt.machine_id] = self.machines.get(attempt.machine_id, 0) + execution

    def added_to(self, task: Standing) -> Standing:
        """Return the standing with these times in its sums."""
        return replace(
            task,
            download_microseconds=task.download_microseconds + self.download,
            environment_microseconds=task.environment_microseconds + self.environment,
            execution_microseconds=task.execution_microseconds + self.execution,
            upload_microseconds=task.upload_microseconds + self.upload,
            machines=self._with_machines(task.machines),
        )

    def _with_machines(self, before: str | None) -> str | None:
        if not self.machines:
            return before
        sums = machine_times(before)
        for machine_id, execution in self.machines.items():
            sums[machine_id] = sums.get(machine_id, 0) + execution
        return msgspec.json.encode(sums).decode()
