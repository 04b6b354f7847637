"""A listing is the same in pages of any size, in byte order, with common prefixes rolled up.

Mutants caught: jumping too far behind a common prefix, and not jumping after a marker that is one.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, insert

from hearth.gateway import listing
from hearth.store.door import open_engine
from hearth.store.queries.objects import after_prefix
from hearth.store.tables import accounts, blobs, buckets, metadata, objects
from tests.property.storage_model import expected_listing

keys = st.sets(st.text(st.sampled_from("a/b0ä\U0001f600\ud7ff\ue000"), min_size=1, max_size=5), max_size=25)
prefixes = st.text(st.sampled_from("a/b\ud7ff"), max_size=2)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    made = open_engine(f"sqlite:///{tmp_path_factory.mktemp('listing')}/hearth.db")
    metadata.create_all(made)
    with made.begin() as connection:
        connection.execute(insert(accounts).values(id=1, uuid="u", email="e", created_at=0, limits="{}"))
        connection.execute(insert(buckets).values(id=1, account_id=1, name="b", created_at=0))
        connection.execute(
            insert(blobs).values(id=1, account_id=1, size_bytes=0, references=1, ready=1, data=b"", sweep_at=0)
        )
    yield made
    made.dispose()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(present=keys, prefix=prefixes, delimiter=st.sampled_from(["", "/", "/b"]), limit=st.integers(1, 5))
def test_a_listing_is_the_same_in_pages_of_any_size(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, present: set[str], prefix: str, delimiter: str, limit: int
) -> None:
    monkeypatch.setattr(listing, "_FEW", 2)
    row = {"bucket_id": 1, "account_id": 1, "blob_id": 1, "size_bytes": 0, "etag": "", "modified_at": 0}
    with engine.connect() as connection, connection.begin() as transaction:
        if present:
            connection.execute(insert(objects), [{**row, "key": key} for key in present])
        after, found = "", []
        while True:
            page = listing.collect(connection, 1, prefix, delimiter, after, limit)
            entries = sorted([each.key for each in page.objects] + page.prefixes, key=str.encode)
            assert len(entries) <= limit
            found += entries
            if not page.is_truncated:
                break
            assert page.last == entries[-1]
            after = page.last
        transaction.rollback()
    assert found == expected_listing(dict.fromkeys(present, b""), prefix, delimiter)


@given(st.text(max_size=3), st.text(max_size=3))
def test_what_begins_with_a_prefix_comes_before_its_end(prefix: str, more: str) -> None:
    end = after_prefix(prefix)
    assert end is None or (prefix + more).encode() < end.encode()
    assert end is None or not end.startswith(prefix)
