"""Parts of a task, and of the answers about tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qarnot.dependency import AdvancedDependency, AdvancedDependencyOutput, TaskDependencies


class CompletedInstance:
    """An instance that ended."""

    def __init__(self, json: dict[str, Any]) -> None:
        self.instance_id: int | None = json.get("instanceId")
        """Its number."""
        self.state: str | None = json.get("state")
        """Success, Failure or Cancelled."""
        self.wall_time_sec: float | None = json.get("wallTimeSec")
        """Its life in seconds."""
        self.exec_time_sec: float | None = json.get("execTimeSec")
        """How long it ran."""
        self.exec_time_sec_ghz: float | None = json.get("execTimeSecGHz")
        """The same, multiplied by the frequency."""
        self.peak_memory_mb: int | None = json.get("peakMemoryMB")
        """Most memory it had."""
        self.average_ghz: float | None = json.get("averageGHz")
        """Average frequency of its processor."""
        self.results: list[str] = json.get("results") or []
        """Addresses of the files it left."""
        self.execution_attempt_count: int | None = json.get("executionAttemptCount")
        """How often it was started."""

    def __repr__(self) -> str:
        return f"CompletedInstance({self.instance_id}, {self.state}, {self.exec_time_sec} s)"


class BulkTaskResponse:
    """What became of one task of a bulk submission."""

    def __init__(self, json: dict[str, Any]) -> None:
        self.status_code: int = json.get("statusCode") or 0
        """HTTP status of this task."""
        self.uuid: str | None = json.get("uuid")
        """The new task, None when it was refused."""
        self.message: str | None = json.get("message")
        """Why it was refused."""

    def is_success(self) -> bool:
        """Was the task accepted?"""
        return self.uuid is not None and 200 <= self.status_code < 300

    def __repr__(self) -> str:
        return f"BulkTaskResponse({self.status_code}, {self.uuid}, {self.message!r})"


class Dependencies:
    """What a task starts after: some tasks, or some with conditions, not both."""

    def __init__(self) -> None:
        self._simple: list[str] = []
        self._advanced: list[AdvancedDependency] = []
        self._seen: TaskDependencies | None = None

    @classmethod
    def from_json(cls, json: dict[str, Any] | None) -> Dependencies:
        """Return the dependencies that an answer names."""
        dependencies = cls()
        seen = TaskDependencies.from_json(json)
        dependencies._seen = seen
        dependencies._advanced = [
            AdvancedDependency(item.task_uuid, item.task_final_state_condition) for item in seen.advanced_depends_on
        ]
        # An answer lists the tasks of the conditions among the simple ones as well.
        dependencies._simple = [] if dependencies._advanced else list(seen.depends_on)
        return dependencies

    def set_simple(self, uuids: Sequence[str]) -> None:
        """Start after these tasks, however they end."""
        if self._advanced and uuids:
            raise ValueError("the task has advanced dependencies: clear them before setting simple ones")
        self._simple, self._seen = list(uuids), None

    def set_advanced(self, dependencies: Sequence[AdvancedDependency]) -> None:
        """Start after these tasks, if they end as they should."""
        if self._simple and dependencies:
            raise ValueError("the task has simple dependencies: clear them before setting advanced ones")
        self._advanced, self._seen = list(dependencies), None

    def remove(self, uuid: str) -> None:
        """Take one task out."""
        self._simple = [other for other in self._simple if other != uuid]
        self._advanced = [other for other in self._advanced if other.task_uuid != uuid]
        self._seen = None

    def seen(self) -> TaskDependencies:
        """Return what the platform said, or what will be sent to it."""
        if self._seen is not None:
            return self._seen
        advanced = [
            AdvancedDependencyOutput(item.task_uuid, item.task_final_state_condition, None) for item in self._advanced
        ]
        return TaskDependencies(list(self._simple), advanced)

    def to_json(self) -> dict[str, Any]:
        """Return the dependencies as they travel."""
        if self._advanced:
            return {"advancedDependsOn": [item.to_json() for item in self._advanced]}
        return {"dependsOn": list(self._simple)}
