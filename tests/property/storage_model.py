"""Storage as dictionaries, to compare the real one with, whatever database it is on."""

import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from sqlalchemy import Connection, func, insert, select

from hearth.control.blobs import BlobStore
from hearth.control.buckets import create_bucket, delete_bucket, require
from hearth.control.objects import copy_object, delete_objects, put_object
from hearth.control.sweep import sweep_once
from hearth.control.uploads import ListedPart, UploadOf, abort_upload, complete_upload, create_upload, put_part
from hearth.domain.errors import Conflict, Missing, QuotaExceeded
from hearth.gateway.listing import collect
from hearth.store.door import Store
from hearth.store.queries import objects as object_rows
from hearth.store.queries.objects import NewObject
from hearth.store.tables import accounts, blobs, buckets, objects, upload_parts

HOUR = 3_600_000_000
LIMIT_BYTES = 200_000
LIMITS = json.dumps({"max_buckets": 2, "max_bucket_bytes": LIMIT_BYTES})

bucket_names = st.sampled_from(["one", "Two_2", "three"])
key_names = st.sampled_from(["a", "a/", "a/b", "a/b/c", "a0", "ä", "日本/x", "\U0001f600", "\uffee", "z"])
sizes = st.sampled_from([0, 1, 30_000, 40_000])
some_keys = st.lists(key_names, min_size=1, max_size=4)

operations = st.lists(
    st.one_of(
        st.tuples(st.just("create"), bucket_names),
        st.tuples(st.just("drop"), bucket_names),
        st.tuples(st.just("put"), bucket_names, key_names, sizes),
        st.tuples(st.just("publish"), bucket_names, some_keys, sizes),
        st.tuples(st.just("delete"), bucket_names, some_keys),
        st.tuples(st.just("copy"), bucket_names, key_names, bucket_names, key_names),
        st.tuples(st.just("begin"), bucket_names, key_names),
        st.tuples(st.just("part"), st.integers(1, 3), sizes),
        st.tuples(st.just("complete")),
        st.tuples(st.just("abort")),
        st.tuples(st.just("list"), bucket_names, st.sampled_from(["", "a", "a/", "ä"]), st.integers(1, 4)),
        st.tuples(st.just("sweep"), st.sampled_from([0, 2 * HOUR, 200 * HOUR])),
    ),
    max_size=30,
)


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def add_account(connection: Connection) -> int:
    number = int(connection.execute(select(func.coalesce(func.max(accounts.c.id), 0))).scalar_one()) + 1
    connection.execute(
        insert(accounts).values(id=number, uuid=f"u{number}", email=f"e{number}", created_at=0, limits=LIMITS)
    )
    return number


