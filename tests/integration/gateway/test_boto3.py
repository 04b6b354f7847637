"""boto3 is the oracle: what its users do works, over http and https, with and without its checksums."""

import hashlib
import io
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

MIB = 1024 * 1024
SMALL_PARTS = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=4)


def pattern(size: int, seed: int = 1) -> bytes:
    """Return bytes that differ everywhere, the same each time."""
    block = b"".join(hashlib.sha256(f"{seed}-{number}".encode()).digest() for number in range(4096))
    return (block * (size // len(block) + 1))[:size]


def etag_in_parts(data: bytes) -> str:
    md5s = [hashlib.md5(data[start : start + 8 * MIB]).digest() for start in range(0, len(data), 8 * MIB)]
    return f'"{hashlib.md5(b"".join(md5s)).hexdigest()}-{len(md5s)}"'


@pytest.mark.parametrize("size", [0, 5, 32 * 1024, 32 * 1024 + 1, 3 * MIB + 7])
def test_what_is_put_is_got(s3: Any, size: int) -> None:
    s3.create_bucket(Bucket="My_Bucket")
    data = pattern(size)
    put = s3.put_object(Bucket="My_Bucket", Key="a//b/ü +&.txt", Body=data, ContentType="text/x", Metadata={"Of": "me"})
    got = s3.get_object(Bucket="My_Bucket", Key="a//b/ü +&.txt")
    assert got["Body"].read() == data
    assert put["ETag"] == got["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert (got["ContentLength"], got["ContentType"], got["Metadata"]) == (size, "text/x", {"of": "me"})
    assert "ContentEncoding" not in got


def test_a_large_file_goes_up_in_parts_and_comes_down_in_ranges(s3: Any) -> None:
    s3.create_bucket(Bucket="b")
    data = pattern(17 * MIB + 5)
    s3.upload_fileobj(io.BytesIO(data), "b", "dir/big.bin", Config=SMALL_PARTS)
    head = s3.head_object(Bucket="b", Key="dir/big.bin")
    assert (head["ETag"], head["ContentLength"]) == (etag_in_parts(data), len(data))
    back = io.BytesIO()
    s3.download_fileobj("b", "dir/big.bin", back, Config=SMALL_PARTS)
    assert back.getvalue() == data
    assert s3.get_object(Bucket="b", Key="dir/big.bin")["Body"].read() == data
    across = s3.get_object(Bucket="b", Key="dir/big.bin", Range=f"bytes={8 * MIB - 2}-{8 * MIB + 1}")
    assert across["Body"].read() == data[8 * MIB - 2 : 8 * MIB + 2]


def test_a_copy_keeps_the_etag_of_parts(s3: Any) -> None:
    s3.create_bucket(Bucket="b")
    data = pattern(9 * MIB)
    s3.upload_fileobj(io.BytesIO(data), "b", "one", Config=SMALL_PARTS)
    copied = s3.copy_object(Bucket="b", Key="two", CopySource={"Bucket": "b", "Key": "one"})
    assert copied["CopyObjectResult"]["ETag"] == etag_in_parts(data)
    s3.delete_object(Bucket="b", Key="one")
    assert s3.get_object(Bucket="b", Key="two")["Body"].read() == data


def test_a_bucket_is_deleted_the_way_the_sdk_does_it(s3: Any) -> None:
    s3.create_bucket(Bucket="b")
    s3.create_bucket(Bucket="b")
    for key in ("a.txt", "dir/", "sub/b.txt"):
        s3.put_object(Bucket="b", Key=key, Body=b"x")
    with pytest.raises(ClientError) as refused:
        s3.delete_bucket(Bucket="b")
    assert refused.value.response["Error"]["Code"] == "BucketNotEmpty"
    assert "Status" not in s3.get_bucket_versioning(Bucket="b")
    versions = s3.list_object_versions(Bucket="b")["Versions"]
    assert [(each["Key"], each["VersionId"], each["IsLatest"]) for each in versions] == [
        ("a.txt", "null", True),
        ("dir/", "null", True),
        ("sub/b.txt", "null", True),
    ]
    named = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in versions]
    deleted = s3.delete_objects(Bucket="b", Delete={"Objects": named})
    assert [each["Key"] for each in deleted["Deleted"]] == ["a.txt", "dir/", "sub/b.txt"]
    assert "Errors" not in deleted
    s3.delete_bucket(Bucket="b")
    with pytest.raises(ClientError) as gone:
        s3.list_objects(Bucket="b")
    assert gone.value.response["Error"]["Code"] == "NoSuchBucket"
    assert gone.value.response["Error"]["BucketName"] == "b"


def test_listings_come_in_pages_and_roll_up(s3: Any) -> None:
    s3.create_bucket(Bucket="b")
    keys = [f"{folder}/{number}" for folder in ("a", "b", "c") for number in range(5)] + ["top", "z ü"]
    for key in keys:
        s3.put_object(Bucket="b", Key=key, Body=b"")
    for call in ("list_objects", "list_objects_v2"):
        pages = s3.get_paginator(call).paginate(Bucket="b", PaginationConfig={"PageSize": 4})
        assert [each["Key"] for page in pages for each in page["Contents"]] == sorted(keys)
        pages = s3.get_paginator(call).paginate(Bucket="b", Delimiter="/", PaginationConfig={"PageSize": 2})
        rolled = [
            each.get("Key") or each["Prefix"]
            for page in pages
            for each in [*page.get("CommonPrefixes", []), *page.get("Contents", [])]
        ]
        assert rolled == ["a/", "b/", "c/", "top", "z ü"]
    assert [each["Key"] for each in s3.list_objects(Bucket="b", Prefix="b/")["Contents"]] == keys[5:10]
