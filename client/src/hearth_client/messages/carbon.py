"""Energy and carbon of tasks and pools."""

from __future__ import annotations

from msgspec import field

from hearth_client.messages.base import Answer


class CarbonFacts(Answer):
    """`GET /carbon/v1/tasks/{id}/carbon-facts`: each fact under the OpenAPI document's name and under the SDKs'."""

    total_consumed_energy_wh: float = field(name="totalConsumedEnergyWh")
    total_energy_it_wh: float = field(name="totalEnergyITWh")
    total_reuse_energy_wh: float = field(name="totalReuseEnergyWh")
    carbon_footprint: float = field(name="carbonFootprintC02Eq")
    pue: float
    ere: float
    erf: float
    wue: float
    comparison_data_center_name: str
    equivalent_dc_carbon_footprint: float = field(name="equivalentDCCarbonFootprintC02Eq")
    saved_compute: float = field(name="savedCarbonFootprintComputeC02Eq")
    saved_heat: float = field(name="savedCarbonFootprintHeatC02Eq")
    saved_compute_heat: float = field(name="savedCarbonFootprintComputeHeatC02Eq")
    saved_percentage: float = field(name="savedCarbonFootprintPercentage")
    sdk_energy: float = field(name="total_consumed_energy_Wh")
    sdk_machines: float = field(name="total_energy_it_Wh")
    sdk_reused: float = field(name="total_reused_energy_Wh")
    sdk_carbon: float = field(name="qarnot_carbon_footprint")
    sdk_compared_name: str = field(name="equivalent_datacenter_name")
    sdk_compared_carbon: float = field(name="equivalent_DC_carbon_footprint")
    sdk_saved_compute: float = field(name="saved_carbon_footprint_compute")
    sdk_saved_heat: float = field(name="saved_carbon_footprint_heat")
    sdk_saved_compute_heat: float = field(name="saved_carbon_footprint_compute_heat")
    sdk_saved_percent: float = field(name="saved_carbon_footprint_percent")
    sdk_pue: float = field(name="PUE")
    sdk_ere: float = field(name="ERE")
    sdk_erf: float = field(name="ERF")
    sdk_wue: float = field(name="WUE")