@dataclass
class Model:
    """One account's buckets, and its uploads under way, twice: in the store and in dictionaries."""

    store: Store
    store_of_blobs: BlobStore
    clock: list[int]
    account_id: int = 0
    buckets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    upload: UploadOf | None = None
    parts: dict[int, bytes] = field(default_factory=dict)
    count: int = 0

    @property
    def now(self) -> int:
        return self.clock[0]

    def content(self, size: int) -> bytes:
        self.count += 1
        return (hashlib.sha256(str(self.count).encode()).digest() * (size // 32 + 1))[:size]

    @property
    def used(self) -> int:
        shown = sum(len(data) for bucket in self.buckets.values() for data in bucket.values())
        return shown + sum(map(len, self.parts.values()))

    async def run(self, story: list[tuple[Any, ...]]) -> None:
        self.account_id = await self.store.write(add_account)
        await self.create("one")
        await self.create("Two_2")
        for what, *arguments in story:
            self.clock[0] += 1000
            await getattr(self, what)(*arguments)
            await self.store.read(require_counts)
        await self.compare()

    async def create(self, name: str) -> None:
        if name not in self.buckets and len(self.buckets) == 2:
            with pytest.raises(QuotaExceeded):
                await create_bucket(self.store, self.account_id, name, self.now)
            return
        await create_bucket(self.store, self.account_id, name, self.now)
        self.buckets.setdefault(name, {})

    async def drop(self, name: str) -> None:
        wrong = Missing if name not in self.buckets else Conflict if self.buckets[name] else None
        if wrong is not None:
            with pytest.raises(wrong):
                await delete_bucket(self.store, self.account_id, name, self.now)
            return
        await delete_bucket(self.store, self.account_id, name, self.now)
        del self.buckets[name]
        if self.upload is not None and self.upload.bucket == name:
            self.upload, self.parts = None, {}

    async def put(self, name: str, key: str, size: int) -> None:
        data = self.content(size)
        draft = await self.store_of_blobs.stage(self.account_id, once(data))
        before = len(self.buckets.get(name, {}).get(key, b""))
        grows = len(data) - before
        wrong = Missing if name not in self.buckets else QuotaExceeded if self.is_too_much(grows) else None
        if wrong is not None:
            with pytest.raises(wrong):
                await put_object(self.store, name, key, draft, {}, self.now, checksum="")
            await self.store_of_blobs.discard_draft(draft)
            return
        await put_object(self.store, name, key, draft, {}, self.now, checksum="")
        self.buckets[name][key] = data

    def is_too_much(self, grows: int) -> bool:
        return grows > 0 and self.used + grows > LIMIT_BYTES

    async def publish(self, name: str, keys: list[str], size: int) -> None:
        if name not in self.buckets:
            return
        stored = [(key, data := self.content(size), await self.stored(data)) for key in keys]
        after = {**self.buckets[name], **{key: data for key, data, _ in stored}}
        grows = sum(map(len, after.values())) - sum(map(len, self.buckets[name].values()))
        new = [NewObject(key, blob.id, blob.size_bytes, blob.etag) for key, _, blob in stored]
        if self.is_too_much(grows):
            with pytest.raises(QuotaExceeded):
                await self.store.write(self.publish_rows, name, new)
            return
        await self.store.write(self.publish_rows, name, new)
        self.buckets[name] = after

    async def stored(self, data: bytes) -> Any:
        return await self.store_of_blobs.put(self.account_id, once(data))

    def publish_rows(self, connection: Connection, name: str, new: list[NewObject]) -> None:
        bucket = require(connection, self.account_id, name)
        object_rows.put_many(connection, self.account_id, bucket.id, new, self.now)

    async def delete(self, name: str, keys: list[str]) -> None:
        if name in self.buckets:
            await delete_objects(self.store, self.account_id, name, keys, self.now)
            for key in keys:
                self.buckets[name].pop(key, None)

    async def copy(self, source: str, key: str, target: str, new_key: str) -> None:
        data = self.buckets.get(source, {}).get(key)
        if data is None or target not in self.buckets:
            with pytest.raises(Missing):
                await copy_object(self.store, self.account_id, (source, key), (target, new_key), self.now)
            return
        if self.is_too_much(len(data) - len(self.buckets[target].get(new_key, b""))):
            with pytest.raises(QuotaExceeded):
                await copy_object(self.store, self.account_id, (source, key), (target, new_key), self.now)
            return
        await copy_object(self.store, self.account_id, (source, key), (target, new_key), self.now)
        self.buckets[target][new_key] = data

    async def begin(self, name: str, key: str) -> None:
        if name in self.buckets and self.upload is None:
            self.upload = UploadOf(self.account_id, name, key, f"{self.account_id}-{self.count}-{self.now}")
            await create_upload(self.store, self.upload, {}, self.now, checksum_algorithm=None)

    async def part(self, number: int, size: int) -> None:
        if self.upload is None:
            return
        data = self.content(size)
        draft = await self.store_of_blobs.stage(self.account_id, once(data))
        if self.is_too_much(len(data) - len(self.parts.get(number, b""))):
            with pytest.raises(QuotaExceeded):
                await put_part(self.store, self.upload, number, draft, {}, self.now)
            await self.store_of_blobs.discard_draft(draft)
            return
        await put_part(self.store, self.upload, number, draft, {}, self.now)
        self.parts[number] = data

    async def complete(self) -> None:
        if self.upload is None or not self.parts:
            return
        chosen = sorted(self.parts)[:2]  # a third one is dropped
        listed = [ListedPart(n, hashlib.md5(self.parts[n]).hexdigest(), {}) for n in chosen]
        done = await complete_upload(self.store, self.upload, listed, self.now)
        assert await complete_upload(self.store, self.upload, listed, self.now) == done
        self.buckets[self.upload.bucket][self.upload.key] = b"".join(self.parts[n] for n in chosen)
        self.upload, self.parts = None, {}

    async def abort(self) -> None:
        if self.upload is not None:
            await abort_upload(self.store, self.upload, self.now)
            self.upload, self.parts = None, {}

    async def list(self, name: str, prefix: str, limit: int) -> None:
        if name not in self.buckets:
            return
        for delimiter in ("", "/"):
            after, found = "", []
            while True:
                page = await self.store.read(self.page, name, prefix, delimiter, after, limit)
                entries = [row.key for row in page.objects] + page.prefixes
                assert len(entries) <= limit
                found += sorted(entries, key=str.encode)
                after = page.last
                if not page.is_truncated:
                    break
            assert found == expected_listing(self.buckets[name], prefix, delimiter)

    def page(self, connection: Connection, name: str, prefix: str, delimiter: str, after: str, limit: int) -> Any:
        return collect(connection, require(connection, self.account_id, name).id, prefix, delimiter, after, limit)

    async def sweep(self, wait: int) -> None:
        self.clock[0] += wait
        await sweep_once(self.store, self.store_of_blobs, self.now)
        if wait > 100 * HOUR:
            self.upload, self.parts = None, {}

    async def compare(self) -> None:
        for name, expected in self.buckets.items():
            page = await self.store.read(self.page, name, "", "", "", 1000)
            assert [row.key for row in page.objects] == sorted(expected, key=str.encode)
            for row in page.objects:
                found = b"".join([block async for block in self.store_of_blobs.open(row.blob_id)])
                assert found == expected[row.key], row.key
        used = await self.store.read(used_bytes, self.account_id)
        assert used == self.used


def expected_listing(bucket: dict[str, bytes], prefix: str, delimiter: str) -> list[str]:
    entries = set()
    for key in bucket:
        if key.startswith(prefix):
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            entries.add(key if at < 0 else key[: at + len(delimiter)])
    return sorted(entries, key=str.encode)


def used_bytes(connection: Connection, account_id: int) -> int:
    return int(connection.execute(select(accounts.c.bucket_bytes).where(accounts.c.id == account_id)).scalar_one())


def require_counts(connection: Connection) -> None:
    """Compare every counter with what it counts."""
    shown = list(connection.execute(select(objects.c.bucket_id, objects.c.blob_id, objects.c.size_bytes)))
    parts = list(
        connection.execute(select(upload_parts.c.account_id, upload_parts.c.blob_id, upload_parts.c.size_bytes))
    )
    rows = connection.execute(select(blobs.c.id, blobs.c.references, blobs.c.parts)).all()
    references = Counter([row.blob_id for row in shown] + [row.blob_id for row in parts])
    for row in rows:
        references.update(part_id for part_id, _ in json.loads(row.parts or "[]"))
    assert {row.id: row.references for row in rows} == {row.id: references[row.id] for row in rows}
    assert set(references) <= {row.id for row in rows}
    bucket_list = connection.execute(select(buckets)).all()
    for bucket in bucket_list:
        inside = [row.size_bytes for row in shown if row.bucket_id == bucket.id]
        assert (bucket.objects, bucket.size_bytes) == (len(inside), sum(inside))
    for account in connection.execute(select(accounts)):
        owned = [bucket for bucket in bucket_list if bucket.account_id == account.id]
        arrived = sum(row.size_bytes for row in parts if row.account_id == account.id)
        assert account.buckets == len(owned)
        assert account.bucket_bytes == sum(bucket.size_bytes for bucket in owned) + arrived <= LIMIT_BYTES
