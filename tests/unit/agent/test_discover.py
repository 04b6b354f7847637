"""What a machine says of itself, and what its kind is called."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hearth.agent import discover
from hearth.agent.cpuinfo import Cpu, read_cpuinfo, specification_key
from hearth.agent.discover import Told

GIB = 1 << 30


def x86(vendor: str, model: str, *, sockets: int, cores: int, threads: int, mhz: str = "2200.000") -> str:
    """The lines of /proc/cpuinfo that differ between machines, as the kernel writes them."""
    blocks = []
    number = 0
    for _ in range(threads):
        for socket in range(sockets):
            for core in range(cores):
                blocks.append(
                    f"processor\t: {number}\nvendor_id\t: {vendor}\ncpu family\t: 23\nmodel\t\t: 113\n"
                    f"model name\t: {model}\nstepping\t: 0\ncpu MHz\t\t: {mhz}\ncache size\t: 512 KB\n"
                    f"physical id\t: {socket}\nsiblings\t: {cores * threads}\ncore id\t\t: {core}\n"
                    f"cpu cores\t: {cores}\nflags\t\t: fpu vme de pse\npower management:\n"
                )
                number += 1
    return "\n".join(blocks) + "\n"


RYZEN = x86("AuthenticAMD", "AMD Ryzen 7 3700X 8-Core Processor", sockets=1, cores=8, threads=2, mhz="3593.251")
THREADRIPPER = x86("AuthenticAMD", "AMD Ryzen Threadripper 2990WX 32-Core Processor", sockets=1, cores=32, threads=2)
EPYC = x86("AuthenticAMD", "AMD EPYC 9654 96-Core Processor", sockets=1, cores=96, threads=2)
DUAL = x86("GenuineIntel", "Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", sockets=2, cores=14, threads=2)
GOLD = x86("GenuineIntel", "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz", sockets=1, cores=20, threads=2)
GUEST = x86("GenuineIntel", "Intel(R) Xeon(R) Processor @ 2.90GHz", sockets=4, cores=1, threads=1)
LAPTOP = x86("GenuineIntel", "12th Gen Intel(R) Core(TM) i7-12700H", sockets=1, cores=14, threads=1)
GRAVITON = "\n".join(
    f"processor\t: {n}\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd evtstrm aes\nCPU implementer\t: 0x41\n"
    "CPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n"
    for n in range(16)
)
RASPBERRY = (
    "\n".join(
        f"processor\t: {n}\nBogoMIPS\t: 108.00\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n"
        "CPU part\t: 0xd08\nCPU revision\t: 3\n"
        for n in range(4)
    )
    + "\nHardware\t: BCM2835\nRevision\t: c03114\nSerial\t\t: 10000000\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n"
)


@pytest.mark.parametrize(
    ("text", "cpu"),
    [
        (RYZEN, Cpu("AMD Ryzen 7 3700X 8-Core Processor", "amd", 16, 8, 1, 3.6)),
        (DUAL, Cpu("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", "intel", 56, 28, 2, 2.4)),
        (GUEST, Cpu("Intel(R) Xeon(R) Processor @ 2.90GHz", "intel", 4, 4, 1, 2.9)),
        (GRAVITON, Cpu("ARM Neoverse-N1", "arm", 16, 16, 1, 0.0)),
        (RASPBERRY, Cpu("ARM Cortex-A72", "arm", 4, 4, 1, 0.0)),
        ("", Cpu()),
    ],
)
def test_processors_are_counted_by_core_and_socket(text: str, cpu: Cpu):
    assert read_cpuinfo(text) == cpu


@pytest.mark.parametrize(
    ("text", "cores", "gibibytes", "has_ssd", "gpus", "key"),
    [
        (RYZEN, 16, 31.3, False, 0, "8c-32g-amd-rz3700x"),
        (RYZEN, 4, 31.3, False, 0, "4c-32g-amd-rz3700x"),
        (THREADRIPPER, 64, 125.7, True, 0, "32c-128g-amd-tr2990wx-ssd"),
        (EPYC, 192, 503.4, True, 0, "96c-512g-amd-epyc9654-ssd"),
        (DUAL, 56, 125.8, True, 0, "28c-128g-intel-dual-xeon2680v4-ssd"),
        (GOLD, 40, 188, False, 2, "20c-192g-intel-xeon6148-2gpu"),
        (GUEST, 4, 15.6, False, 1, "4c-16g-intel-xeon-gpu"),
        (LAPTOP, 14, 15.3, True, 0, "14c-16g-intel-i712700h-ssd"),
        (GRAVITON, 16, 30.9, False, 0, "16c-32g-arm-neoversen1"),
        (RASPBERRY, 4, 3.7, False, 0, "4c-4g-arm-cortexa72"),
        ("", 2, 100_000, False, 0, "2c-100000g"),
    ],
)
def test_a_kind_of_machine_has_a_name(text: str, cores: float, gibibytes: float, has_ssd: bool, gpus: int, key: str):
    found = specification_key(
        read_cpuinfo(text), cores=cores, memory_bytes=int(gibibytes * GIB), has_ssd=has_ssd, gpus=gpus
    )
    assert found == key


def a_machine(root: Path, cpuinfo: str = RYZEN) -> Path:
    """Folders as they are on a machine with a disk whose partition the data is on."""
    (root / "proc").mkdir(parents=True)
    (root / "dev").mkdir()
    (root / "proc/cpuinfo").write_text(cpuinfo)
    (root / "proc/meminfo").write_text("MemTotal:       32864264 kB\nMemFree:  1 kB\n")
    return root


def a_disk(root: Path, folder: Path, *, rotational: str) -> Path:
    """A disk with a partition, which is the device of the folder."""
    device = os.stat(folder).st_dev
    disk = root / "sys/devices/pci/block/nvme0n1"
    (disk / "queue").mkdir(parents=True)
    (disk / "queue/rotational").write_text(rotational + "\n")
    partition = disk / "nvme0n1p2"
    partition.mkdir()
    (partition / "partition").write_text("2\n")
    number = f"{os.major(device)}:{os.minor(device)}"
    (root / "sys/dev/block").mkdir(parents=True)
    (root / "sys/dev/block" / number).symlink_to(partition)
    return partition


@pytest.mark.parametrize(("rotational", "is_ssd"), [("0", True), ("1", False), ("?", False)])
def test_the_disk_of_the_folder_turns_or_not(tmp_path: Path, rotational: str, is_ssd: bool):
    root = a_machine(tmp_path / "root")
    a_disk(root, tmp_path, rotational=rotational)
    assert discover.is_on_ssd(tmp_path, root) is is_ssd


def test_a_mapped_device_is_as_slow_as_the_slowest_of_its_disks(tmp_path: Path):
    root = a_machine(tmp_path / "root")
    partition = a_disk(root, tmp_path, rotational="0")
    device = os.stat(tmp_path).st_dev
    mapped = root / "sys/devices/virtual/block/dm-0"
    (mapped / "slaves").mkdir(parents=True)
    (mapped / "slaves/nvme0n1p2").symlink_to(partition)
    link = root / "sys/dev/block" / f"{os.major(device)}:{os.minor(device)}"
    link.unlink()
    link.symlink_to(mapped)
    assert discover.is_on_ssd(tmp_path, root) is True
    slow = root / "sys/devices/pci/block/sda"
    (slow / "queue").mkdir(parents=True)
    (slow / "queue/rotational").write_text("1\n")
    (mapped / "slaves/sda").symlink_to(slow)
    assert discover.is_on_ssd(tmp_path, root) is False


def test_a_folder_of_an_unknown_disk_is_on_no_ssd(tmp_path: Path):
    assert discover.is_on_ssd(tmp_path, a_machine(tmp_path / "root")) is False
    assert discover.is_on_ssd(tmp_path / "gone", tmp_path) is False


def test_gpus_are_those_that_the_driver_names_else_those_with_a_device(tmp_path: Path):
    root = a_machine(tmp_path)
    assert discover.gpus(root) == []
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (root / "dev" / name).touch()
    assert discover.gpus(root) == ["", ""]
    for slot in ("0000:01:00.0", "0000:02:00.0"):
        folder = root / "proc/driver/nvidia/gpus" / slot
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t NVIDIA RTX A6000\nIRQ:   \t\t 83\nBus Location: \t {slot}\n")
    assert discover.gpus(root) == ["NVIDIA RTX A6000", "NVIDIA RTX A6000"]


def an_offer(root: Path, told: Told | None = None) -> discover.Offer:
    return discover.offer(runtime="docker", isolated=True, takes_images=True, folder=root.parent, told=told, root=root)


def test_an_offer_is_what_the_machine_has(tmp_path: Path):
    root = a_machine(tmp_path / "root")
    a_disk(root, tmp_path, rotational="0")
    clock = root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"
    clock.parent.mkdir(parents=True)
    clock.write_text("4426171\n")
    cores = len(os.sched_getaffinity(0))
    found = an_offer(root)
    assert found == discover.Offer(
        cores=float(cores),
        memory_bytes=32864264 * 1024,
        runtime="docker",
        isolated=True,
        takes_images=True,
        cpu_model="AMD Ryzen 7 3700X 8-Core Processor",
        frequency_ghz=4.426,
        has_ssd=True,
        specification_key=f"{min(cores, 8)}c-32g-amd-rz3700x-ssd",
    )


def test_what_the_site_says_of_its_machine_goes_first(tmp_path: Path):
    told = Told(2.5, 1000, "mine", "Model T", 3, has_ssd=True)
    found = an_offer(a_machine(tmp_path / "root"), told)
    assert (found.cores, found.memory_bytes, found.specification_key) == (2.5, 1000 << 20, "mine")
    assert (found.cpu_model, found.gpus, found.has_ssd) == ("Model T", 3, True)


def test_this_machine_has_an_offer(tmp_path: Path):
    found = discover.offer(runtime="process", isolated=False, takes_images=False, folder=tmp_path)
    assert found.cores >= 1
    assert found.memory_bytes > 0
    assert re.match(r"\d+c-\d+g", found.specification_key)
