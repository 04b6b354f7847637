"""Energy and carbon of tasks and pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hearth_client.http import url_path
from qarnot.exceptions import MissingPoolException, MissingTaskException

if TYPE_CHECKING:
    from qarnot.connection import Connection

# attribute: (name on the wire, name in the API's OpenAPI document)
_NAMES: Final = {
    "energy_consumption_Wh": ("total_consumed_energy_Wh", "totalConsumedEnergyWh"),
    "energy_it_Wh": ("total_energy_it_Wh", "totalEnergyITWh"),
    "energy_reuse_Wh": ("total_reused_energy_Wh", "totalReuseEnergyWh"),
    "carbon_footprint_gC02eq": ("qarnot_carbon_footprint", "carbonFootprintC02Eq"),
    "equivalent_datacenter_name": ("equivalent_datacenter_name", "comparisonDataCenterName"),
    "equivalent_dc_carbon_footprint_gC02eq": (
        "equivalent_DC_carbon_footprint",
        "equivalentDCCarbonFootprintC02Eq",
    ),
    "saved_carbon_footprint_compute_gC02eq": (
        "saved_carbon_footprint_compute",
        "savedCarbonFootprintComputeC02Eq",
    ),
    "saved_carbon_footprint_heat_gC02eq": ("saved_carbon_footprint_heat", "savedCarbonFootprintHeatC02Eq"),
    "saved_carbon_footprint_compute_heat_gC02eq": (
        "saved_carbon_footprint_compute_heat",
        "savedCarbonFootprintComputeHeatC02Eq",
    ),
    "saved_carbon_footprint_percent": ("saved_carbon_footprint_percent", "savedCarbonFootprintPercentage"),
    "PUE": ("PUE", "pue"),
    "ERE": ("ERE", "ere"),
    "ERF": ("ERF", "erf"),
    "WUE": ("WUE", "wue"),
}


class CarbonFacts:
    """Energy that was used, and carbon beside that of a usual data centre."""

    def __init__(
        self,
        energy_consumption: float = 0,
        energy_it: float = 0,
        energy_reuse: float = 0,
        carbon_footprint: float = 0,
        equivalent_dc_name: str = "",
        equivalent_dc_carbon_footprint: float = 0,
        saved_carbon_footprint_compute: float = 0,
        saved_carbon_footprint_heat: float = 0,
        saved_carbon_footprint_compute_heat: float = 0,
        saved_carbon_footprint_percent: float = 0,
        PUE: float = 0,
        ERE: float = 0,
        ERF: float = 0,
        WUE: float = 0,
    ) -> None:
        self.energy_consumption_Wh = energy_consumption
        """All energy that was used."""
        self.energy_it_Wh = energy_it
        """Energy that the machines used."""
        self.energy_reuse_Wh = energy_reuse
        """Energy whose heat was used again."""
        self.carbon_footprint_gC02eq = carbon_footprint
        """Carbon, in grams of CO2."""
        self.equivalent_datacenter_name = equivalent_dc_name
        """The data centre it is compared with."""
        self.equivalent_dc_carbon_footprint_gC02eq = equivalent_dc_carbon_footprint
        """Carbon of the same work there."""
        self.saved_carbon_footprint_compute_gC02eq = saved_carbon_footprint_compute
        """Carbon saved in computing."""
        self.saved_carbon_footprint_heat_gC02eq = saved_carbon_footprint_heat
        """Carbon saved in heating."""
        self.saved_carbon_footprint_compute_heat_gC02eq = saved_carbon_footprint_compute_heat
        """Both together."""
        self.saved_carbon_footprint_percent = saved_carbon_footprint_percent
        """The share that was saved."""
        self.PUE = PUE
        """Power usage effectiveness."""
        self.ERE = ERE
        """Energy reuse effectiveness."""
        self.ERF = ERF
        """Energy reuse factor."""
        self.WUE = WUE
        """Water usage effectiveness."""

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> CarbonFacts:
        """Return the facts that an answer names."""
        facts = cls()
        for attribute, names in _NAMES.items():
            value = next((json[name] for name in names if json.get(name) is not None), None)
            if value is not None:
                setattr(facts, attribute, value)
        return facts

    def to_json(self) -> dict[str, Any]:
        """Return the facts as they travel."""
        return {name: getattr(self, attribute) for attribute, (name, _) in _NAMES.items()}

    def __repr__(self) -> str:
        return f"CarbonFacts({self.to_json()})"


class CarbonClient:
    """Asks the platform for carbon facts, compared with a data centre of one's choice."""

    def __init__(self, connection: Connection, datacenter_name: str | None = None) -> None:
        self._connection = connection
        self.reference_datacenter_name = datacenter_name
        """The data centre to compare with; None leaves it to the platform."""

    def get_pool_carbon_facts(self, pool_id: str) -> CarbonFacts:
        """Return the facts of a pool."""
        json = self._connection._json(
            "GET",
            url_path("carbon", "v1", "pools", pool_id, "carbon-facts"),
            params={"comparisonDatacenter": self.reference_datacenter_name},
            special={404: MissingPoolException},
        )
        return CarbonFacts.from_json(json)

    def get_task_carbon_facts(self, task_id: str) -> CarbonFacts:
        """Return the facts of a task."""
        json = self._connection._json(
            "GET",
            url_path("carbon", "v1", "tasks", task_id, "carbon-facts"),
            params={"comparisonDatacenter": self.reference_datacenter_name},
            special={404: MissingTaskException},
        )
        return CarbonFacts.from_json(json)
