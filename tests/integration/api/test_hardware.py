"""Hardware: what can be asked for, what is refused, and why a task waits for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from hearth.store.queries import nodes
from hearth.wire.agent import Offer
from tests.integration.api.sites import SECOND, TestSite, a_task, open_site

EPYC = Offer(
    cores=8,
    memory_bytes=32_000 << 20,
    runtime="docker",
    isolated=True,
    takes_images=True,
    cpu_model="AMD EPYC 7543P 32-Core Processor",
    has_ssd=True,
    gpus=1,
    specification_key="8c-32g-amd-epyc7543p-ssd",
)
XEON = Offer(
    cores=16,
    memory_bytes=64_000 << 20,
    runtime="docker",
    isolated=True,
    takes_images=True,
    cpu_model="Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz",
    specification_key="16c-64g-intel-xeon2680v4",
)


async def join(site: TestSite, *offers: Offer) -> None:
    """Let nodes with these offers be heard of now."""
    for number, offer in enumerate(offers):
        text = msgspec.json.encode(offer).decode()
        now = site.clock.now
        await site.site.store.write(nodes.add, f"node-{number}", 1, 1, now, now + 600 * SECOND, text)


def asking(*constraints: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A task with constraints, their discriminators shortened."""
    named = [{**one, "discriminator": f"{one['discriminator']}HardwareConstraint"} for one in constraints]
    return a_task(hardwareConstraints=named, **more)


def told(answer: httpx.Response) -> list[tuple[Any, ...]]:
    return [tuple(one.values()) for one in answer.json()["data"]]


async def test_the_constraints_are_those_that_the_nodes_satisfy(site: TestSite, api: httpx.AsyncClient):
    assert (await api.get("/hardware-constraints")).json() == {"data": [], "offset": 0, "limit": 50, "total": 0}
    await join(site, EPYC, XEON)
    answer = await api.get("/hardware-constraints")
    assert told(answer) == [
        ("MinimumCoreHardwareConstraint", 8),
        ("MinimumCoreHardwareConstraint", 16),
        ("MaximumCoreHardwareConstraint", 8),
        ("MaximumCoreHardwareConstraint", 16),
        ("MinimumRamHardwareConstraint", 32000.0),
        ("MinimumRamHardwareConstraint", 64000.0),
        ("MaximumRamHardwareConstraint", 32000.0),
        ("MaximumRamHardwareConstraint", 64000.0),
        ("MinimumRamCoreRatioHardwareConstraint", 3.906),
        ("MaximumRamCoreRatioHardwareConstraint", 3.906),
        ("SpecificHardwareConstraint", "16c-64g-intel-xeon2680v4"),
        ("SpecificHardwareConstraint", "8c-32g-amd-epyc7543p-ssd"),
        ("CpuModelHardwareConstraint", "AMD EPYC 7543P 32-Core Processor"),
        ("CpuModelHardwareConstraint", "Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz"),
        ("GpuHardwareConstraint",),
        ("NoGpuHardwareConstraint",),
        ("SSDHardwareConstraint",),
        ("NoSSDHardwareConstraint",),
    ]
    site.clock.pass_seconds(601)
    assert (await api.get("/hardware-constraints")).json()["total"] == 0


EACH: list[dict[str, Any]] = [
    {"discriminator": "MinimumCoreHardwareConstraint", "coreCount": 2},
    {"discriminator": "MaximumCoreHardwareConstraint", "coreCount": 16},
    {"discriminator": "MinimumRamHardwareConstraint", "minimumMemoryMB": 4000.0},
    {"discriminator": "MaximumRamHardwareConstraint", "maximumMemoryMB": 32000.0},
    {"discriminator": "MinimumRamCoreRatioHardwareConstraint", "minimumMemoryGBCoreRatio": 0.5},
    {"discriminator": "MaximumRamCoreRatioHardwareConstraint", "maximumMemoryGBCoreRatio": 4.0},
    {"discriminator": "SpecificHardwareConstraint", "specificationKey": "8c-32g-amd-epyc7543p-ssd"},
    {"discriminator": "CpuModelHardwareConstraint", "cpuModel": "AMD EPYC 7543P 32-Core Processor"},
    {"discriminator": "GpuHardwareConstraint"},
    {"discriminator": "NoGpuHardwareConstraint"},
    {"discriminator": "SSDHardwareConstraint"},
    {"discriminator": "NoSSDHardwareConstraint"},
]


