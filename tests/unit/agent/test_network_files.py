"""A run's network is measured only where it has one of its own."""

from __future__ import annotations

import os
from pathlib import Path

from hearth.agent import network_files

DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 9999999 100    0    0    0     0          0         0  9999999     100    0    0    0     0       0          0
  eth0: 1200 10    0    0    0     0          0         0      340       5    0    0    0     0       0          0
eth1:30 1 0 0 0 0 0 0 60 1 0 0 0 0 0 0
"""


def proc(folder: Path, dev: str = DEV) -> Path:
    for name in ("7", "self"):
        (folder / name / "ns").mkdir(parents=True)
        (folder / name / "net").mkdir()
        (folder / name / "net/dev").write_text(dev)
    (folder / "self/ns/net").write_text("ours")
    return folder


def test_bytes_of_all_interfaces_but_loopback_are_added(tmp_path: Path):
    assert network_files.read(7, proc(tmp_path)) == (1230, 400)


def test_a_process_that_is_gone_has_no_network(tmp_path: Path):
    assert network_files.read(8, proc(tmp_path)) is None


def test_a_namespace_of_its_own_is_another_one_than_ours(tmp_path: Path):
    found = proc(tmp_path)
    assert not network_files.has_own(7, found)  # it cannot be seen
    (found / "7/ns/net").hardlink_to(found / "self/ns/net")
    assert not network_files.has_own(7, found)
    (found / "7/ns/net").unlink()
    (found / "7/ns/net").write_text("theirs")
    assert network_files.has_own(7, found)


def test_this_process_is_in_our_own_namespace():
    assert not network_files.has_own(1 << 22)
    assert not network_files.has_own(os.getpid())
