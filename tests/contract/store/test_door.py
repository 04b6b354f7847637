"""The door: what is acknowledged is durable, what fails takes nothing with it, what is read fits together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine, event, insert, select, text, update

from hearth.domain.errors import Invalid, Unavailable
from hearth.store.door import GROUP_LIMIT, Store, open_engine, ping
from hearth.store.tables import site

PATIENCE = 30


def put(connection: Connection, key: str, value: str = "") -> str:
    connection.execute(insert(site).values(key=key, value=value))
    return key


def put_then_fail(connection: Connection, key: str) -> None:
    put(connection, key)
    raise Invalid("key", "refused after its rows were written")


def keys(connection: Connection) -> list[str]:
    return sorted(connection.execute(select(site.c.key)).scalars())


class Gate:
    """Holds the writer inside a write, so that others queue behind it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, connection: Connection) -> None:
        self.entered.set()
        assert self.open.wait(PATIENCE)


async def held(store: Store) -> tuple[Gate, asyncio.Task[None]]:
    """Keep the writer busy; return what lets it go, and the write that it is busy with."""
    gate = Gate()
    task = asyncio.create_task(store.write(gate))
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE)
    return gate, task


async def group(store: Store, *writes: Callable[[Connection], object]) -> list[object]:
    """Run writes as one group; return their values and errors."""
    gate, first = await held(store)
    waiting = [asyncio.create_task(store.write(write)) for write in writes]
    await asyncio.sleep(0)  # every write is in the queue before the writer looks
    gate.open.set()
    await first
    return list(await asyncio.gather(*waiting, return_exceptions=True))


async def test_a_database_answers(store: Store):
    assert await store.read(ping) is True


async def test_a_write_returns_what_its_function_returned(store: Store):
    assert await store.write(put, "a", value="1") == "a"
    assert await store.read(keys) == ["a"]


async def test_a_failing_write_of_a_group_takes_nothing_with_it(store: Store):
    outcomes = await group(
        store,
        lambda c: put(c, "before"),
        lambda c: put_then_fail(c, "failed"),
        lambda c: put(c, "after"),
    )
    assert [type(each) for each in outcomes] == [str, Invalid, str]
    assert await store.read(keys) == ["after", "before"]


async def test_a_refusal_of_the_database_takes_nothing_with_it(store: Store):
    def twice(connection: Connection) -> None:
        put(connection, "new")
        put(connection, "a")  # there already

    await store.write(put, "a")
    outcomes = await group(store, twice, lambda c: put(c, "b"))
    assert "IntegrityError" in type(outcomes[0]).__name__
    assert outcomes[1] == "b"
    assert await store.read(keys) == ["a", "b"]


async def test_writes_happen_in_the_order_in_which_they_were_asked(store: Store):
    order: list[int] = []

    def note(number: int) -> Callable[[Connection], None]:
        return lambda _: order.append(number)

    await group(store, *(note(number) for number in range(3 * GROUP_LIMIT)))
    assert order == list(range(3 * GROUP_LIMIT))


async def test_a_later_write_of_a_group_sees_the_earlier_ones(store: Store):
    outcomes = await group(store, lambda c: put(c, "a"), keys)
    assert outcomes == ["a", ["a"]]


async def test_waiting_writes_share_a_commit(store: Store):
    commits = 0

    def count(_: object) -> None:
        nonlocal commits
        commits += 1

    event.listen(store.engine, "commit", count)
    await group(store, *((lambda c, n=n: put(c, str(n))) for n in range(10)))
    assert commits == 2  # the write that held the writer, and all others


async def test_nobody_sees_a_write_before_it_is_acknowledged_and_everybody_after(store: Store, url: str):
    other = open_engine(url)
    seen_inside: list[list[str]] = []

    def write_and_look(connection: Connection) -> None:
        put(connection, "a")
        with other.connect() as second:
            seen_inside.append(keys(second))

    await store.write(write_and_look)
    assert seen_inside == [[]]
    with other.connect() as connection:
        assert keys(connection) == ["a"]
    other.dispose()


async def test_a_caller_that_gives_up_does_not_make_its_write_half_true(store: Store):
    gate, first = await held(store)
    given_up = asyncio.create_task(store.write(put, "a"))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    gate.open.set()
    await first
    assert await store.write(keys) == ["a"]


