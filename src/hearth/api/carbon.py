"""Energy and carbon of a task, as far as the site says what it needs for that."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter
from sqlalchemy import Connection

from hearth.api.requests import ApiRequest, PathText, caller, site_of
from hearth.control import find
from hearth.domain.carbon import Plant, carbon_facts
from hearth.domain.errors import Invalid
from hearth.settings import Settings
from hearth.store.queries import live_times
from hearth_client.messages.carbon import CarbonFacts

SECOND = 1_000_000


class Carbon(Controller):
    """Carbon facts; `ident` is a uuid or a shortname."""

    path = "/carbon/v1"
    tags = ["carbon"]

    @get("/tasks/{ident:str}/carbon-facts")
    async def of_task(
        self,
        request: ApiRequest,
        ident: PathText,
        datacenter: Annotated[str | None, QueryParameter(name="comparisonDatacenter")] = None,
    ) -> CarbonFacts:
        """What the executions of a task took so far, beside the same work in the data centre of comparison."""
        site = site_of(request)
        told = {name.lower(): value for name, value in request.query_params.items()}
        name = _compared(site.settings, told.get("comparisondatacenter") or datacenter)
        seconds = await site.store.read(_core_seconds, caller(request).id, ident, site.now())
        return _rendered(site.settings, name, seconds)


def _compared(settings: Settings, asked: str | None) -> str:
    ours = settings.carbon_compared_name
    if asked and asked != ours:
        raise Invalid("comparisonDatacenter", f"'{asked[:60]}' is not known here; this site compares with '{ours}'")
    return ours


def _core_seconds(connection: Connection, account_id: int, ident: str, now: int) -> float:
    row = find.task(connection, account_id, ident)
    execution = row.execution_microseconds + live_times.read(connection, row.id, now).execution
    return execution / SECOND * row.demand_cores


def _rendered(settings: Settings, name: str, core_seconds: float) -> CarbonFacts:
    here = Plant(
        pue=settings.carbon_pue,
        gco2_per_kwh=settings.carbon_gco2_per_kwh,
        reused_share=settings.carbon_reused_share,
        heat_gco2_per_kwh=settings.carbon_heat_gco2_per_kwh,
        water_litres_per_kwh=settings.carbon_water_litres_per_kwh,
    )
    compared = Plant(pue=settings.carbon_compared_pue, gco2_per_kwh=settings.carbon_compared_gco2_per_kwh)
    facts = carbon_facts(core_seconds, settings.carbon_watts_per_core, here, compared)
    return CarbonFacts(
        total_consumed_energy_wh=facts.energy_wh,
        total_energy_it_wh=facts.machines_wh,
        total_reuse_energy_wh=facts.reused_wh,
        carbon_footprint=facts.carbon,
        pue=facts.pue,
        ere=facts.ere,
        erf=facts.erf,
        wue=facts.wue,
        comparison_data_center_name=name,
        equivalent_dc_carbon_footprint=facts.compared_carbon,
        saved_compute=facts.saved_computing,
        saved_heat=facts.saved_heating,
        saved_compute_heat=facts.saved,
        saved_percentage=facts.saved_percent,
        sdk_energy=facts.energy_wh,
        sdk_machines=facts.machines_wh,
        sdk_reused=facts.reused_wh,
        sdk_carbon=facts.carbon,
        sdk_compared_name=name,
        sdk_compared_carbon=facts.compared_carbon,
        sdk_saved_compute=facts.saved_computing,
        sdk_saved_heat=facts.saved_heating,
        sdk_saved_compute_heat=facts.saved,
        sdk_saved_percent=facts.saved_percent,
        sdk_pue=facts.pue,
        sdk_ere=facts.ere,
        sdk_erf=facts.erf,
        sdk_wue=facts.wue,
    )
