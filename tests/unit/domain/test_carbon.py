"""Energy and carbon from core seconds."""

from hearth.domain.carbon import CarbonFacts, Plant, carbon_facts

HERE = Plant(pue=1.25, gco2_per_kwh=60.0, reused_share=0.4, heat_gco2_per_kwh=200.0, water_litres_per_kwh=0.5)
THERE = Plant(pue=1.6, gco2_per_kwh=300.0)


def test_work_has_energy_heat_and_carbon_beside_another_place():
    assert carbon_facts(720_000, 5.0, HERE, THERE) == CarbonFacts(
        energy_wh=1250.0,
        machines_wh=1000.0,
        reused_wh=500.0,
        carbon=75.0,
        compared_carbon=480.0,
        saved_computing=405.0,
        saved_heating=100.0,
        saved_percent=100 * 505.0 / 580.0,
        pue=1.25,
        ere=0.75,
        erf=0.4,
        wue=0.5,
    )
    assert carbon_facts(720_000, 5.0, HERE, THERE).saved == 505.0


def test_what_nobody_said_is_zero():
    assert carbon_facts(720_000, 0.0, Plant(), Plant()) == CarbonFacts(*[0.0] * 12)
    assert carbon_facts(0, 5.0, HERE, THERE) == CarbonFacts(*[0.0] * 12)
