"""Energy and carbon of work, from how long cores were busy and from what a site says of itself.

Nothing is assumed: a site that says nothing of its power and its grid has zeros (contract: CarbonFacts).
"""

from __future__ import annotations

from dataclasses import dataclass

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Plant:
    """What a place where computers are says of itself."""

    pue: float = 1.0  # all energy for each unit that the machines use
    gco2_per_kwh: float = 0.0
    reused_share: float = 0.0  # of all energy, as heat that somebody needs
    heat_gco2_per_kwh: float = 0.0  # of the heating that this replaces
    water_litres_per_kwh: float = 0.0


@dataclass(frozen=True, slots=True)
class CarbonFacts:
    """Energy in watt hours, carbon in grams of CO2; the ratios are 0 when nothing was used."""

    energy_wh: float
    machines_wh: float
    reused_wh: float
    carbon: float
    compared_carbon: float
    saved_computing: float
    saved_heating: float
    saved_percent: float
    pue: float
    ere: float
    erf: float
    wue: float

    @property
    def saved(self) -> float:
        return self.saved_computing + self.saved_heating


def carbon_facts(core_seconds: float, watts_per_core: float, here: Plant, compared: Plant) -> CarbonFacts:
    """Return the facts of this much work here, beside the same work in another place."""
    machines = core_seconds * watts_per_core / SECONDS_PER_HOUR
    energy = machines * here.pue
    reused = energy * here.reused_share
    carbon = energy / 1000 * here.gco2_per_kwh
    compared_carbon = machines / 1000 * compared.pue * compared.gco2_per_kwh
    heating = reused / 1000 * here.heat_gco2_per_kwh
    usual = compared_carbon + heating  # computing there, and heating as usual
    return CarbonFacts(
        energy_wh=energy,
        machines_wh=machines,
        reused_wh=reused,
        carbon=carbon,
        compared_carbon=compared_carbon,
        saved_computing=compared_carbon - carbon,
        saved_heating=heating,
        saved_percent=100 * (usual - carbon) / usual if usual else 0.0,
        pue=energy / machines if machines else 0.0,
        ere=(energy - reused) / machines if machines else 0.0,
        erf=reused / energy if energy else 0.0,
        wue=here.water_litres_per_kwh if machines else 0.0,
    )
