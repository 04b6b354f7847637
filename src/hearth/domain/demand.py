"""What one instance needs of a node, from its profile and its hardware constraints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hearth.domain.profile import Profile

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Demand:
    """Cores and bytes of memory that an instance is given; 0 bytes: no limit of its own."""

    cores: float
    memory_bytes: int


def demand(profile: Profile, constraints: Iterable[Mapping[str, object]]) -> Demand:
    """Return the profile's demand, raised to the minimums that the constraints name."""
    cores = profile.cores
    memory_mb = float(profile.memory_mb)
    for constraint in constraints:
        kind = str(constraint.get("discriminator", ""))
        if kind == "MinimumCoreHardwareConstraint":
            cores = max(cores, _number(constraint.get("coreCount")))
        elif kind == "MinimumRamHardwareConstraint":
            memory_mb = max(memory_mb, _number(constraint.get("minimumMemoryMB")))
    return Demand(cores, int(memory_mb * MEBIBYTE))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