@pytest.mark.parametrize("constraint", EACH, ids=lambda one: one["discriminator"].removesuffix("HardwareConstraint"))
async def test_each_kind_of_constraint_is_answered_as_it_was_sent(
    site: TestSite, api: httpx.AsyncClient, constraint: dict[str, Any]
):
    await join(site, EPYC, XEON)
    uuid = (await api.post("/tasks", json=a_task(hardwareConstraints=[constraint]))).json()["uuid"]
    assert (await api.get(f"/tasks/{uuid}")).json()["hardwareConstraints"] == [constraint]


async def test_each_constraint_that_is_listed_can_be_asked_for(site: TestSite, api: httpx.AsyncClient):
    await join(site, EPYC, XEON)
    listed = (await api.get("/hardware-constraints")).json()["data"]
    for constraint in listed:
        answer = await api.post("/tasks", json=a_task(hardwareConstraints=[constraint]))
        assert answer.status_code == 200, (constraint, answer.text)
        task = (await api.get(f"/tasks/{answer.json()['uuid']}")).json()
        assert task["hardwareConstraints"] == [constraint]
        why = (await api.get(f"/tasks/{answer.json()['uuid']}/why")).json()
        assert [reason["code"] for reason in why["reasons"]] == ["NODES_BUSY"], (constraint, why)


async def test_pages_of_constraints(site: TestSite, api: httpx.AsyncClient):
    await join(site, EPYC)
    whole = (await api.get("/hardware-constraints")).json()
    page = (await api.get("/v1/Hardware-Constraints?Limit=3&Offset=2")).json()
    assert page == {"data": whole["data"][2:5], "offset": 2, "limit": 3, "total": whole["total"]}
    assert (await api.get("/hardware-constraints?limit=999&offset=999")).json()["data"] == []
    assert (await api.get("/hardware-constraints?limit=999")).json()["limit"] == 50
    for wrong in ("limit=0", "Limit=x", "offset=-1", "OFFSET=-1"):
        answer = await api.get(f"/hardware-constraints?{wrong}")
        assert answer.status_code == 400, wrong
        assert wrong.split("=")[0].lower() in answer.json()["message"].lower()


async def test_cpu_models_are_found_by_a_part_or_by_their_words(site: TestSite, api: httpx.AsyncClient):
    await join(site, EPYC, XEON)
    search = "/hardware-constraints/cpu-model-constraints/search"
    epyc = {"discriminator": "CpuModelHardwareConstraint", "cpuModel": EPYC.cpu_model}
    assert (await api.get(search, params={"cpuModel": "epyc 7543P"})).json() == [epyc]
    assert (await api.get(search, params={"CPUMODEL": "AMD 7543p"})).json() == [epyc]
    assert len((await api.get(search, params={"cpuModel": "e"})).json()) == 2
    missing = await api.get(search)
    assert (missing.status_code, list(missing.json()["errors"])) == (400, ["cpuModel"])
    gone = await api.get(search, params={"cpuModel": "Ryzen"})
    assert (gone.status_code, gone.json()["message"]) == (404, "No such hardware constraint: Ryzen")


