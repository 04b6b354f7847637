"""What hardware constraints ask of a machine, and why one does not match.

Instances share nodes unless their profile takes whole machines. So minimums are what an instance is given, and a
node must have that much; maximums bound what it is given, and only a whole machine must itself obey them
(decision 0041). Ratios are GiB of memory per core, of the same thing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hearth.domain.errors import Invalid

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30
TINY = 1e-9  # cores are floats

_PLACE = "hardwareConstraints[{}].{}"
_SUFFIX = "HardwareConstraint"
_NOISE = re.compile(r"\((?:r|tm|c)\)", re.IGNORECASE)
_WORD = re.compile(r"[a-z0-9][a-z0-9.+]*")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a node has, as far as placement asks; what is not said is no limit."""

    cores: float = math.inf
    memory_bytes: float = math.inf
    cpu_model: str = ""
    specification_key: str = ""
    has_ssd: bool = False
    gpus: int = 0
    takes_images: bool = True


@dataclass(frozen=True, slots=True)
class Hardware:
    """All constraints of a task together; None: not asked for."""

    minimum_cores: int = 0
    maximum_cores: int | None = None
    minimum_memory_mb: float = 0.0
    maximum_memory_mb: float | None = None
    minimum_ratio: float = 0.0
    maximum_ratio: float | None = None
    specifications: tuple[str, ...] = ()  # each is a part of the node's specification key
    cpu_models: tuple[str, ...] = ()
    gpu: bool | None = None
    ssd: bool | None = None


ANY_HARDWARE = Hardware()


