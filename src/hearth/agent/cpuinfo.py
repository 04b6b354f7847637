"""What /proc/cpuinfo says of the processors, and what kinds of machines are called: `8c-32g-amd-rz3700x-ssd`."""

from __future__ import annotations

import re
from dataclasses import dataclass

GIBIBYTE = 1 << 30

# Sizes that memory is sold in, in GiB: a kernel keeps some of it, so the next one up is meant.
_SIZES: tuple[int, ...] = (
    *(1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512),
    *(640, 768, 896, 1024, 1152, 1280, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384),
)

_ARM_PARTS = {
    ("0x41", "0xd03"): "ARM Cortex-A53",
    ("0x41", "0xd04"): "ARM Cortex-A35",
    ("0x41", "0xd05"): "ARM Cortex-A55",
    ("0x41", "0xd07"): "ARM Cortex-A57",
    ("0x41", "0xd08"): "ARM Cortex-A72",
    ("0x41", "0xd09"): "ARM Cortex-A73",
    ("0x41", "0xd0a"): "ARM Cortex-A75",
    ("0x41", "0xd0b"): "ARM Cortex-A76",
    ("0x41", "0xd0c"): "ARM Neoverse-N1",
    ("0x41", "0xd40"): "ARM Neoverse-V1",
    ("0x41", "0xd49"): "ARM Neoverse-N2",
    ("0x41", "0xd4f"): "ARM Neoverse-V2",
    ("0xc0", "0xac3"): "Ampere-1",
}
_ARM_MAKERS = {
    "0x41": "ARM",
    "0x43": "Cavium",
    "0x48": "HiSilicon",
    "0x51": "Qualcomm",
    "0x61": "Apple",
    "0xc0": "Ampere",
}
_AT = re.compile(r"@\s*([\d.]+)\s*GHz", re.IGNORECASE)
_NOISE = re.compile(r"\((?:r|tm|c)\)", re.IGNORECASE)
_FAMILIES = (  # the first that is found, and what is left of it; groups are joined
    (re.compile(r"threadripper(?: pro)? (\w+)"), "tr"),
    (re.compile(r"ryzen(?: ai)?(?: \d)?(?: pro)? (\d\w+)"), "rz"),
    (re.compile(r"epyc (\d\w*)"), "epyc"),
    (re.compile(r"xeon cpu e\d-?(\w+)(?: (v\d))?"), "xeon"),
    (re.compile(r"xeon e-?(\d\w+)"), "xeon"),
    (re.compile(r"xeon (?:platinum|gold|silver|bronze|max|phi|w|d)?[ -]?(?:cpu )?(\d\w+)(?: (v\d))?"), "xeon"),
    (re.compile(r"core (i\d)-(\w+)"), ""),
    (re.compile(r"core (ultra) (\d) (\w+)"), ""),
    (re.compile(r"(epyc|xeon|ryzen|celeron|pentium|atom|opteron|graviton)"), ""),
)


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processors of a machine together."""

    model: str = ""
    maker: str = ""
    threads: int = 0
    cores: int = 0  # without those that share one
    sockets: int = 1
    frequency_ghz: float = 0.0  # as the model says it, else the highest of the moment


def read_cpuinfo(text: str) -> Cpu:
    """Return what /proc/cpuinfo says; what is not in it stays empty."""
    processors: list[dict[str, str]] = []
    rest: dict[str, str] = {}
    for block in text.split("\n\n"):
        fields = dict(_field(line) for line in block.splitlines() if ":" in line)
        if "processor" in fields:
            processors.append(fields)
        else:
            rest |= fields
    if not processors:
        return Cpu()
    first = processors[0]
    model = first.get("model name", "")
    if "CPU implementer" in first and (not model or model.lower().startswith(("armv", "aarch"))):
        maker, part = first["CPU implementer"].lower(), first.get("CPU part", "").lower()
        model = _ARM_PARTS.get((maker, part)) or " ".join([_ARM_MAKERS.get(maker, "ARM"), part]).strip()
    model = model or first.get("cpu", "") or rest.get("Model", "")
    threads = len(processors)
    sockets = {fields["physical id"] for fields in processors if "physical id" in fields}
    cores = {(fields.get("physical id"), fields["core id"]) for fields in processors if "core id" in fields}
    # Virtual machines often have a socket for each thread: that says nothing of a machine.
    count = len(sockets) if 0 < len(sockets) < threads else 1
    clocks = [float(fields["cpu MHz"]) for fields in processors if _is_number(fields.get("cpu MHz", ""))]
    named = _AT.search(model)
    return Cpu(
        model=" ".join(model.split()),
        maker=_maker(model, first),
        threads=threads,
        cores=len(cores) if len(cores) > 1 or threads <= 2 else threads,
        sockets=count,
        frequency_ghz=float(named[1]) if named else round(max(clocks, default=0.0) / 1000, 1),
    )


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _maker(model: str, fields: dict[str, str]) -> str:
    name = model.lower()
    for maker in ("amd", "intel", "ampere", "apple"):
        if maker in name or maker in fields.get("vendor_id", "").lower():
            return maker
    return "arm" if "CPU implementer" in fields else ""


def specification_key(cpu: Cpu, *, cores: float, memory_bytes: int, has_ssd: bool, gpus: int) -> str:
    """Return the name of this kind of machine; equal machines have equal names."""
    counted = max(1, min(int(cores), cpu.cores) if cpu.cores else int(cores))
    several = {1: "", 2: "dual-"}.get(cpu.sockets, f"{cpu.sockets}x-")
    parts = [f"{counted}c", f"{_size(memory_bytes)}g", cpu.maker, several + _short(cpu.model, cpu.maker)]
    parts += ["ssd"] if has_ssd else []
    parts += [f"{gpus}gpu" if gpus > 1 else "gpu"] if gpus else []
    return "-".join(part for part in parts if part)


def _size(memory_bytes: int) -> int:
    gibibytes = memory_bytes / GIBIBYTE
    return next((size for size in _SIZES if gibibytes <= size * 1.01), int(gibibytes))


def _short(model: str, maker: str) -> str:
    """Return what tells this model from others of its maker, in letters and digits."""
    name = " ".join(_NOISE.sub("", _AT.sub("", model)).lower().split())
    for family, prefix in _FAMILIES:
        found = family.search(name)
        if found:
            return prefix + "".join(group for group in found.groups() if group)
    name = re.sub(r"\b(cpu|processor|\d+-cores?)\b", "", name).replace(maker, "", 1)
    return re.sub(r"[^a-z0-9]+", "", name)[:24]
