"""A profile: a template of constants and rules that tasks name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant of a profile with its default."""

    name: str
    value: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class License:
    """Seats that a profile's software needs."""

    name: str
    max_instances: int = 0
    max_cores: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """What a task of this profile gets when it says nothing else."""

    name: str
    description: str = ""
    constants: tuple[Constant, ...] = ()
    licenses: tuple[License, ...] = ()
    network: bool = False
    cores: float = 1.0  # per instance, unless a hardware constraint asks for more
    memory_mb: int = 0  # per instance; 0: no limit of its own
    whole_machine: bool = False
    max_wall_seconds: int = 0  # 0: none

    def defaults(self) -> dict[str, str]:
        """Return the constants as a mapping."""
        return {constant.name: constant.value for constant in self.constants}
