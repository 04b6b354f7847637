"""Whatever is done to buckets, objects and uploads, they are as dictionaries would be, and every count is exact.

Mutants caught: not releasing a replaced blob, and not counting a replaced object's bytes.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from hearth.control import uploads as upload_commands
from hearth.control.blobs import BlobStore
from hearth.gateway import listing
from hearth.objects.disk import BlobFiles
from hearth.store.door import Store, open_engine
from hearth.store.tables import metadata
from tests.property.storage_model import Model, operations


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(story=operations)
def test_storage_behaves_like_dictionaries(story: list[tuple[Any, ...]]) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(upload_commands, "MIN_PART_BYTES", 0)
        patch.setattr(listing, "_FEW", 2)  # pages and batches end at all places
        engine = open_engine(f"sqlite:///{folder}/hearth.db")
        metadata.create_all(engine)
        store, disk, clock = Store(engine), BlobFiles(Path(folder) / "blobs"), [1_700_000_000_000_000]
        try:
            asyncio.run(Model(store, BlobStore(store, disk, lambda: clock[0]), clock).run(story))
        finally:
            store.close()
            disk.close()
