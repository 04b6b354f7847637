"""The spawner's bookkeeping: what must die, and when a run is over."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from hearth.agent.spawner.messages import Ended, Refused, Started
from hearth.agent.spawner.table import Run, Table


def of_nobody(pid: int) -> str | None:
    return None


def of(owners: dict[int, str]) -> Callable[[int], str | None]:
    return owners.get


def a_table(**runs: int) -> Table:
    """A table with runs, by key and process id."""
    table = Table()
    for key, pid in runs.items():
        table.add(Run(key, "process", pid, started_at=1))
    return table


def keys(runs: list[Run]) -> list[str]:
    return [run.key for run in runs]


def end(table: Table, pid: int) -> None:
    table.main_ended(pid, at=2, exit_code=0, cpu_microseconds=10, peak=100)


def test_a_run_that_left_nothing_is_over_at_once() -> None:
    table = a_table(a=1)
    end(table, 1)
    assert table.doomed([], of_nobody) == []
    [run] = table.finished()
    assert run.ended() == Ended("a", 1, 2, 1, 0, 10, 100)


def test_a_run_is_over_only_when_its_orphans_are_gone() -> None:
    table = a_table(a=1, b=2)
    end(table, 1)
    assert table.doomed([2, 7], of({7: "a"})) == [7]
    assert table.finished() == []
    table.orphan_ended(7, cpu_microseconds=5, peak=300)
    assert table.doomed([2], of_nobody) == []
    [run] = table.finished()
    assert (run.cpu_microseconds, run.peak_memory_bytes) == (15, 300)


def test_orphans_of_a_run_that_goes_on_are_spared() -> None:
    table = a_table(a=1, b=2)
    end(table, 1)
    assert table.doomed([2, 7], of({7: "b"})) == []
    assert keys(table.finished()) == ["a"]
    end(table, 2)
    assert table.doomed([7], of({7: "b"})) == [7]


def test_an_orphan_that_nobody_can_place_dies_with_the_last_run_that_it_may_belong_to() -> None:
    table = a_table(a=1, b=2)
    end(table, 1)
    assert table.doomed([2, 7], of_nobody) == []
    assert keys(table.finished()) == ["a"]
    table.add(Run("later", "process", 3, started_at=3))
    end(table, 2)
    assert table.doomed([3, 7], of_nobody) == [7]
    table.orphan_ended(7, 0, 0)
    assert keys(table.finished()) == ["b"]


def test_an_orphan_is_asked_again_while_it_is_not_known_whose_it_is() -> None:
    table = a_table(a=1, b=2)
    end(table, 1)
    assert table.doomed([2, 7], of_nobody) == []
    assert table.doomed([2, 7], of({7: "a"})) == [7]


def test_an_orphan_of_a_run_that_is_over_dies() -> None:
    table = a_table(b=2)
    assert table.doomed([2, 7], of({7: "gone"})) == [7]


def test_the_number_of_an_orphan_may_be_used_again_by_a_run() -> None:
    table = a_table(a=1)
    end(table, 1)
    assert table.doomed([7], of({7: "a"})) == [7]
    table.orphan_ended(7, 0, 0)
    assert keys(table.finished()) == ["a"]
    table.add(Run("b", "process", 7, started_at=5))
    assert table.doomed([7], of_nobody) == []


def test_what_is_known_is_told_by_owner_until_it_is_forgotten() -> None:
    table = a_table(a=1)
    refused = Refused("r", 5, 127, "COMMAND_NOT_FOUND", "no")
    table.settle("process", refused)
    table.settle("sandbox", Ended("s", 9, 2, 1, 0, 0, 0))
    assert table.known("process") == (Started("a", 1, 1), refused)
    table.forget(["a", "r", "nobody"])
    assert table.known("process") == (Started("a", 1, 1),)
    assert "a" in table
    assert "r" not in table
    assert "s" in table


@given(st.data())
def test_every_run_ends_and_no_orphan_of_it_outlives_it(data: st.DataObject) -> None:
    """Whatever orphans appear, whoever can be placed, and in whatever order things end."""
    count = data.draw(st.integers(1, 5))
    table = a_table(**{f"r{number}": number for number in range(1, count + 1)})
    alive_mains = set(range(1, count + 1))
    orphans: dict[int, str] = {}  # the truth
    placed: dict[int, str] = {}  # what can be seen of it
    over: list[str] = []
    next_pid = 100
    rounds_left = 500
    while alive_mains or orphans:
        rounds_left -= 1
        assert rounds_left, "orphans that nobody ends"
        if alive_mains:
            pid = data.draw(st.sampled_from(sorted(alive_mains)))
            for _ in range(data.draw(st.integers(0, 3))):
                orphans[next_pid] = f"r{pid}"
                if data.draw(st.booleans()):
                    placed[next_pid] = f"r{pid}"
                next_pid += 1
            if not data.draw(st.booleans()):
                alive_mains.discard(pid)
                end(table, pid)
        doomed = table.doomed(alive_mains | orphans.keys(), placed.get)
        assert set(doomed) <= orphans.keys()
        assert {orphans[pid] for pid in doomed}.isdisjoint(f"r{pid}" for pid in alive_mains)
        for pid in doomed:
            if not data.draw(st.booleans()) or not alive_mains:
                table.orphan_ended(pid, 1, 1)
                del orphans[pid]
        over += keys(table.finished())
        assert not {key for pid, key in orphans.items() if pid in placed} & set(over)
    over += keys(table.finished())
    assert sorted(over) == [f"r{number}" for number in range(1, count + 1)]
