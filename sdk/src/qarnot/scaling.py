"""How a pool grows and shrinks."""

from __future__ import annotations

from datetime import time
from enum import Enum
from typing import Any


class DayOfWeek(Enum):
    """A day of the week."""

    SUNDAY = "sunday"
    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"


class _SameOnTheWire:
    """Equal to what travels the same way."""

    def to_json(self) -> dict[str, Any]:
        """Return the object as it travels."""
        return {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SameOnTheWire) and other.to_json() == self.to_json()

    def __hash__(self) -> int:
        return hash(repr(self.to_json()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.to_json()})"


class TimePeriodSpecification(_SameOnTheWire):
    """When a policy holds."""

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> TimePeriodSpecification | None:
        """Return the period that an answer names; None when its kind is not known here."""
        match str(json.get("type")).lower():
            case "always":
                return TimePeriodAlways(json.get("name"))
            case "weekly":
                return TimePeriodWeeklyRecurring(
                    [DayOfWeek(str(day).lower()) for day in json.get("days") or []],
                    time.fromisoformat(str(json["startTimeUtc"])),
                    time.fromisoformat(str(json["endTimeUtc"])),
                    json.get("name"),
                )
            case _:
                return None


class TimePeriodAlways(TimePeriodSpecification):
    """Always."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        """Name of the period."""

    def to_json(self) -> dict[str, Any]:
        """Return the period as it travels."""
        return {"type": "Always", **({} if self.name is None else {"name": self.name})}


class TimePeriodWeeklyRecurring(TimePeriodSpecification):
    """On some days of each week, between two times of the day in UTC."""

    def __init__(
        self,
        days: list[DayOfWeek | str],
        start_time_utc: time,
        end_time_utc: time,
        name: str | None = None,
    ) -> None:
        self.name = name
        """Name of the period."""
        self.days = [day if isinstance(day, DayOfWeek) else DayOfWeek(day.lower()) for day in days]
        """The days."""
        self.start_time_utc = start_time_utc
        """When it begins."""
        self.end_time_utc = end_time_utc
        """When it ends."""

    def to_json(self) -> dict[str, Any]:
        """Return the period as it travels."""
        return {
            "type": "Weekly",
            "days": [day.value for day in self.days],
            "startTimeUtc": self.start_time_utc.isoformat(),
            "endTimeUtc": self.end_time_utc.isoformat(),
            **({} if self.name is None else {"name": self.name}),
        }


class ScalingPolicy(_SameOnTheWire):
    """A rule that says how many slots a pool should have."""

    name: str | None
    enabled_periods: list[TimePeriodSpecification]

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> ScalingPolicy | None:
        """Return the policy that an answer names; None when its kind is not known here."""
        periods = [
            period
            for period in map(TimePeriodSpecification.from_json, json.get("enabledPeriods") or [])
            if period is not None
        ]
        match str(json.get("type")).lower():
            case "fixed":
                return FixedScalingPolicy(json.get("slotsCount") or 0, json.get("name"), periods)
            case "managedtasksqueue":
                return ManagedTasksQueueScalingPolicy(
                    json.get("minTotalSlots"),
                    json.get("maxTotalSlots"),
                    json.get("minIdleSlots"),
                    json.get("minIdleTimeSeconds"),
                    json.get("scalingFactor"),
                    json.get("name"),
                    periods,
                )
            case _:
                return None

    def _with_name_and_periods(self, json: dict[str, Any]) -> dict[str, Any]:
        if self.name is not None:
            json["name"] = self.name
        if self.enabled_periods:
            json["enabledPeriods"] = [period.to_json() for period in self.enabled_periods]
        return {key: value for key, value in json.items() if value is not None}


class FixedScalingPolicy(ScalingPolicy):
    """Always the same number of slots."""

    def __init__(
        self,
        slots_count: int,
        name: str | None = None,
        enabled_periods: list[TimePeriodSpecification] | None = None,
    ) -> None:
        self.slots_count = slots_count
        """How many slots."""
        self.name = name
        """Name of the policy."""
        self.enabled_periods = enabled_periods or []
        """When it holds."""

    def to_json(self) -> dict[str, Any]:
        """Return the policy as it travels."""
        return self._with_name_and_periods({"type": "Fixed", "slotsCount": self.slots_count})


class ManagedTasksQueueScalingPolicy(ScalingPolicy):
    """As many slots as the waiting tasks need, between limits."""

    def __init__(
        self,
        min_total_slots: int | None = None,
        max_total_slots: int | None = None,
        min_idle_slots: int | None = None,
        min_idle_time_seconds: int | None = None,
        scaling_factor: float | None = None,
        name: str | None = None,
        enabled_periods: list[TimePeriodSpecification] | None = None,
    ) -> None:
        self.min_total_slots = min_total_slots
        """Never fewer slots."""
        self.max_total_slots = max_total_slots
        """Never more slots."""
        self.min_idle_slots = min_idle_slots
        """So many are kept free."""
        self.min_idle_time_seconds = min_idle_time_seconds
        """How long a slot stays free before it is closed."""
        self.scaling_factor = scaling_factor
        """Share of the maximum that is added at once."""
        self.name = name
        """Name of the policy."""
        self.enabled_periods = enabled_periods or []
        """When it holds."""

    def to_json(self) -> dict[str, Any]:
        """Return the policy as it travels."""
        return self._with_name_and_periods(
            {
                "type": "ManagedTasksQueue",
                "minTotalSlots": self.min_total_slots,
                "maxTotalSlots": self.max_total_slots,
                "minIdleSlots": self.min_idle_slots,
                "minIdleTimeSeconds": self.min_idle_time_seconds,
                "scalingFactor": self.scaling_factor,
            }
        )


class Scaling(_SameOnTheWire):
    """The policies of a pool; the first one whose period holds counts."""

    def __init__(self, policies: list[ScalingPolicy] | None = None) -> None:
        self.policies = policies or []
        """The policies, in order."""
        self.active_policy_name: str | None = None
        """Which one counts now, once the platform has chosen."""

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> Scaling:
        """Return the scaling that an answer names."""
        policies = map(ScalingPolicy.from_json, json.get("policies") or [])
        scaling = cls([policy for policy in policies if policy is not None])
        scaling.active_policy_name = json.get("activePolicyName")
        return scaling

    def to_json(self) -> dict[str, Any]:
        """Return the scaling as it travels."""
        return {"policies": [policy.to_json() for policy in self.policies]}
