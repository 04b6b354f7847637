"""What hardware tasks can ask for: constraints that the nodes which there are satisfy."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import Controller, get
from litestar.params import FromQuery, QueryParameter

from hearth.api.requests import ApiRequest, site_of
from hearth.control import hardware as control
from hearth.domain.errors import Invalid, Missing
from hearth.domain.hardware import Machine, is_model
from hearth_client.messages.hardware import HardwareConstraints
from hearth_client.messages.submissions import HardwareConstraint

PAGE: Final = 50
_CPU_MODEL: Final = "CpuModelHardwareConstraint"


class Hardware(Controller):
    """Hardware constraints; the names of parameters are read in any case."""

    path = "/hardware-constraints"
    tags = ["hardware constraints"]

    @get()
    async def constraints(
        self, request: ApiRequest, limit: FromQuery[int | None] = None, offset: FromQuery[int | None] = None
    ) -> HardwareConstraints:
        """All constraints that some node satisfies now, a page at a time."""
        limit = _number(request, "limit", limit, least=1, default=PAGE)
        offset = _number(request, "offset", offset, least=0, default=0)
        limit = min(limit, PAGE)
        found = _all(await _machines(request))
        return HardwareConstraints(data=found[offset : offset + limit], offset=offset, limit=limit, total=len(found))

    @get("/cpu-model-constraints/search")
    async def cpu_models(
        self, request: ApiRequest, cpu_model: Annotated[str | None, QueryParameter(name="cpuModel")] = None
    ) -> list[HardwareConstraint]:
        """The cpu models of nodes that `cpuModel` names: a part of the model, or all of its words."""
        wanted = _told(request, "cpumodel") or cpu_model
        if not wanted:
            raise Invalid("cpuModel", "is missing: give a part of the name of a cpu model")
        machines = await _machines(request)
        models = sorted({m.cpu_model for m in machines if m.cpu_model and is_model(m.cpu_model, wanted)})
        if not models:
            raise Missing("hardware constraint", wanted[:200])
        return [HardwareConstraint(discriminator=_CPU_MODEL, cpu_model=model) for model in models]


async def _machines(request: ApiRequest) -> list[Machine]:
    site = site_of(request)
    return await control.machines_here(site.store, site.now())


def _all(machines: list[Machine]) -> list[HardwareConstraint]:
    """Return the constraints that at least one machine satisfies, in an order that stays."""
    known = control.constraints_of(machines)
    found = [
        HardwareConstraint(discriminator=f"{least}CoreHardwareConstraint", core_count=cores)
        for least in ("Minimum", "Maximum")
        for cores in known.cores
    ]
    found += [
        HardwareConstraint(discriminator="MinimumRamHardwareConstraint", minimum_memory_mb=memory)
        for memory in known.memory_mb
    ]
    found += [
        HardwareConstraint(discriminator="MaximumRamHardwareConstraint", maximum_memory_mb=memory)
        for memory in known.memory_mb
    ]
    found += [
        HardwareConstraint(discriminator="MinimumRamCoreRatioHardwareConstraint", minimum_memory_gb_core_ratio=ratio)
        for ratio in known.ratios
    ]
    found += [
        HardwareConstraint(discriminator="MaximumRamCoreRatioHardwareConstraint", maximum_memory_gb_core_ratio=ratio)
        for ratio in known.ratios
    ]
    found += [
        HardwareConstraint(discriminator="SpecificHardwareConstraint", specification_key=key) for key in known.keys
    ]
    found += [HardwareConstraint(discriminator=_CPU_MODEL, cpu_model=model) for model in known.cpu_models]
    found += [HardwareConstraint(discriminator=f"{switch}HardwareConstraint") for switch in known.switches]
    return found


def _number(request: ApiRequest, name: str, told: int | None, *, least: int, default: int) -> int:
    if told is None and (text := _told(request, name)):
        if not (text.isascii() and text.lstrip("-").isdigit() and len(text) < 10):
            raise Invalid(name, f"'{text[:60]}' is not a number")
        told = int(text)
    if told is None:
        return default
    if told < least:
        raise Invalid(name, f"{told} is too few: ask for {least} at least")
    return told


def _told(request: ApiRequest, name: str) -> str | None:
    """Return a parameter, however its name is written."""
    for key, value in request.query_params.multi_items():
        if key.lower() == name:
            return str(value)
    return None