async def test_a_read_is_one_view_whatever_is_written_meanwhile(store: Store):
    entered, written = threading.Event(), threading.Event()

    def look_twice(connection: Connection) -> tuple[list[str], list[str]]:
        before = keys(connection)
        entered.set()
        assert written.wait(PATIENCE)
        return before, keys(connection)

    reading = asyncio.create_task(store.read(look_twice))
    assert await asyncio.to_thread(entered.wait, PATIENCE)
    await store.write(put, "a")  # a reader does not make writers wait
    written.set()
    assert await reading == ([], [])
    assert await store.read(keys) == ["a"]


async def test_when_the_commit_fails_nobody_of_the_group_was_heard(store: Store):
    def fail(_: object) -> None:
        raise OSError("no space left on device")

    await store.write(put, "there")
    gate, first = await held(store)
    waiting = [asyncio.create_task(store.write(put, key)) for key in "ab"]
    await asyncio.sleep(0)
    event.listen(store.engine, "commit", fail)
    gate.open.set()
    outcomes = await asyncio.gather(first, *waiting, return_exceptions=True)
    event.remove(store.engine, "commit", fail)
    assert [type(each) for each in outcomes] == [OSError] * 3
    assert await store.read(keys) == ["there"]
    assert await store.write(put, "later") == "later"  # the writer goes on


async def test_what_was_queued_before_the_end_is_written(engine: Engine):
    store = Store(engine)
    gate, first = await held(store)
    waiting = [asyncio.create_task(store.write(put, key)) for key in "abc"]
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.to_thread(store.close)
    assert await asyncio.gather(first, *waiting) == [None, "a", "b", "c"]
    with engine.connect() as connection:
        assert keys(connection) == ["a", "b", "c"]


async def test_a_closed_store_says_so(engine: Engine):
    store = Store(engine)
    store.close()
    with pytest.raises(Unavailable, match="closed"):
        await store.write(put, "a")
    with pytest.raises(Unavailable, match="closed"):
        await store.read(keys)


async def test_errors_of_the_database_do_not_show_what_was_written(store: Store):
    await store.write(put, "a", "x")
    with pytest.raises(Exception, match=r"(?i)unique") as refused:
        await store.write(put, "a", "SECRET")
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)  # SQLite has one writer
async def test_transactions_that_wait_for_each_other_are_both_done(store: Store, url: str):
    """Two servers may lock rows in opposite orders: one is thrown back, and tries again by itself."""
    await store.write(put, "a")
    await store.write(put, "b")
    second = Store(open_engine(url))
    both = threading.Barrier(2)
    tries: list[str] = []

    def change(first: str, then: str) -> Callable[[Connection], None]:
        def run(connection: Connection) -> None:
            statement = text("UPDATE site SET value = value || :mark WHERE key = :key")
            connection.execute(statement, {"key": first, "mark": first})
            tries.append(first)
            if len(tries) <= 2:
                both.wait(PATIENCE)
            connection.execute(statement, {"key": then, "mark": first})

        return run

    await asyncio.gather(store.write(change("a", "b")), second.write(change("b", "a")))
    rows = await store.read(lambda c: {row[0]: row[1] for row in c.execute(select(site.c.key, site.c.value))})
    assert {key: sorted(value) for key, value in rows.items()} == {"a": ["a", "b"], "b": ["a", "b"]}
    assert len(tries) == 3
    second.close()


async def test_two_servers_that_read_and_then_write_lose_nothing(store: Store, url: str):
    def add_one(connection: Connection) -> None:
        query = select(site.c.value).where(site.c.key == "n").with_for_update()
        value = connection.execute(query).scalar_one()
        connection.execute(update(site).where(site.c.key == "n").values(value=str(int(value) + 1)))

    await store.write(put, "n", "0")
    second = Store(open_engine(url))
    await asyncio.gather(*(each.write(add_one) for _ in range(50) for each in (store, second)))
    assert await second.read(lambda c: c.execute(select(site.c.value)).scalar_one()) == "100"
    second.close()


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_commit_of_sqlite_outlives_a_power_cut(store: Store):
    """What kill -9 cannot show: the log is synced at each commit (2 is FULL)."""

    def settings(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert await store.write(settings) == ["wal", 2, 1]
    assert await store.read(settings) == ["wal", 2, 1]
