"""Carbon facts of tasks over REST."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.integration.api.sites import TestSite, open_site
from tests.integration.api.test_tasks import submitted


async def test_a_site_that_says_nothing_of_its_energy_has_zeros(api: httpx.AsyncClient, site: TestSite) -> None:
    uuid = await submitted(api)
    await site.run(seconds=7200)
    facts = (await api.get(f"/carbon/v1/Tasks/{uuid}/carbon-facts")).json()
    assert facts.pop("comparisonDataCenterName") == facts.pop("equivalent_datacenter_name") == "european_dc"
    assert set(facts.values()) == {0.0}


async def test_the_facts_follow_what_the_site_says_and_how_long_cores_were_busy(tmp_path: Path) -> None:
    site = open_site(
        tmp_path, carbon_watts_per_core=10.0, carbon_pue=1.5, carbon_gco2_per_kwh=100.0, carbon_reused_share=0.5
    )
    _, token = await site.account()
    async with site.client(token) as api:
        uuid = await submitted(api, instanceCount=2, shortname="warm")
        await site.run(seconds=7200)
        facts = (await api.get("/v1/carbon/v1/tasks/warm/carbon-facts?comparisonDataCenter=european_dc")).json()
        assert facts["totalEnergyITWh"] == facts["total_energy_it_Wh"] == 2 * 2 * 10.0
        assert facts["totalConsumedEnergyWh"] == facts["total_consumed_energy_Wh"] == 60.0
        assert facts["totalReuseEnergyWh"] == facts["total_reused_energy_Wh"] == 30.0
        assert facts["carbonFootprintC02Eq"] == facts["qarnot_carbon_footprint"] == 6.0
        assert (facts["pue"], facts["PUE"], facts["ere"], facts["erf"]) == (1.5, 1.5, 0.75, 0.5)
        refused = await api.get(f"/carbon/v1/tasks/{uuid}/carbon-facts?comparisonDatacenter=moon")
        assert refused.status_code == 400
        assert refused.json()["message"] == (
            "comparisonDatacenter: 'moon' is not known here; this site compares with 'european_dc'"
        )
        assert (await api.get("/carbon/v1/tasks/nobody/carbon-facts")).status_code == 404
    site.close()