@pytest.mark.parametrize(
    ("constraints", "field"),
    [
        ([{"discriminator": "Gpu"}, {"discriminator": "NoGpu"}], "hardwareConstraints[1].discriminator"),
        ([{"discriminator": "NoSSD"}, {"discriminator": "SSD"}], "hardwareConstraints[1].discriminator"),
        (
            [{"discriminator": "MinimumCore", "coreCount": 8}, {"discriminator": "MaximumCore", "coreCount": 4}],
            "hardwareConstraints[1].coreCount",
        ),
        (
            [
                {"discriminator": "MaximumRam", "maximumMemoryMB": 10},
                {"discriminator": "MinimumRam", "minimumMemoryMB": 20},
            ],
            "hardwareConstraints[0].maximumMemoryMB",
        ),
        ([{"discriminator": "MaximumCore", "coreCount": 0}], "hardwareConstraints[0].coreCount"),
    ],
)
async def test_constraints_that_contradict_each_other_are_refused(
    api: httpx.AsyncClient, constraints: list[dict[str, Any]], field: str
):
    answer = await api.post("/tasks", json=asking(*constraints))
    assert answer.status_code == 400
    assert field in answer.json()["errors"]


async def test_a_maximum_below_what_the_task_gets_anyway_is_refused(api: httpx.AsyncClient):
    ratio = {"discriminator": "MinimumRamCoreRatio", "minimumMemoryGBCoreRatio": 4}
    least = {"discriminator": "MinimumCore", "coreCount": 2}
    most = {"discriminator": "MaximumRam", "maximumMemoryMB": 1000}
    answer = await api.post("/tasks", json=asking(ratio, least, most))
    assert answer.status_code == 400
    assert "MaximumRam 1000 MB is too little" in answer.json()["message"]


async def test_reserved_scheduling_needs_the_key_of_a_machine(site: TestSite, api: httpx.AsyncClient):
    answer = await api.post("/tasks", json=a_task(schedulingType="reserved"))
    assert answer.status_code == 400
    assert "targetedReservationName" in answer.json()["errors"]
    await join(site, EPYC)
    for name in ("targetedReservedMachineKey", "targetedReservationName"):
        answer = await api.post("/tasks", json=a_task(schedulingType="reserved", **{name: "8c-32g"}))
        assert answer.status_code == 200
        task = (await api.get(f"/tasks/{answer.json()['uuid']}")).json()
        assert (task["schedulingType"].lower(), task["targetedReservedMachineKey"]) == ("reserved", "8c-32g")
    answer = await api.post("/tasks", json=a_task(schedulingType="reserved", targetedReservationName="96c"))
    assert answer.status_code == 402
    assert (await api.post("/tasks", json=a_task(targetedReservationName="96c"))).status_code == 200


SPECIFIC = {"discriminator": "Specific", "specificationKey": "96c-512g-amd-epyc9654-ssd"}
MODEL = {"discriminator": "CpuModel", "cpuModel": "Ryzen 1700X"}


@pytest.fixture
def open_with(tmp_path: Path) -> Callable[..., TestSite]:
    return lambda **settings: open_site(tmp_path, **settings)


async def submit(site: TestSite, *bodies: dict[str, Any]) -> list[httpx.Response]:
    _, token = await site.account()
    async with site.client(token) as client:
        return [await client.post("/tasks", json=body) for body in bodies]


async def test_names_that_no_node_has_are_refused(open_with: Callable[..., TestSite]):
    site = open_with()
    await join(site, EPYC)
    for body, what in ((asking(SPECIFIC), "specification key"), (asking(MODEL), "cpu model")):
        [answer] = await submit(site, body)
        assert answer.status_code == 402
        assert f"hardware constraint not allowed: no node of this site has the {what}" in answer.json()["message"]
    _, token = await site.account()
    async with site.client(token) as client:
        bulk = await client.post("/tasks", json=[asking(SPECIFIC), a_task()])
    assert (bulk.status_code, [one["statusCode"] for one in bulk.json()]) == (207, [402, 200])
    site.site.store.close()


