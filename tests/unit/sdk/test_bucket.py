"""Buckets: files in, files out, and what is moved for it."""

import hashlib
import io
import os

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from qarnot._etag import file_etag
from qarnot.advanced_bucket import BucketPrefixFiltering, PrefixResourcesTransformation
from qarnot.bucket import Bucket
from qarnot.exceptions import MissingBucketException, QarnotGenericException

MIB = 1024 * 1024


@pytest.fixture
def bucket(connection, platform):
    bucket = connection.create_bucket("b")
    platform.s3_requests.clear()
    return bucket


@pytest.fixture
def files(tmp_path):
    """Writes files below a folder of its own."""

    def write(contents):
        folder = tmp_path / "local"
        for name, data in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder

    return write


def test_a_bucket_is_made_once_and_found_again(connection, platform):
    assert connection.create_bucket("b") == connection.retrieve_or_create_bucket("b")
    assert connection.retrieve_bucket("b").uuid == "b"
    assert [bucket.description for bucket in connection.buckets()] == ["b"]
    assert platform.s3_lines() == ["PUT /b", "PUT /b", "HEAD /b", "GET /"]


def test_a_bucket_that_does_not_exist_is_boto3_s_own_error(connection):
    with pytest.raises(ClientError, match="404"):
        connection.retrieve_bucket("none")


def test_files_are_added_under_their_name_or_another(bucket, platform, files):
    folder = files({"sub/a.txt": b"hello"})
    bucket.add_file(str(folder / "sub/a.txt"))
    bucket.add_file(folder / "sub/a.txt", "x/y.txt")
    bucket["z.txt"] = str(folder / "sub/a.txt")
    with (folder / "sub/a.txt").open("rb") as file:
        bucket.add_file(file, "opened")
    bucket.add_file(io.BytesIO(b"memory"), "memory")
    bucket.add_file(io.StringIO("téxt"), "text")
    bucket.add_string("stríng", "string")
    assert platform.content("b") == {
        "a.txt": b"hello",
        "x/y.txt": b"hello",
        "z.txt": b"hello",
        "opened": b"hello",
        "memory": b"memory",
        "text": "téxt".encode(),
        "string": "stríng".encode(),
    }


def test_an_open_file_without_a_name_needs_one(bucket):
    with pytest.raises(ValueError, match="remote is needed"):
        bucket.add_file(io.BytesIO(b"x"))


def test_a_directory_is_added_with_its_folders(bucket, platform, files):
    folder = files({"a.txt": b"1", "sub/b.txt": b"2", "empty": b""})
    bucket.add_directory(str(folder))
    bucket.add_directory(folder, "dir/")
    bucket["by-item"] = folder
    names = {"a.txt", "sub/b.txt", "empty"}
    assert set(platform.content("b")) == names | {f"dir/{n}" for n in names} | {f"by-item/{n}" for n in names}
    with pytest.raises(OSError, match="is not a directory"):
        bucket.add_directory(folder / "a.txt")


def test_links_to_directories_are_not_followed(bucket, platform, files, tmp_path):
    folder = files({"a": b"1"})
    os.symlink(tmp_path, folder / "loop")
    bucket.add_directory(folder)
    assert platform.content("b") == {"a": b"1"}


