"""What a task or pool asks of the machines that it runs on."""

from __future__ import annotations

from typing import Any, ClassVar, Final


class HardwareConstraint:
    """One demand on the machines."""

    _discriminator: ClassVar[str] = ""
    _field: ClassVar[str | None] = None
    _value: Any = None

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> HardwareConstraint | None:
        """Return the constraint that an answer names; None when its kind is not known here."""
        kind = _KINDS.get(json.get("discriminator") or "")
        if kind is None:
            return None
        constraint = kind.__new__(kind)
        if kind._field is not None:
            constraint._value = json.get(kind._field)
        return constraint

    def to_json(self) -> dict[str, Any]:
        """Return the constraint as it travels."""
        json: dict[str, Any] = {"discriminator": self._discriminator}
        if self._field is not None:
            json[self._field] = self._value
        return json

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HardwareConstraint) and other.to_json() == self.to_json()

    def __hash__(self) -> int:
        return hash((self._discriminator, self._value))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self._field is None else self._value!r})"


class MinimumCoreHardware(HardwareConstraint):
    """At least this many cores."""

    _discriminator = "MinimumCoreHardwareConstraint"
    _field = "coreCount"

    def __init__(self, coreCount: int) -> None:
        self._value = coreCount


class MaximumCoreHardware(HardwareConstraint):
    """At most this many cores."""

    _discriminator = "MaximumCoreHardwareConstraint"
    _field = "coreCount"

    def __init__(self, coreCount: int) -> None:
        self._value = coreCount


class MinimumRamCoreRatioHardware(HardwareConstraint):
    """At least this much memory for each core, in GB."""

    _discriminator = "MinimumRamCoreRatioHardwareConstraint"
    _field = "minimumMemoryGBCoreRatio"

    def __init__(self, ram: float) -> None:
        self._value = ram


class MaximumRamCoreRatioHardware(HardwareConstraint):
    """At most this much memory for each core, in GB."""

    _discriminator = "MaximumRamCoreRatioHardwareConstraint"
    _field = "maximumMemoryGBCoreRatio"

    def __init__(self, ram: float) -> None:
        self._value = ram


class MinimumRamHardware(HardwareConstraint):
    """At least this much memory, in MB."""

    _discriminator = "MinimumRamHardwareConstraint"
    _field = "minimumMemoryMB"

    def __init__(self, ram: float) -> None:
        self._value = ram


class MaximumRamHardware(HardwareConstraint):
    """At most this much memory, in MB."""

    _discriminator = "MaximumRamHardwareConstraint"
    _field = "maximumMemoryMB"

    def __init__(self, ram: float) -> None:
        self._value = ram


class SpecificHardware(HardwareConstraint):
    """Machines of one specification, by its key."""

    _discriminator = "SpecificHardwareConstraint"
    _field = "specificationKey"

    def __init__(self, key: str) -> None:
        self._value = key


class GpuHardware(HardwareConstraint):
    """With a GPU."""

    _discriminator = "GpuHardwareConstraint"


class SSDHardware(HardwareConstraint):
    """With an SSD."""

    _discriminator = "SSDHardwareConstraint"


class NoSSDHardware(HardwareConstraint):
    """Without an SSD."""

    _discriminator = "NoSSDHardwareConstraint"


class NoGpuHardware(HardwareConstraint):
    """Without a GPU."""

    _discriminator = "NoGpuHardwareConstraint"


class CpuModelHardware(HardwareConstraint):
    """With this model of processor."""

    _discriminator = "CpuModelHardwareConstraint"
    _field = "cpuModel"

    def __init__(self, cpu_model: str) -> None:
        self._value = cpu_model


_KINDS: Final[dict[str, type[HardwareConstraint]]] = {
    kind._discriminator: kind
    for kind in (
        MinimumCoreHardware,
        MaximumCoreHardware,
        MinimumRamCoreRatioHardware,
        MaximumRamCoreRatioHardware,
        MinimumRamHardware,
        MaximumRamHardware,
        SpecificHardware,
        GpuHardware,
        SSDHardware,
        NoSSDHardware,
        NoGpuHardware,
        CpuModelHardware,
    )
}