async def test_before_any_node_was_there_no_name_is_unknown(open_with: Callable[..., TestSite]):
    site = open_with()
    assert [answer.status_code for answer in await submit(site, asking(SPECIFIC, MODEL))] == [200]
    site.site.store.close()


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"unknown_hardware": "wait"}, "NO_NODE_FITS"),
        ({"unknown_hardware": "ignore"}, "NODES_BUSY"),
        ({"specification_aliases": {"96C-512g-amd-epyc9654-ssd": "8c-32g", "Ryzen 1700X": "EPYC"}}, "NODES_BUSY"),
        ({"specification_aliases": {"96c-512g-amd-epyc9654-ssd": "", "ryzen 1700x": ""}}, "NODES_BUSY"),
    ],
)
async def test_a_site_maps_unknown_names_or_lets_them_pass(
    open_with: Callable[..., TestSite], settings: dict[str, Any], code: str
):
    site = open_with(**settings)
    await join(site, EPYC)
    _, token = await site.account()
    async with site.client(token) as client:
        task = (await client.post("/tasks", json=asking(SPECIFIC, MODEL))).json()["uuid"]
        why = (await client.get(f"/tasks/{task}/why")).json()
        shown = (await client.get(f"/tasks/{task}")).json()["hardwareConstraints"]
    assert [reason["code"] for reason in why["reasons"]] == [code]
    assert [one.get("specificationKey") for one in shown] == ["96c-512g-amd-epyc9654-ssd", None]
    site.site.store.close()


async def test_why_tells_what_no_node_has_with_its_numbers(site: TestSite, api: httpx.AsyncClient):
    await join(site, EPYC)
    need = {"discriminator": "MinimumRam", "minimumMemoryMB": 64000}
    task = (await api.post("/tasks", json=asking(need, instanceCount=3))).json()["uuid"]
    answer = await api.get(f"/tasks/{task}/why")
    assert answer.json() == {
        "uuid": task,
        "state": "Submitted",
        "message": "NO_NODE_FITS: needs 64000 MB of memory, the largest node has 32000",
        "reasons": [
            {
                "code": "NO_NODE_FITS",
                "message": "needs 64000 MB of memory, the largest node has 32000",
                "instances": "0-2",
                "numbers": {"constraint": "MEMORY", "needed": 64000.0, "best": 32000.0},
                "since": "2026-05-01T12:00:00Z",
            }
        ],
        "past": [],
        "instance": None,
    }


async def test_why_of_one_instance(site: TestSite, api: httpx.AsyncClient):
    task = (await api.post("/tasks", json=a_task(advancedRanges="4-5", instanceCount=...))).json()["uuid"]
    await site.dispatch(cores=1)
    first = (await api.get(f"/tasks/{task}/why?instance=4")).json()
    assert (first["instance"], first["state"], first["reasons"][0]["code"]) == (4, "Dispatched", "STAGING")
    second = (await api.get(f"/tasks/{task}/why?instance=5")).json()
    assert (second["instance"], second["state"], second["reasons"][0]["code"]) == (5, "Waiting", "NODES_BUSY")
    gone = await api.get(f"/tasks/{task}/why?instance=9")
    assert (gone.status_code, gone.json()["message"]) == (404, "No such instance: 9")
    assert (await api.get("/tasks/nothing/why")).status_code == 404
    await site.run()
    whole = (await api.get(f"/tasks/{task}/why")).json()
    assert whole["reasons"][0]["code"] == "STAGING"


async def test_a_task_that_names_an_image_waits_for_a_node_that_takes_images_where_there_are_some(
    site: TestSite, api: httpx.AsyncClient
):
    plain = msgspec.structs.replace(XEON, runtime="process", takes_images=False)
    await join(site, EPYC, plain)
    on_plain = {"discriminator": "Specific", "specificationKey": XEON.specification_key}
    task = (await api.post("/tasks", json=asking(on_plain))).json()["uuid"]

    async def code() -> str:
        found: str = (await api.get(f"/tasks/{task}/why")).json()["reasons"][0]["code"]
        return found

    assert await code() == "NODES_BUSY"
    named = [{"key": "DOCKER_REPO", "value": "library/alpine"}]
    assert (await api.put(f"/tasks/{task}", json={"constants": named})).status_code == 200
    assert await code() == "IMAGE_NEEDS_DOCKER"
    assert (await api.put(f"/tasks/{task}", json={"constants": []})).status_code == 200
    assert await code() == "NODES_BUSY"
