"""What one instance needs, from its profile and what the task asks for: its shape.

Tasks of one account and shape wait for the same reasons and fit on the same nodes, so the queue is kept by shape.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from functools import lru_cache

import msgspec

from hearth.domain.errors import Invalid
from hearth.domain.hardware import (
    ANY_HARDWARE,
    GIBIBYTE,
    MEBIBYTE,
    TINY,
    Hardware,
    Machine,
    Mismatch,
    mismatches,
    read_hardware,
)
from hearth.domain.profile import Profile
from hearth.domain.spec import SchedulingClass, TaskSpec

NAMES_AN_IMAGE = "DOCKER_REPO"


@dataclass(frozen=True, slots=True)
class Shape:
    """All that placement asks of a node for one instance; 0 bytes of memory: no limit of its own."""

    cores: float
    memory_bytes: int
    scheduling: SchedulingClass = SchedulingClass.FLEX
    hardware: Hardware = ANY_HARDWARE
    reserved_key: str = ""  # counts with SchedulingClass.RESERVED only
    needs_image: bool = False
    network: bool = False
    whole_machine: bool = False


def shape_of(profile: Profile, spec: TaskSpec, *, needs_image: bool) -> Shape:
    """Return the least share of a machine that satisfies profile and constraints; `Invalid` when none can."""
    hardware = read_hardware(spec.hardware)
    cores = max(profile.cores, hardware.minimum_cores)
    memory = max(profile.memory_mb, hardware.minimum_memory_mb) * MEBIBYTE
    memory = max(memory, hardware.minimum_ratio * cores * GIBIBYTE)
    if hardware.maximum_ratio is not None and memory > hardware.maximum_ratio * cores * GIBIBYTE:
        # So much memory comes with so many cores.
        cores = math.ceil(memory / GIBIBYTE / hardware.maximum_ratio - TINY)
    shape = Shape(
        cores=float(cores),
        memory_bytes=int(memory),
        scheduling=SchedulingClass.FLEX if spec.scheduling is None else spec.scheduling,
        hardware=hardware,
        reserved_key=spec.reserved_key if spec.scheduling is SchedulingClass.RESERVED else "",
        needs_image=needs_image,
        network=profile.network,
        whole_machine=profile.whole_machine,
    )
    _require_within_maximums(shape, profile)
    return shape


def _require_within_maximums(shape: Shape, profile: Profile) -> None:
    hardware = shape.hardware
    by = f"the other constraints and the profile {profile.name} together need"
    if hardware.maximum_cores is not None and shape.cores > hardware.maximum_cores + TINY:
        raise Invalid(
            "hardwareConstraints",
            f"MaximumCore {hardware.maximum_cores} is too few: {by} {shape.cores:g} cores",
        )
    if hardware.maximum_memory_mb is not None and shape.memory_bytes > hardware.maximum_memory_mb * MEBIBYTE:
        raise Invalid(
            "hardwareConstraints",
            f"MaximumRam {hardware.maximum_memory_mb:g} MB is too little: {by} {shape.memory_bytes / MEBIBYTE:g} MB",
        )


def with_names(
    shape: Shape, *, specifications: tuple[str, ...], cpu_models: tuple[str, ...], reserved_key: str
) -> Shape:
    """Return the shape with these names of hardware in place of those that were asked for."""
    hardware = replace(shape.hardware, specifications=specifications, cpu_models=cpu_models)
    return replace(shape, hardware=hardware, reserved_key=reserved_key)


@lru_cache(maxsize=1 << 14)
def unmet(shape: Shape, machine: Machine) -> tuple[Mismatch, ...]:
    """Return why an instance of this shape could not even run on this machine when nothing else does; () when it can.

    Whether it takes images is not asked here: it depends on what else there is (see scheduler.fit).
    """
    return tuple(
        mismatches(
            shape.hardware,
            machine,
            cores=shape.cores,
            memory_bytes=shape.memory_bytes,
            whole_machine=shape.whole_machine,
            reserved_key=shape.reserved_key,
        )
    )


def shape_to_json(shape: Shape) -> str:
    """Return the stored form of a shape."""
    return msgspec.json.encode(shape).decode()


@lru_cache(maxsize=1 << 12)
def shape_from_json(body: str) -> Shape:
    """Read the stored form of a shape."""
    return msgspec.json.decode(body, type=Shape)


def digest_of(body: str) -> str:
    """Return what tells one stored form from another."""
    return hashlib.sha256(body.encode()).hexdigest()[:40]