def test_a_large_file_goes_in_parts_and_comes_in_ranges(bucket, platform, files, tmp_path):
    data = os.urandom(9 * MIB)
    folder = files({"big": data})
    bucket.add_file(folder / "big")
    assert platform.buckets["b"]["big"] == (data, file_etag(folder / "big"))
    platform.s3_requests.clear()
    bucket.get_file("big", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == data
    assert sorted(request.headers.get("Range", "") for request in platform.s3_requests)[1:] != []


def test_a_file_is_fetched_to_where_it_is_wanted(bucket, tmp_path, monkeypatch):
    bucket.add_string("hello", "dir/a.txt")
    monkeypatch.chdir(tmp_path)
    assert bucket.get_file("dir/a.txt") == "a.txt"
    assert bucket["dir/a.txt"] == "a.txt"
    assert bucket.get_file("dir/a.txt", "new/folders/b.txt") == "new/folders/b.txt"
    (tmp_path / "there").mkdir()
    assert bucket.get_file("dir/a.txt", "there") == os.path.join("there", "a.txt")
    for name in ("a.txt", "new/folders/b.txt", "there/a.txt"):
        assert (tmp_path / name).read_text() == "hello"


def test_a_file_that_does_not_exist_is_a_value_error_and_the_storage_s_own(bucket, tmp_path):
    with pytest.raises(ValueError, match="no file 'none' in bucket 'b'") as caught:
        bucket.get_file("none", tmp_path / "x")
    assert isinstance(caught.value, ClientError)
    assert not (tmp_path / "x").exists()


def test_progress_is_told(bucket, tmp_path):
    bucket.add_string("hello", "a")
    told = []
    bucket.get_file("a", tmp_path / "a", progress=lambda *facts: told.append(facts))
    bucket.get_all_files(tmp_path / "all", progress=lambda *facts: told.append(facts))
    assert told == [(5, 5, "a")] * 2


def test_all_files_are_fetched_each_content_once(bucket, platform, tmp_path):
    for name in ("a", "sub/same", "other"):
        bucket.add_string("2" if name == "other" else "1", name)
    platform.buckets["b"]["folder/"] = (b"", '"d41d8cd98f00b204e9800998ecf8427e"')
    platform.s3_requests.clear()
    bucket.get_all_files(str(tmp_path / "out"))
    assert {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()} == {
        "a",
        "sub/same",
        "other",
    }
    assert (tmp_path / "out/sub/same").read_text() == "1"
    assert (tmp_path / "out/folder").is_dir()
    listing, *fetched = platform.s3_lines()
    assert listing == "GET /b?encoding-type=url"
    assert sorted(fetched) == ["GET /b/a", "GET /b/other"]


def test_a_fetch_replaces_what_differs_and_leaves_what_does_not(bucket, platform, tmp_path):
    bucket.add_string("new", "changed")
    bucket.add_string("same", "same")
    (tmp_path / "changed").write_text("old")
    (tmp_path / "same").write_text("same")
    platform.s3_requests.clear()
    bucket.get_all_files(tmp_path)
    assert (tmp_path / "changed").read_text() == "new"
    assert platform.s3_lines() == ["GET /b?encoding-type=url", "GET /b/changed"]


def test_no_object_is_written_outside_of_the_directory(bucket, platform, tmp_path):
    platform.buckets["b"] = {
        "../evil": (b"x", '"9dd4e461268c8034f5c8564e155c67a6"'),
        "/rooted": (b"y", '"415290769594460e2e485922904f345d"'),
    }
    with pytest.raises(QarnotGenericException, match=r"'\.\./evil' would be written outside"):
        bucket.get_all_files(tmp_path / "out")
    assert (tmp_path / "out/rooted").read_text() == "y"
    assert not (tmp_path / "evil").exists()


def test_a_folder_of_the_bucket_is_fetched_without_its_name(bucket, tmp_path):
    bucket.add_string("1", "dir/sub/a")
    bucket.add_string("2", "directory")
    bucket.sync_remote_to_local(tmp_path / "out", "dir")
    assert [p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()] == [
        "sub/a"
    ]


def test_a_listing_names_keys_and_sizes(bucket):
    bucket.add_string("hello", "dir/a b.txt")
    bucket.add_string("x", "other")
    assert [(item.key, item.size) for item in bucket.list_files()] == [("dir/a b.txt", 5), ("other", 1)]
    assert [item.key for item in bucket.directory("dir")] == ["dir/a b.txt"]
    assert [item.key for item in bucket] == ["dir/a b.txt", "other"]
    assert "other" in bucket
    assert bucket.list_files()[0] in bucket
    assert "none" not in bucket


def test_files_are_copied_and_deleted_in_place(bucket, platform):
    bucket.add_string("1", "a")
    platform.s3_requests.clear()
    bucket.copy_file("a", "b")
    assert platform.s3_requests[0].headers["x-amz-copy-source"] == "b/a"
    bucket.delete_file("a")
    del bucket["none"]
    assert platform.content("b") == {"b": b"1"}


def test_a_sync_makes_the_bucket_like_the_directory_and_a_second_one_moves_nothing(bucket, platform, files):
    bucket.add_string("gone", "gone")
    folder = files({"a": b"1", "sub/b": b"1", "c": b"2"})
    platform.s3_requests.clear()
    bucket.sync_directory(str(folder))
    assert platform.content("b") == {"a": b"1", "sub/b": b"1", "c": b"2"}
    assert platform.s3_lines() == [
        "GET /b?encoding-type=url",
        "PUT /b/a",
        "PUT /b/c",
        "PUT /b/sub/b",
        "DELETE /b/gone",
    ]
    bucket.sync_directory(folder)
    assert platform.s3_lines() == ["GET /b?encoding-type=url"]


def test_a_renamed_file_is_copied_in_the_bucket(bucket, platform, files):
    bucket.add_string("content", "old/name")
    folder = files({"new/name": b"content"})
    platform.s3_requests.clear()
    bucket.sync_directory(folder)
    assert platform.s3_requests[1].headers["x-amz-copy-source"] == "b/old/name"
    assert platform.content("b") == {"new/name": b"content"}


def test_a_sync_below_a_folder_leaves_its_neighbours_alone(bucket, platform, files):
    bucket.add_string("keep", "dir2/keep")
    bucket.add_string("go", "dir/go")
    bucket.sync_directory(files({"a": b"1"}), remote="dir")
    assert platform.content("b") == {"dir/a": b"1", "dir2/keep": b"keep"}


def test_files_are_synced_by_the_names_given(bucket, platform, files):
    folder = files({"a": b"1"})
    bucket.sync_files({"x/renamed": str(folder / "a")}, verbose=True)
    assert platform.content("b") == {"x/renamed": b"1"}


CONTENTS = st.dictionaries(st.sampled_from(["a", "b", "c", "d/e"]), st.sampled_from([b"1", b"2", b"3"]))


def test_any_bucket_becomes_any_directory(bucket, platform, tmp_path_factory):
    """Swaps and cycles of contents too, where a copied-from object is itself replaced."""

    @settings(max_examples=40, deadline=None)
    @given(before=CONTENTS, after=CONTENTS)
    def holds(before, after):
        platform.buckets["b"] = {key: (data, f'"{hashlib.md5(data).hexdigest()}"') for key, data in before.items()}
        folder = tmp_path_factory.mktemp("sync")
        for name, data in after.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
        bucket.sync_directory(folder)
        assert platform.content("b") == after

    holds()


def test_deleting_a_bucket_empties_it_first(bucket, platform):
    bucket.add_string("1", "a")
    platform.s3_requests.clear()
    bucket.delete()
    assert platform.buckets == {}
    assert [line.split("?")[0] for line in platform.s3_lines()] == ["GET /b", "POST /b", "DELETE /b"]


def test_a_bucket_that_is_gone_has_its_own_exception(connection, files):
    gone = Bucket(connection, "gone", create=False)
    folder = files({"a": b"1"})
    for action in (
        gone.delete,
        gone.list_files,
        lambda: gone.directory("x"),
        lambda: gone.add_string("x", "y"),
        lambda: gone.add_file(folder / "a"),
        lambda: gone.copy_file("a", "b"),
        lambda: gone.delete_file("a"),
        lambda: gone.sync_directory(folder),
        lambda: gone.get_all_files(folder),
        lambda: gone.get_file("a", folder / "got"),
    ):
        with pytest.raises(MissingBucketException, match="no such bucket: gone"):
            action()


def test_remote_names_lose_leading_and_doubled_slashes_with_a_warning(bucket, platform, caplog, monkeypatch):
    monkeypatch.setattr(bucket._connection.logger_stderr, "propagate", True)
    bucket.add_string("1", "//dir//a")
    assert platform.content("b") == {"dir/a": b"1"}
    assert "'//dir//a' is used as 'dir/a'" in caplog.text


def test_remote_names_stay_as_they_are_where_that_is_asked(connection, platform):
    connection._sanitize_bucket_paths = False
    connection.create_bucket("b").add_string("1", "/dir//a")
    assert platform.content("b") == {"/dir//a": b"1"}


def test_rules_of_a_resource_bucket_travel_and_come_back(connection):
    bucket = Bucket(connection, "b", create=False)
    special = (
        bucket.with_filtering(BucketPrefixFiltering("/in/"))
        .with_resource_transformation(PrefixResourcesTransformation("in/"))
        .with_cache_ttl(60)
    )
    json = {
        "bucketName": "b",
        "filtering": {"prefixFiltering": {"prefix": "in/"}},
        "resourcesTransformation": {"stripPrefix": {"prefix": "in/"}},
        "cacheTTLSec": 60,
    }
    assert special.to_json() == json
    assert Bucket.from_json(connection, json) == special
    assert bucket != special
    assert bucket.to_json()["filtering"] == {}


@pytest.mark.parametrize(
    ("size", "parts"), [(0, 0), (1, 0), (8 * MIB - 1, 0), (8 * MIB, 1), (8 * MIB + 1, 2), (16 * MIB, 2)]
)
def test_the_etag_of_a_file_is_that_of_its_object(tmp_path, size, parts):
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)
    digests = [hashlib.md5(data[at : at + 8 * MIB]).digest() for at in range(0, size, 8 * MIB)]
    joined = hashlib.md5(b"".join(digests)).hexdigest()
    assert file_etag(tmp_path / "f") == (f'"{joined}-{parts}"' if parts else f'"{hashlib.md5(data).hexdigest()}"')
