"""The power may go at any moment: what was acknowledged is there, whole, and nobody ever sees a mixture.

The database is trusted: what it had committed at the cut is there. Of the files only that is left which was
synced. Mutants caught, one line removed or changed each: the sync of a file, the sync of its folder, the sync of
the folder of folders, counting a reference, and removing files before their rows are forgotten.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select

from hearth.control import uploads as upload_commands
from hearth.control.blobs import BlobStore
from hearth.control.buckets import create_bucket
from hearth.control.objects import copy_object, delete_objects, put_object
from hearth.control.sweep import sweep_once
from hearth.control.uploads import ListedPart, UploadOf
from hearth.domain.errors import Missing
from hearth.objects.disk import BlobFiles
from hearth.store.door import Store, open_engine
from hearth.store.queries import blobs
from hearth.store.queries.blobs import Piece
from hearth.store.tables import accounts, metadata, objects, organizations, upload_parts, uploads
from hearth.store.tables import blobs as blob_rows
from hearth.store.tables import buckets as bucket_rows
from tests.property.power import AfterTheCut, RecordingDisk, Step

HOUR = 3_600_000_000
SMALL, LARGE = 100, 40_000
TABLES = [organizations, accounts, blob_rows, bucket_rows, objects, uploads, upload_parts]
ROOT = Path("/data/blobs")

keys = st.sampled_from(["a", "b"])
sizes = st.sampled_from([SMALL, LARGE])
operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), keys, sizes),
        st.tuples(st.just("put in parts"), keys, st.just(LARGE)),
        st.tuples(st.just("fail"), keys, st.just(LARGE)),
        st.tuples(st.just("copy"), keys, st.just(0)),
        st.tuples(st.just("delete"), keys, st.just(0)),
        st.tuples(st.just("wait and sweep"), st.just(""), st.just(0)),
    ),
    min_size=1,
    max_size=7,
)


@dataclass
class Cut:
    """A moment: the rows that were committed, what had been acknowledged, and what was under way."""

    steps: int
    rows: dict[str, tuple[str, list[Piece]]]
    acknowledged: dict[str, bytes]
    under_way: dict[str, bytes | None]


def content(number: int, size: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest() * (size // 32)


async def in_pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 7000):
        yield data[start : start + 7000]


async def broken(data: bytes) -> AsyncIterator[bytes]:
    yield data
    raise ConnectionResetError


@dataclass
class Story:
    """Runs operations one after the other and notes every moment at which the power could go."""

    folder: str
    cuts: list[Cut] = field(default_factory=list)
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    under_way: dict[str, bytes | None] = field(default_factory=dict)
    now: int = 1_700_000_000_000_000

    def __post_init__(self) -> None:
        engine = open_engine(f"sqlite:///{self.folder}/hearth.db")
        metadata.create_all(engine, tables=TABLES)
        self.store = Store(engine)
        self.recorded = RecordingDisk(self.note)
        self.disk = BlobFiles(ROOT, files=self.recorded, threads=1)
        self.blobs = BlobStore(self.store, self.disk, lambda: self.now)

    def note(self, steps: int) -> None:
        if steps < 257:  # folders are being made, nothing is stored yet
            return
        with self.store.engine.connect() as connection, connection.begin():
            self.cuts.append(Cut(steps, committed(connection), dict(self.acknowledged), dict(self.under_way)))

    async def run(self, story: list[tuple[str, str, int]]) -> None:
        await self.store.write(add_account)
        await create_bucket(self.store, 1, "b", self.now)
        for number, (what, key, size) in enumerate(story):
            self.now += 1_000_000
            await self.do(what, key, content(number, size))
            self.note(len(self.recorded.steps))
        self.now += 48 * HOUR
        while (await sweep_once(self.store, self.blobs, self.now)).more:
            pass
        self.now += 48 * HOUR
        await sweep_once(self.store, self.blobs, self.now)
        self.note(len(self.recorded.steps))

    async def do(self, what: str, key: str, data: bytes) -> None:
        other = "a" if key == "b" else "b"
        self.under_way = {key: data}
        if what == "put":
            draft = await self.blobs.stage(1, in_pieces(data))
            await put_object(self.store, "b", key, draft, {}, self.now, checksum="CRC32:x")
        elif what == "put in parts":
            await self.put_in_parts(key, data)
        elif what == "fail":
            with pytest.raises(ConnectionResetError):
                await self.blobs.stage(1, broken(data))
            data = self.acknowledged.get(key, b"")
        elif what == "copy" and other in self.acknowledged:
            data = self.acknowledged[other]
            self.under_way = {key: data}
            await copy_object(self.store, 1, ("b", other), ("b", key), self.now)
        elif what == "delete":
            self.under_way = {key: None}
            await delete_objects(self.store, 1, "b", [key], self.now)
            data = b""
        else:
            self.under_way = {}
            self.now += 2 * HOUR
            await sweep_once(self.store, self.blobs, self.now)
            data = self.acknowledged.get(key, b"")
        self.under_way = {}
        self.acknowledged[key] = data
        if not data:
            del self.acknowledged[key]

    async def put_in_parts(self, key: str, data: bytes) -> None:
        upload = UploadOf(1, "b", key, f"upload-{self.now}")
        await upload_commands.create_upload(self.store, upload, {}, self.now, checksum_algorithm=None)
        listed = []
        for part, half in ((2, data[LARGE - 100 :]), (1, data[: LARGE - 100])):
            draft = await self.blobs.stage(1, in_pieces(half))
            await upload_commands.put_part(self.store, upload, part, draft, {}, self.now)
            listed.insert(0, ListedPart(part, draft.etag, {}))
        await upload_commands.complete_upload(self.store, upload, listed, self.now)

    def close(self) -> None:
        self.store.close()
        self.disk.close()


def add_account(connection: Connection) -> None:
    connection.execute(insert(accounts).values(id=1, uuid="u", email="e", created_at=0, limits="{}"))


def committed(connection: Connection) -> dict[str, tuple[str, list[Piece]]]:
    rows = connection.execute(select(objects.c.key, objects.c.etag, objects.c.blob_id)).all()
    return {row.key: (row.etag, blobs.pieces(connection, row.blob_id)) for row in rows}


async def bytes_after(cut: Cut, steps: list[Step], *, lucky: bool) -> dict[str, bytes]:
    """Return what a reader gets after the power came back."""
    disk = AfterTheCut(steps[: cut.steps], lucky=lucky)
    files = BlobFiles(ROOT, files=disk, threads=1)
    try:
        reader = BlobStore(None, files, lambda: 0)  # type: ignore[arg-type]
        return {
            key: b"".join([block async for block in reader.stream(pieces)]) for key, (_, pieces) in cut.rows.items()
        }
    finally:
        files.close()


async def check(story: Story) -> None:
    for cut in story.cuts:
        for lucky in (False, True):
            found = await bytes_after(cut, story.recorded.steps, lucky=lucky)
            for key in {*found, *cut.acknowledged, *cut.under_way}:
                allowed = {cut.acknowledged.get(key), cut.under_way.get(key, cut.acknowledged.get(key))}
                assert found.get(key) in allowed, f"{key} after {cut.steps} steps"


async def check_nothing_is_left_over(story: Story) -> None:
    last = story.cuts[-1]
    pointed_at = {piece.blob_id for _, pieces in last.rows.values() for piece in pieces if piece.data is None}
    kept = AfterTheCut(story.recorded.steps, lucky=False).paths
    assert kept == {f"{ROOT}/{blob_id % 256:02x}/{blob_id}" for blob_id in pointed_at}


@settings(max_examples=30, deadline=None)
@given(story=operations)
def test_no_cut_loses_or_mixes_what_was_acknowledged(story: list[tuple[str, str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(upload_commands, "MIN_PART_BYTES", 1)
        told = Story(folder)
        try:

            async def tell() -> None:
                await told.run(story)
                await check(told)
                await check_nothing_is_left_over(told)

            asyncio.run(tell())
        finally:
            told.close()


def test_a_blob_whose_bytes_are_on_their_way_cannot_be_read() -> None:
    with tempfile.TemporaryDirectory() as folder:
        told = Story(folder)
        try:

            async def tell() -> None:
                await told.store.write(add_account)
                blob_id = await told.store.write(blobs.begin, 1, told.now)
                with pytest.raises(Missing):
                    await told.store.read(blobs.pieces, blob_id)

            asyncio.run(tell())
        finally:
            told.close()
