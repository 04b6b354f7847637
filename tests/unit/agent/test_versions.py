"""Which attempts need resources that were pushed, and what the node tells of them."""

from __future__ import annotations

from typing import Any

from hearth.agent.attempt import Attempt, Phase, Push, RunEnd
from hearth.agent.versions import Versions, newest
from hearth.wire import agent as wire


def filled(number: int, version: int, phase: Phase = Phase.RUNNING, **more: Any) -> Attempt:
    return Attempt((1, number, 1), phase, **({"has_files": True, "resources_version": version} | more))


def test_attempts_that_were_filled_before_a_push_get_it():
    versions = Versions()
    assert versions.hear(1, 2)
    assert not versions.hear(1, 2)
    assert versions.push(1, [filled(0, 2)]) == []
    assert versions.push(1, [filled(0, 2), filled(1, 1)]) == [Push(1, 2)]


def test_the_node_tells_what_all_its_attempts_have():
    versions = Versions()
    assert versions.tell([filled(0, 0)]) == {}
    versions.hear(1, 3)
    assert versions.tell([filled(0, 3), filled(1, 1)]) == {1: 1}
    assert versions.tell([filled(0, 3)]) == {1: 3}
    versions.forget(1)
    assert versions.tell([]) == {}


def test_what_is_not_filled_yet_or_over_needs_no_push():
    versions = Versions()
    versions.hear(1, 3)
    others = [
        filled(0, 0, Phase.QUEUED, has_files=False),
        filled(1, 0, Phase.COLLECTING),
        filled(2, 0, exit=RunEnd(9, 0)),
        filled(3, 0, dropped=True),
    ]
    assert versions.push(1, others) == []
    assert versions.tell(others) == {1: 3}


def test_orders_tell_versions_with_works_and_alone():
    work = wire.Work(1, "u", 1, {}, {}, network=False, cores=1.0, memory_bytes=0, resources_version=4)
    assert newest([wire.Update(1, 3), wire.Update(2, 5)], [work]) == {1: 4, 2: 5}
