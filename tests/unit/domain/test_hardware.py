"""Constraints against machines: every kind of them, what they make of a demand, and what contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.domain.demand import Shape, shape_from_json, shape_of, shape_to_json, unmet
from hearth.domain.errors import Invalid
from hearth.domain.hardware import ANY_HARDWARE, Hardware, Machine, Mismatch, Need, is_model, read_hardware
from hearth.domain.profile import Profile
from hearth.domain.spec import SchedulingClass, TaskSpec

GIB = 1 << 30
MIB = 1 << 20
PROFILE = Profile("any")
LAPTOP = Machine(
    cores=8,
    memory_bytes=16 * GIB,
    cpu_model="AMD Ryzen 7 3700X 8-Core Processor",
    specification_key="8c-16g-amd-rz3700x-ssd",
    has_ssd=True,
    gpus=0,
)
SERVER = Machine(
    cores=32,
    memory_bytes=128 * GIB,
    cpu_model="Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz",
    specification_key="32c-128g-intel-dual-xeon2680v4-gpu",
    gpus=2,
)


def one(kind: str, **fields: Any) -> dict[str, object]:
    return {"discriminator": f"{kind}HardwareConstraint", **fields}


def shape(*constraints: dict[str, object], profile: Profile = PROFILE, **spec: Any) -> Shape:
    return shape_of(profile, TaskSpec(hardware=constraints, **spec), needs_image=False)


def lacks(machine: Machine, *constraints: dict[str, object], **more: Any) -> list[Mismatch]:
    return list(unmet(shape(*constraints, **more), machine))


@pytest.mark.parametrize(
    ("constraint", "laptop", "server"),
    [
        (one("MinimumCore", coreCount=16), [Mismatch(Need.CORES, 16, 8)], []),
        (one("MinimumRam", minimumMemoryMB=32000), [Mismatch(Need.MEMORY, 32000, 16384)], []),
        (one("MinimumRamCoreRatio", minimumMemoryGBCoreRatio=20), [Mismatch(Need.MEMORY, 20480, 16384)], []),
        (one("MaximumCore", coreCount=4), [], []),
        (one("MaximumRam", maximumMemoryMB=1000), [], []),
        (one("MaximumRamCoreRatio", maximumMemoryGBCoreRatio=1), [], []),
        (
            one("Specific", specificationKey="amd-RZ3700x"),
            [],
            [Mismatch(Need.SPECIFICATION, "amd-RZ3700x", SERVER.specification_key)],
        ),
        (one("CpuModel", cpuModel="Xeon E5-2680"), [Mismatch(Need.CPU_MODEL, "Xeon E5-2680", LAPTOP.cpu_model)], []),
        (one("Gpu"), [Mismatch(Need.GPU, "", 0)], []),
        (one("NoGpu"), [], [Mismatch(Need.NO_GPU, "", 2)]),
        (one("SSD"), [], [Mismatch(Need.SSD)]),
        (one("NoSSD"), [Mismatch(Need.NO_SSD)], []),
    ],
)
def test_each_constraint_matches_or_says_what_is_missing(
    constraint: dict[str, object], laptop: list[Mismatch], server: list[Mismatch]
):
    assert (lacks(LAPTOP, constraint), lacks(SERVER, constraint)) == (laptop, server)


@pytest.mark.parametrize(
    ("constraint", "laptop", "server"),
    [
        (one("MaximumCore", coreCount=16), [], [Mismatch(Need.MAXIMUM_CORES, 16, 32)]),
        (one("MaximumRam", maximumMemoryMB=20000), [], [Mismatch(Need.MAXIMUM_MEMORY, 20000, 131072)]),
        (one("MinimumRamCoreRatio", minimumMemoryGBCoreRatio=3), [Mismatch(Need.MINIMUM_RATIO, 3, 2)], []),
        (one("MaximumRamCoreRatio", maximumMemoryGBCoreRatio=3), [], [Mismatch(Need.MAXIMUM_RATIO, 3, 4)]),
    ],
)
def test_maximums_and_ratios_speak_of_a_machine_that_is_taken_whole(
    constraint: dict[str, object], laptop: list[Mismatch], server: list[Mismatch]
):
    whole = Profile("whole", whole_machine=True)
    assert (lacks(LAPTOP, constraint, profile=whole), lacks(SERVER, constraint, profile=whole)) == (laptop, server)


@pytest.mark.parametrize(
    ("constraints", "cores", "memory_bytes"),
    [
        ([], 1, 0),
        ([one("MinimumCore", coreCount=4)], 4, 0),
        ([one("MinimumRam", minimumMemoryMB=100)], 1, 100 * MIB),
        ([one("MinimumCore", coreCount=4), one("MinimumRamCoreRatio", minimumMemoryGBCoreRatio=2)], 4, 8 * GIB),
        ([one("MinimumRam", minimumMemoryMB=8192), one("MaximumRamCoreRatio", maximumMemoryGBCoreRatio=2)], 4, 8 * GIB),
        ([one("MaximumCore", coreCount=1), one("MaximumRam", maximumMemoryMB=5)], 1, 0),
        ([one("MinimumCore", coreCount=2), one("MinimumCore", coreCount=3)], 3, 0),
    ],
)
def test_a_demand_is_the_least_share_that_satisfies_all(
    constraints: list[dict[str, object]], cores: float, memory_bytes: int
):
    found = shape(*constraints)
    assert (found.cores, found.memory_bytes) == (cores, memory_bytes)


def test_the_profile_is_the_least():
    large = Profile("large", cores=2.5, memory_mb=512, network=True)
    assert shape(profile=large) == Shape(2.5, 512 * MIB, network=True)
    assert shape(one("MinimumCore", coreCount=2), profile=large).cores == 2.5


@pytest.mark.parametrize(
    ("constraints", "field"),
    [
        ([one("Gpu"), one("NoGpu")], "hardwareConstraints[1].discriminator"),
        ([one("NoSSD"), one("NoSSD"), one("SSD")], "hardwareConstraints[2].discriminator"),
        ([one("MinimumCore", coreCount=5), one("MaximumCore", coreCount=4)], "hardwareConstraints[1].coreCount"),
        (
            [one("MaximumRam", maximumMemoryMB=1), one("MinimumRam", minimumMemoryMB=2)],
            "hardwareConstraints[0].maximumMemoryMB",
        ),
        (
            [
                one("MinimumRamCoreRatio", minimumMemoryGBCoreRatio=2),
                one("MaximumRamCoreRatio", maximumMemoryGBCoreRatio=1),
            ],
            "hardwareConstraints[1].maximumMemoryGBCoreRatio",
        ),
        ([one("MaximumRam", maximumMemoryMB=0)], "hardwareConstraints[0].maximumMemoryMB"),
    ],
)
def test_what_contradicts_itself_is_refused_at_its_place(constraints: list[dict[str, object]], field: str):
    with pytest.raises(Invalid) as refused:
        read_hardware(constraints)
    assert refused.value.field == field


def test_a_maximum_below_what_the_profile_gives_is_refused():
    with pytest.raises(Invalid, match=r"MaximumCore 1 is too few: .* the profile large together need 4 cores"):
        shape(one("MaximumCore", coreCount=1), profile=Profile("large", cores=4))
    with pytest.raises(Invalid, match=r"MaximumRam 10 MB is too little: .* need 64 MB"):
        shape(one("MaximumRam", maximumMemoryMB=10), profile=Profile("large", memory_mb=64))


def test_a_reserved_key_counts_with_its_class_only():
    key = {"reserved_key": "amd-rz3700x"}
    assert lacks(SERVER, **key) == []
    assert lacks(LAPTOP, scheduling=SchedulingClass.RESERVED, **key) == []
    wanted = Mismatch(Need.RESERVED_MACHINE, "amd-rz3700x", SERVER.specification_key)
    assert lacks(SERVER, scheduling=SchedulingClass.RESERVED, **key) == [wanted]


def test_all_that_is_missing_is_told():
    constraints = (one("Gpu"), one("MinimumCore", coreCount=16), one("Specific", specificationKey="epyc"))
    assert [miss.need for miss in lacks(LAPTOP, *constraints)] == [Need.CORES, Need.SPECIFICATION, Need.GPU]


@pytest.mark.parametrize(
    ("wanted", "is_it"),
    [
        ("Ryzen 3700X", True),
        ("ryzen 7 3700x", True),
        ("AMD", True),
        ("", True),
        ("Ryzen 1700X", False),
        ("3700", True),
        ("Ryzen 370", False),
        ("...", False),
    ],
)
def test_a_model_is_named_by_a_part_or_by_its_words(wanted: str, is_it: bool):
    assert is_model(LAPTOP.cpu_model, wanted) is is_it


def test_constraints_in_another_order_make_the_same_shape():
    keys = one("Specific", specificationKey="b"), one("Specific", specificationKey="a"), one("Gpu")
    assert shape_to_json(shape(*keys)) == shape_to_json(shape(*reversed(keys)))
    assert shape(*keys).hardware == Hardware(specifications=("a", "b"), gpu=True)


def test_a_shape_is_read_back_as_it_was_written():
    for written in (
        Shape(1.0, 0),
        Shape(2.5, 7, SchedulingClass.RESERVED, Hardware(1, 2, 3.0, 4.0, 5.0, 6.0, ("k",), ("m",), True, False), "key"),
    ):
        assert shape_from_json(shape_to_json(written)) == written
    assert shape_from_json('{"cores":1.0,"memory_bytes":0}') == Shape(1.0, 0, hardware=ANY_HARDWARE)