class Need(StrEnum):
    """What can be missing on a machine; the values are told to users and do not change."""

    CORES = "CORES"
    MEMORY = "MEMORY"
    MAXIMUM_CORES = "MAXIMUM_CORES"
    MAXIMUM_MEMORY = "MAXIMUM_MEMORY"
    MINIMUM_RATIO = "MINIMUM_RATIO"
    MAXIMUM_RATIO = "MAXIMUM_RATIO"
    SPECIFICATION = "SPECIFICATION"
    RESERVED_MACHINE = "RESERVED_MACHINE"
    CPU_MODEL = "CPU_MODEL"
    GPU = "GPU"
    NO_GPU = "NO_GPU"
    SSD = "SSD"
    NO_SSD = "NO_SSD"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What is wanted, and what the machine has instead: cores, MB, GB per core, or text."""

    need: Need
    wanted: float | str = ""
    has: float | str = ""


_NUMBERS = {  # constraint: its field on the wire
    "MinimumCore": "coreCount",
    "MaximumCore": "coreCount",
    "MinimumRam": "minimumMemoryMB",
    "MaximumRam": "maximumMemoryMB",
    "MinimumRamCoreRatio": "minimumMemoryGBCoreRatio",
    "MaximumRamCoreRatio": "maximumMemoryGBCoreRatio",
}
_TEXTS = {"Specific": "specificationKey", "CpuModel": "cpuModel"}
_SWITCHES = {"Gpu": ("gpu", True), "NoGpu": ("gpu", False), "SSD": ("ssd", True), "NoSSD": ("ssd", False)}


def read_hardware(constraints: Iterable[Mapping[str, object]]) -> Hardware:
    """Return what the constraints ask for together; raise `Invalid` naming the one that contradicts another.

    Two of a kind count as the stricter one; of keys and models each must match.
    """
    numbers: dict[str, float] = {}
    places: dict[str, str] = {}
    texts: dict[str, set[str]] = {kind: set() for kind in _TEXTS}
    switches: dict[str, bool] = {}
    for index, constraint in enumerate(constraints):
        kind = str(constraint.get("discriminator", "")).removesuffix(_SUFFIX)
        if kind in _SWITCHES:
            name, wanted = _SWITCHES[kind]
            if switches.setdefault(name, wanted) is not wanted:
                place = _PLACE.format(index, "discriminator")
                raise Invalid(place, f"{kind} contradicts {_opposite(kind)}: no machine is both; leave one of them out")
        elif kind in _TEXTS:
            texts[kind].add(str(constraint.get(_TEXTS[kind], "")))
        elif kind in _NUMBERS:
            stricter = max if kind.startswith("Minimum") else min
            value = _number(constraint.get(_NUMBERS[kind]))
            numbers[kind] = stricter(numbers.get(kind, value), value)
            places[kind] = _PLACE.format(index, _NUMBERS[kind])
    _require_possible(numbers, places)
    return Hardware(
        minimum_cores=int(numbers.get("MinimumCore", 0)),
        maximum_cores=int(numbers["MaximumCore"]) if "MaximumCore" in numbers else None,
        minimum_memory_mb=numbers.get("MinimumRam", 0.0),
        maximum_memory_mb=numbers.get("MaximumRam"),
        minimum_ratio=numbers.get("MinimumRamCoreRatio", 0.0),
        maximum_ratio=numbers.get("MaximumRamCoreRatio"),
        specifications=tuple(sorted(texts["Specific"])),
        cpu_models=tuple(sorted(texts["CpuModel"])),
        gpu=switches.get("gpu"),
        ssd=switches.get("ssd"),
    )


def _require_possible(numbers: Mapping[str, float], places: Mapping[str, str]) -> None:
    for what in ("Core", "Ram", "RamCoreRatio"):
        least, most = f"Minimum{what}", f"Maximum{what}"
        if most in numbers and numbers[most] <= 0:
            raise Invalid(places[most], f"no machine has {numbers[most]:g} or less; give more")
        if least in numbers and most in numbers and numbers[least] > numbers[most]:
            raise Invalid(
                places[most],
                f"{most} {numbers[most]:g} is below {least} {numbers[least]:g}: no machine is both; change one of them",
            )


def _opposite(kind: str) -> str:
    return kind.removeprefix("No") if kind.startswith("No") else f"No{kind}"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def mismatches(
    hardware: Hardware,
    machine: Machine,
    *,
    cores: float,
    memory_bytes: int,
    whole_machine: bool = False,
    reserved_key: str = "",
) -> list[Mismatch]:
    """Return all that an empty machine lacks for an instance of so many cores and bytes; [] when it matches."""
    found: list[Mismatch] = []
    memory_mb = machine.memory_bytes / MEBIBYTE
    if cores > machine.cores + TINY:
        found.append(Mismatch(Need.CORES, cores, machine.cores))
    if memory_bytes > machine.memory_bytes:
        found.append(Mismatch(Need.MEMORY, _whole(memory_bytes / MEBIBYTE), _whole(memory_mb)))
    if whole_machine:
        found.extend(_beyond(hardware, machine))
    for key in hardware.specifications:
        if not has_key(machine, key):
            found.append(Mismatch(Need.SPECIFICATION, key, machine.specification_key))
    if reserved_key and not has_key(machine, reserved_key):
        found.append(Mismatch(Need.RESERVED_MACHINE, reserved_key, machine.specification_key))
    for model in hardware.cpu_models:
        if not is_model(machine.cpu_model, model):
            found.append(Mismatch(Need.CPU_MODEL, model, machine.cpu_model))
    if hardware.gpu is not None and hardware.gpu is not (machine.gpus > 0):
        found.append(Mismatch(Need.GPU if hardware.gpu else Need.NO_GPU, "", machine.gpus))
    if hardware.ssd is not None and hardware.ssd is not machine.has_ssd:
        found.append(Mismatch(Need.SSD if hardware.ssd else Need.NO_SSD))
    return found


def _beyond(hardware: Hardware, machine: Machine) -> Iterable[Mismatch]:
    """What a machine that an instance has for itself is too large for, or too unbalanced."""
    memory_mb = machine.memory_bytes / MEBIBYTE
    ratio = machine.memory_bytes / GIBIBYTE / machine.cores
    if hardware.maximum_cores is not None and machine.cores > hardware.maximum_cores:
        yield Mismatch(Need.MAXIMUM_CORES, hardware.maximum_cores, machine.cores)
    if hardware.maximum_memory_mb is not None and memory_mb > hardware.maximum_memory_mb:
        yield Mismatch(Need.MAXIMUM_MEMORY, hardware.maximum_memory_mb, _whole(memory_mb))
    if ratio < hardware.minimum_ratio - TINY:
        yield Mismatch(Need.MINIMUM_RATIO, hardware.minimum_ratio, round(ratio, 3))
    if hardware.maximum_ratio is not None and ratio > hardware.maximum_ratio + TINY:
        yield Mismatch(Need.MAXIMUM_RATIO, hardware.maximum_ratio, round(ratio, 3))


def has_key(machine: Machine, key: str) -> bool:
    """Answer whether a part of the machine's specification key is `key`, in whatever case."""
    return key.casefold() in machine.specification_key.casefold()


def is_model(model: str, wanted: str) -> bool:
    """Answer whether `wanted` names this cpu model: a part of it, or all of its words ("Ryzen 1700X")."""
    have, want = _NOISE.sub("", model).casefold(), _NOISE.sub("", wanted).casefold()
    if not want.strip():
        return True
    if want in have:
        return True
    words = _WORD.findall(want)
    return bool(words) and set(words) <= set(_WORD.findall(have))


def _whole(value: float) -> float:
    return float(math.floor(value)) if math.isfinite(value) else value
