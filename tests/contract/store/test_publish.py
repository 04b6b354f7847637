"""Publication: an attempt's files become visible with its end, in the same transaction, exactly once."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from hearth.control import report
from hearth.domain.instance import InstanceState
from hearth.domain.spec import Retries
from hearth.store import tables
from hearth.store.queries import buckets, objects
from hearth.wire import agent as wire
from tests.contract.store.truth import check_all, every
from tests.contract.store.world import LOSSES_ALLOWED, Key, World, failed, keys, started, succeeded


async def running(world: World, count: int = 1, *, limits: dict[str, int] | None = None, **spec: object) -> list[Key]:
    """A task with a result bucket whose instances all run; return their keys."""
    account = await world.account(**(limits or {}))
    await world.submit(account, count, **{"result_bucket": "out", **spec})
    held = keys(await world.claim(await world.node(), cores=64))
    await world.report(started=[started(key) for key in held])
    return held


async def account_of(world: World, key: Key) -> int:
    return (await world.task(key[0])).account_id


async def shown(world: World, account: int, bucket: str = "out") -> dict[str, int]:
    """What the bucket shows: key and blob."""

    def look(connection: Connection) -> dict[str, int]:
        found = buckets.find(connection, account, bucket)
        return {} if found is None else {row.key: row.blob_id for row in objects.page(connection, found.id)}

    return await world.store.read(look)


async def test_files_are_visible_with_the_end_and_counted(world: World):
    [key] = await running(world, results_prefix="run/")
    account = await account_of(world, key)
    files = [await world.result(account, "a.txt", b"12345"), await world.result(account, "dir/b.txt", b"123")]
    assert await shown(world, account) == {}
    await world.report(ended=[succeeded(key, files=files, notes=["the network was off"])])
    assert await shown(world, account) == {"run/a.txt": files[0].blob, "run/dir/b.txt": files[1].blob}
    row = await world.instance(key[0], 0)
    assert row.results == '["out/run/a.txt","out/run/dir/b.txt"]'
    assert row.details == '{"notes":["the network was off"]}'
    assert (await world.task(key[0])).results_count == 1
    [owner] = await world.store.read(every, tables.accounts)
    assert (owner["bucket_bytes"], owner["buckets"]) == (8, 1)
    await world.store.read(check_all)


async def test_files_are_published_exactly_once(world: World):
    [key] = await running(world)
    account = await account_of(world, key)
    end = succeeded(key, files=[await world.result(account, "a.txt")])
    await world.report(ended=[end])
    before = {t.name: await world.store.read(every, t) for t in (tables.objects, tables.blobs, tables.accounts)}
    again = await world.report(ended=[end])
    assert again.receipt.refused == [wire.Refusal(*key)]
    assert {t.name: await world.store.read(every, t) for t in (tables.objects, tables.blobs, tables.accounts)} == before


async def test_only_the_current_attempt_publishes(world: World):
    [old] = await running(world)
    account = await account_of(world, old)
    await world.lose(old)
    [new] = keys(await world.claim(await world.node()))
    late, good = await world.result(account, "a.txt", b"late"), await world.result(account, "a.txt", b"good!")
    await world.report(ended=[succeeded(new, files=[good])])
    await world.report(ended=[succeeded(old, files=[late])])
    assert await shown(world, account) == {"a.txt": good.blob}
    await world.store.read(check_all)


async def test_a_transaction_that_fails_shows_nothing_and_ends_nothing(world: World):
    [key] = await running(world)
    account = await account_of(world, key)
    message = world.message(ended=[succeeded(key, files=[await world.result(account, "a.txt")])])

    def fail_at_last(connection: Connection) -> None:
        report.report(connection, message, now=world.now, losses_allowed=LOSSES_ALLOWED, limits=world.limits)
        raise OSError("the power went")

    with pytest.raises(OSError):
        await world.store.write(fail_at_last)
    assert await shown(world, account) == {}
    assert (await world.instance(key[0], 0)).state == InstanceState.RUNNING
    await world.store.read(check_all)


async def test_a_failed_instance_shows_what_it_wrote_but_a_retried_attempt_does_not(world: World):
    [key] = await running(world, retries=Retries(total=1))
    account = await account_of(world, key)
    first, second = await world.result(account, "a.txt", b"1"), await world.result(account, "b.txt", b"22")
    await world.report(ended=[failed(key, files=[first])])
    assert await shown(world, account) == {}
    [again] = keys(await world.claim(await world.node()))
    await world.report(ended=[failed(again, files=[second])])
    assert await shown(world, account) == {"b.txt": second.blob}
    assert (await world.task(key[0])).state == "Failure"
    await world.store.read(check_all)


async def test_of_two_instances_that_write_the_same_key_the_later_end_is_shown(world: World):
    first, second = await running(world, 2)
    account = await account_of(world, first)
    one, two = await world.result(account, "same", b"1"), await world.result(account, "same", b"22")
    await world.report(ended=[succeeded(second, files=[two]), succeeded(first, files=[one])])
    assert await shown(world, account) == {"same": one.blob}
    assert (await world.task(first[0])).results_count == 2
    await world.store.read(check_all)


async def test_results_that_are_over_the_quota_fail_their_instance_and_nothing_else(world: World):
    first, second, third = await running(world, 3, limits={"max_bucket_bytes": 10})
    account = await account_of(world, first)
    files = [await world.result(account, f"{n}.bin", b"x" * 6) for n in range(2)]
    outcome = await world.report(
        ended=[succeeded(first, files=[files[0]]), succeeded(second, files=[files[1]]), succeeded(third)]
    )
    assert outcome.receipt == wire.Receipt()
    assert await shown(world, account) == {"0.bin": files[0].blob}
    row = await world.instance(second[0], 1)
    assert (row.state, row.error_code) == (InstanceState.FAILED, "STORAGE_QUOTA")
    assert "1 result files (6 bytes)" in str(row.error_message)
    task = await world.task(first[0])
    assert (task.state, task.succeeded, task.failed) == ("Failure", "0,2", "1")
    await world.store.read(check_all)


async def test_a_result_that_takes_the_place_of_another_needs_only_the_difference(world: World):
    first, second = await running(world, 2, limits={"max_bucket_bytes": 10})
    account = await account_of(world, first)
    await world.report(ended=[succeeded(first, files=[await world.result(account, "same", b"x" * 8)])])
    newer = await world.result(account, "same", b"y" * 9)
    await world.report(ended=[succeeded(second, files=[newer])])
    assert await shown(world, account) == {"same": newer.blob}
    assert (await world.instance(second[0], 1)).state == InstanceState.SUCCEEDED
    await world.store.read(check_all)


@pytest.mark.parametrize("what", ["gone", "of somebody else"])
async def test_a_file_whose_bytes_are_not_there_fails_its_instance_and_not_the_report(world: World, what: str):
    first, second = await running(world, 2)
    account = await account_of(world, first)
    other = await world.result(await world.account(), "theirs.txt", b"secret")
    bad = wire.ResultFile("bad.txt", other.blob if what == "of somebody else" else 999, 6, "etag")
    good, with_bad = await world.result(account, "good.txt"), await world.result(account, "lone.txt")
    outcome = await world.report(ended=[succeeded(first, files=[with_bad, bad]), succeeded(second, files=[good])])
    assert outcome.receipt == wire.Receipt()
    assert await shown(world, account) == {"good.txt": good.blob}
    row = await world.instance(first[0], 0)
    assert (row.state, row.error_code, row.results) == (InstanceState.FAILED, "RESULTS_LOST", None)
    await world.store.read(check_all)


async def test_a_task_without_a_result_bucket_publishes_nothing(world: World):
    [key] = await running(world, result_bucket="")
    account = await account_of(world, key)
    await world.report(ended=[succeeded(key, files=[await world.result(account, "a.txt")])])
    assert (await world.instance(key[0], 0)).state == InstanceState.SUCCEEDED
    assert await world.store.read(every, tables.objects) == []
    assert await world.store.read(every, tables.buckets) == []
    await world.store.read(check_all)


async def test_a_result_bucket_that_was_deleted_meanwhile_is_made_again(world: World):
    [key] = await running(world)
    account = await account_of(world, key)
    bucket = await world.bucket(account, "out")
    await world.store.write(buckets.delete, account, bucket)
    file = await world.result(account, "a.txt")
    await world.report(ended=[succeeded(key, files=[file])])
    assert await shown(world, account) == {"a.txt": file.blob}
    await world.store.read(check_all)
