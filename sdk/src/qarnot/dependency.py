"""What must be over before a task starts."""

from __future__ import annotations

from functools import total_ordering
from typing import Any


class _Word:
    """A word of a fixed list, equal to any other object for the same word."""

    value: str = ""

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@total_ordering
class TaskFinalState(_Word):
    """How a task ended: success, failure or cancelled."""

    @classmethod
    def from_string(cls, value: str) -> TaskFinalState | None:
        """Return the state of this name, whatever its case; None when there is none."""
        for kind in (TaskFinalStateSuccess, TaskFinalStateFailure, TaskFinalStateCancelled):
            if kind.value.lower() == str(value).lower():
                return kind()
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskFinalState) and other.value == self.value

    def __lt__(self, other: TaskFinalState) -> bool:
        return self.value < other.value

    __hash__ = _Word.__hash__


class TaskFinalStateSuccess(TaskFinalState):
    """All instances succeeded."""

    value = "success"

    def __init__(self) -> None:
        pass


class TaskFinalStateFailure(TaskFinalState):
    """An instance failed."""

    value = "failure"

    def __init__(self) -> None:
        pass


class TaskFinalStateCancelled(TaskFinalState):
    """The task was aborted."""

    value = "cancelled"

    def __init__(self) -> None:
        pass


class DependencyState(_Word):
    """Where a dependency stands."""

    @classmethod
    def from_string(cls, value: str) -> DependencyState | None:
        """Return the state of this name, whatever its case; None when there is none."""
        kinds = (
            DependencyStateWaiting,
            DependencyStateConditionsFulfilled,
            DependencyStateConditionsNotFulfilled,
        )
        for kind in kinds:
            if kind.value.lower() == str(value).lower():
                return kind()
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DependencyState) and other.value == self.value

    __hash__ = _Word.__hash__


class DependencyStateWaiting(DependencyState):
    """The other task is not over."""

    value = "waiting"

    def __init__(self) -> None:
        pass


class DependencyStateConditionsFulfilled(DependencyState):
    """The other task ended as it should."""

    value = "dependencyConditionsFulfilled"

    def __init__(self) -> None:
        pass


class DependencyStateConditionsNotFulfilled(DependencyState):
    """The other task ended otherwise."""

    value = "dependencyConditionsNotFulfilled"

    def __init__(self) -> None:
        pass


def _final_states(values: list[str] | None) -> list[TaskFinalState] | None:
    if values is None:
        return None
    return [state for state in map(TaskFinalState.from_string, values) if state is not None]


class AdvancedDependency:
    """Start after this task, if it ended in one of these states (None: in any)."""

    def __init__(self, task_uuid: str, task_final_state_condition: list[TaskFinalState] | None = None) -> None:
        self._task_uuid = task_uuid
        self._task_final_state_condition = (
            None if task_final_state_condition is None else sorted(task_final_state_condition)
        )

    @property
    def task_uuid(self) -> str:
        """The other task."""
        return self._task_uuid

    @property
    def task_final_state_condition(self) -> list[TaskFinalState] | None:
        """How it must have ended."""
        return self._task_final_state_condition

    def to_json(self) -> dict[str, Any]:
        """Return the dependency as it travels."""
        states = self._task_final_state_condition
        return {
            "taskUuid": self._task_uuid,
            "taskFinalStateCondition": None if states is None else [state.value for state in states],
        }

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> AdvancedDependency:
        """Return the dependency that an answer names."""
        return cls(json["taskUuid"], _final_states(json.get("taskFinalStateCondition")))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AdvancedDependency) and other.to_json() == self.to_json()

    def __hash__(self) -> int:
        return hash(self._task_uuid)

    def __repr__(self) -> str:
        return f"AdvancedDependency({self._task_uuid!r}, {self._task_final_state_condition})"


class AdvancedDependencyOutput:
    """A dependency of a submitted task, and where it stands."""

    def __init__(
        self,
        task_uuid: str,
        task_final_state_condition: list[TaskFinalState] | None,
        state: DependencyState | None,
        actual_final_state: TaskFinalState | None = None,
    ) -> None:
        self._task_uuid = task_uuid
        self._task_final_state_condition = task_final_state_condition
        self._state = state
        self._actual_final_state = actual_final_state

    @property
    def task_uuid(self) -> str:
        """The other task."""
        return self._task_uuid

    @property
    def task_final_state_condition(self) -> list[TaskFinalState] | None:
        """How it must have ended."""
        return self._task_final_state_condition

    @property
    def state(self) -> DependencyState | None:
        """Where this dependency stands."""
        return self._state

    @property
    def actual_final_state(self) -> TaskFinalState | None:
        """How the other task ended, None while it has not."""
        return self._actual_final_state

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> AdvancedDependencyOutput:
        """Return the dependency that an answer names."""
        state, ended = json.get("state"), json.get("actualFinalState")
        return cls(
            json["taskUuid"],
            _final_states(json.get("taskFinalStateCondition")),
            None if state is None else DependencyState.from_string(state),
            None if ended is None else TaskFinalState.from_string(ended),
        )

    def __repr__(self) -> str:
        return f"AdvancedDependencyOutput({self._task_uuid!r}, state={self._state})"


class TaskDependencies:
    """All that must be over before a task starts."""

    def __init__(
        self,
        depends_on: list[str] | None = None,
        advanced_depends_on: list[AdvancedDependencyOutput] | None = None,
        state: DependencyState | None = None,
    ) -> None:
        self._depends_on = depends_on or []
        self._advanced_depends_on = advanced_depends_on or []
        self._state = state

    @property
    def depends_on(self) -> list[str]:
        """Tasks that must be over, however they ended."""
        return self._depends_on

    @property
    def advanced_depends_on(self) -> list[AdvancedDependencyOutput]:
        """Tasks that must be over, with the states in which they may end."""
        return self._advanced_depends_on

    @property
    def state(self) -> DependencyState | None:
        """Where all of them together stand."""
        return self._state

    @classmethod
    def from_json(cls, json: dict[str, Any] | None) -> TaskDependencies:
        """Return the dependencies that an answer names."""
        json = json or {}
        state = json.get("state")
        return cls(
            list(json.get("dependsOn") or []),
            [AdvancedDependencyOutput.from_json(item) for item in json.get("advancedDependsOn") or []],
            None if state is None else DependencyState.from_string(state),
        )

    def __repr__(self) -> str:
        return f"TaskDependencies({self._depends_on}, {self._advanced_depends_on}, {self._state})"
