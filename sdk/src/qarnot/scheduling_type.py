"""How urgently, and on whose machines, a task or pool runs."""

from __future__ import annotations


class SchedulingType:
    """A scheduling class: flex, on demand or reserved."""

    schedulingType: str = ""

    @classmethod
    def from_string(cls, schedulingType: str) -> SchedulingType | None:
        """Return the class of this name, whatever its case; None when there is none."""
        for kind in (FlexScheduling, OnDemandScheduling, ReservedScheduling):
            if kind.schedulingType.lower() == str(schedulingType).lower():
                return kind()
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SchedulingType) and other.schedulingType == self.schedulingType

    def __hash__(self) -> int:
        return hash(self.schedulingType)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class FlexScheduling(SchedulingType):
    """The cheapest class: runs when there is room, and may be interrupted."""

    schedulingType = "Flex"

    def __init__(self) -> None:
        pass


class OnDemandScheduling(SchedulingType):
    """Runs before flex, and is not interrupted."""

    schedulingType = "OnDemand"

    def __init__(self) -> None:
        pass


class ReservedScheduling(SchedulingType):
    """Runs on machines that are reserved for the account."""

    schedulingType = "Reserved"

    def __init__(self) -> None:
        pass
