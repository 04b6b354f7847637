"""What this machine offers: cores, memory, GPUs, the kind of its disk, and what its kind of machine is called."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from hearth.agent.cpuinfo import Cpu, read_cpuinfo, specification_key
from hearth.wire.agent import Offer

KIBIBYTE = 1024
ROOT = Path("/")
_GPU_DEVICE = re.compile(r"nvidia\d+")


@dataclass(frozen=True, slots=True)
class Told:
    """What the site says of the machine in place of what it says itself; 0, "", -1 and None: nothing."""

    cores: float = 0.0
    memory_mb: int = 0
    specification_key: str = ""
    cpu_model: str = ""
    gpus: int = -1
    has_ssd: bool | None = None


def offer(
    *, runtime: str, isolated: bool, takes_images: bool, folder: Path, told: Told | None = None, root: Path = ROOT
) -> Offer:
    """Return the offer of a node whose files are in `folder`; /proc, /sys and /dev are looked for in `root`."""
    told = told or Told()
    cpu = read_cpuinfo(_text(root / "proc/cpuinfo"))
    gpu_models = gpus(root)
    cores = told.cores or float(len(os.sched_getaffinity(0)))
    memory_bytes = told.memory_mb << 20 if told.memory_mb else memory(root)
    has_ssd = is_on_ssd(folder, root) if told.has_ssd is None else told.has_ssd
    count = len(gpu_models) if told.gpus < 0 else told.gpus
    key = specification_key(cpu, cores=cores, memory_bytes=memory_bytes, has_ssd=has_ssd, gpus=count)
    return Offer(
        cores=cores,
        memory_bytes=memory_bytes,
        runtime=runtime,
        isolated=isolated,
        takes_images=takes_images,
        cpu_model=told.cpu_model or cpu.model,
        frequency_ghz=highest_frequency(cpu, root),
        has_ssd=has_ssd,
        gpus=count,
        gpu_model=gpu_models[0] if gpu_models and count else "",
        specification_key=told.specification_key or key,
    )


def memory(root: Path = ROOT) -> int:
    """Return the bytes of memory of the machine."""
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * KIBIBYTE
    return 0


def highest_frequency(cpu: Cpu, root: Path = ROOT) -> float:
    """Return the highest clock in GHz, or the one that its model names, or that of the moment."""
    told = _text(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").strip()
    return round(int(told) / 1_000_000, 3) if told.isdigit() else cpu.frequency_ghz


def gpus(root: Path = ROOT) -> list[str]:
    """Return the models of the GPUs that the machine's driver serves; "" where it does not name them."""
    found = [_gpu_model(_text(file)) for file in sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))]
    if found:
        return found
    try:
        devices = sorted(name for name in os.listdir(root / "dev") if _GPU_DEVICE.fullmatch(name))
    except OSError:
        return []
    return [""] * len(devices)


def _gpu_model(information: str) -> str:
    for line in information.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "Model":
            return value.strip()
    return ""


def is_on_ssd(folder: Path, root: Path = ROOT) -> bool:
    """Answer whether the disks below a folder have nothing that turns; False when nobody can tell."""
    try:
        device = os.stat(folder).st_dev
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    if os.major(device) == 0:  # a file system of several disks, or of none
        number = _mounted_from(number, root)
    return bool(number) and _turns(root / "sys/dev/block" / number) is False


def _mounted_from(number: str, root: Path) -> str:
    """Return the number of the device that a file system without one of its own names as its source."""
    for line in _text(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        source = after.split()[1] if len(after.split()) > 1 else ""
        if len(fields) > 2 and fields[2] == number and source.startswith("/dev/"):
            try:
                device = os.stat(root / source.lstrip("/")).st_rdev
            except OSError:
                return ""
            return f"{os.major(device)}:{os.minor(device)}"
    return ""


def _turns(device: Path) -> bool | None:
    """Answer whether a block device, or any that it is made of, has a disk that turns; None: nobody can tell."""
    device = device.resolve()
    parts = sorted((device / "slaves").glob("*"))
    if parts:
        known = [_turns(part) for part in parts]
        return None if None in known else any(known)
    if (device / "partition").exists():
        device = device.parent
    told = _text(device / "queue/rotational").strip()
    return told == "1" if told in ("0", "1") else None


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", errors="replace")
    except OSError:
        return ""
