"""What this machine offers."""

from __future__ import annotations

import os
from pathlib import Path

from hearth.wire.agent import Offer

KIBIBYTE = 1024


def offer(*, runtime: str, isolated: bool, takes_images: bool, cores: float, memory_mb: int) -> Offer:
    """Return the offer; cores or memory of 0 stand for what the machine has."""
    model, frequency = _cpu()
    return Offer(
        cores=cores or float(len(os.sched_getaffinity(0))),
        memory_bytes=memory_mb << 20 if memory_mb else _memory_bytes(),
        runtime=runtime,
        isolated=isolated,
        takes_images=takes_images,
        cpu_model=model,
        frequency_ghz=frequency,
    )


def _memory_bytes() -> int:
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * KIBIBYTE
    return 0


def _cpu() -> tuple[str, float]:
    model, megahertz = "", 0.0
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return model, megahertz
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name" and not model:
            model = value.strip()
        elif name.strip() == "cpu MHz" and not megahertz:
            megahertz = float(value)
    return model, round(megahertz / 1000, 3)
