"""What is wrong is refused in S3's words, changes nothing, and leaves nothing on the disk."""

import asyncio
import base64
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hearth.gateway.checksums import ALGORITHMS
from tests.integration.gateway.asgi import Heard, ask, put, signed_headers
from tests.integration.gateway.server import (
    ALICE,
    ALICE_TOKEN,
    BOB,
    BOB_TOKEN,
    Served,
    Storage,
    a_storage,
    client,
)

LARGE = b"x" * 100_000


def code_of(refused: pytest.ExceptionInfo[ClientError]) -> str:
    return str(refused.value.response["Error"]["Code"])


@pytest.fixture
async def bucket(storage: Storage) -> str:
    assert (await ask(storage.gateway, "PUT", "/b")).status == 200
    return "b"


@pytest.mark.parametrize(
    ("access_key", "token", "code"),
    [
        (ALICE, BOB_TOKEN, "SignatureDoesNotMatch"),
        (BOB, ALICE_TOKEN, "SignatureDoesNotMatch"),
        ("nobody@example.org", ALICE_TOKEN, "InvalidAccessKeyId"),
    ],
)
def test_another_token_does_not_open_the_door(served: Served, access_key: str, token: str, code: str) -> None:
    stranger = client(served, access_key=access_key, token=token)
    with pytest.raises(ClientError) as refused:
        stranger.list_buckets()
    assert code_of(refused) == code
    stranger.close()


def test_accounts_have_buckets_of_the_same_name_and_never_meet(served: Served, alice: Any) -> None:
    bob = client(served, access_key=BOB, token=BOB_TOKEN)
    alice.create_bucket(Bucket="shared")
    alice.put_object(Bucket="shared", Key="k", Body=b"alice's")
    assert bob.list_buckets()["Buckets"] == []
    for call in (
        lambda: bob.get_object(Bucket="shared", Key="k"),
        lambda: bob.list_objects_v2(Bucket="shared"),
        lambda: bob.put_object(Bucket="shared", Key="k", Body=b"bob's"),
        lambda: bob.delete_object(Bucket="shared", Key="k"),
        lambda: bob.delete_bucket(Bucket="shared"),
        lambda: bob.create_multipart_upload(Bucket="shared", Key="k"),
    ):
        with pytest.raises(ClientError) as refused:
            call()
        assert code_of(refused) == "NoSuchBucket"
    bob.create_bucket(Bucket="shared")
    with pytest.raises(ClientError) as missing:
        bob.copy_object(Bucket="shared", Key="mine", CopySource={"Bucket": "shared", "Key": "k"})
    assert code_of(missing) == "NoSuchKey"
    assert alice.get_object(Bucket="shared", Key="k")["Body"].read() == b"alice's"
    bob.close()


@pytest.mark.parametrize("body", [b"small", LARGE], ids=["small", "large"])
async def test_a_body_that_is_not_as_promised_is_refused(storage: Storage, bucket: str, body: bytes) -> None:
    wrong_md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    promises: list[tuple[str, dict[str, str], str | None]] = [
        ("BadDigest", {"content-md5": wrong_md5}, None),
        ("InvalidDigest", {"content-md5": "short"}, None),
        ("XAmzContentSHA256Mismatch", {}, hashlib.sha256(b"other").hexdigest()),
        ("InvalidArgument", {}, "STREAMING-SOMETHING"),
        ("InvalidArgument", {}, "z" * 64),
    ]
    for algorithm, made in ALGORITHMS.items():
        wrong = base64.b64encode(made().digest()).decode()
        promises.append(("BadDigest", {f"x-amz-checksum-{algorithm.lower()}": wrong}, None))
        promises.append(("InvalidRequest", {f"x-amz-checksum-{algorithm.lower()}": "AA=="}, None))
    for code, headers, payload in promises:
        heard = await ask(storage.gateway, "PUT", "/b/k", body, headers, payload=payload)
        assert (heard.status, heard.code) == (400, code), headers
    assert (await ask(storage.gateway, "GET", "/b/k")).code == "NoSuchKey"
    assert storage.files() == []


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_every_checksum_is_verified_and_given_back(alice: Any, algorithm: str) -> None:
    alice.create_bucket(Bucket="b")
    put = alice.put_object(Bucket="b", Key="k", Body=LARGE, ChecksumAlgorithm=algorithm)
    got = alice.get_object(Bucket="b", Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == LARGE
    assert put[f"Checksum{algorithm}"] == got[f"Checksum{algorithm}"]
    part = alice.get_object(Bucket="b", Key="k", ChecksumMode="ENABLED", Range="bytes=0-9")
    assert f"Checksum{algorithm}" not in part


async def chunked(storage: Storage, body: bytes, **headers: str) -> Heard:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named = {"content-encoding": "aws-chunked,gzip", "x-amz-trailer": "x-amz-checksum-crc32", **named}
    return await ask(storage.gateway, "PUT", "/b/k", body, named, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")


async def test_trailing_checksums_are_verified(storage: Storage, bucket: str) -> None:
    right = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    heard = await chunked(storage, right, x_amz_decoded_content_length="5")
    assert (heard.status, heard.headers["x-amz-checksum-crc32"]) == (200, "NhCmhg==")
    assert (await ask(storage.gateway, "GET", "/b/k")).headers["content-encoding"] == "gzip"
    refused = [
        ("BadDigest", right.replace(b"hello", b"hullo"), "5"),
        ("IncompleteBody", right, "6"),
        ("MissingContentLength", right, "five"),
        ("InvalidRequest", b"5\r\nhello\r\n0\r\n\r\n", "5"),
        ("IncompleteBody", b"5\r\nhel", "5"),
        ("EntityTooLarge", right, str(5 * 1024**3 + 1)),
    ]
    for code, body, length in refused:
        heard = await chunked(storage, body, x_amz_decoded_content_length=length)
        assert (heard.code, heard.status // 100) == (code, 4)
    assert (await ask(storage.gateway, "GET", "/b/k")).body == b"hello"


async def test_what_is_no_upload_never_overwrites(storage: Storage, bucket: str) -> None:
    await ask(storage.gateway, "PUT", "/b/k", b"old")
    for query in ("acl", "tagging", "retention", "partNumber=1", "uploadId=x", "torrent", "restore"):
        heard = await ask(storage.gateway, "PUT", f"/b/k?{query}", b"new")
        assert (heard.status, heard.code) == (501, "NotImplemented"), query
    assert (await ask(storage.gateway, "GET", "/b/k")).body == b"old"


@pytest.mark.parametrize(
    ("method", "target", "body", "code"),
    [
        ("GET", "/missing", b"", "NoSuchBucket"),
        ("GET", "/b/missing", b"", "NoSuchKey"),
        ("PUT", "/.b", b"", "InvalidBucketName"),
        ("PUT", f"/{'b' * 256}", b"", "InvalidBucketName"),
        ("PUT", f"/b/{'k' * 1025}", b"", "KeyTooLongError"),
        ("PUT", "/b/%00", b"", "InvalidArgument"),
        ("PUT", "/b/%FF", b"", "InvalidURI"),
        ("PUT", "/c", b"<x", "MalformedXML"),
        ("GET", "/b?max-keys=-1", b"", "InvalidArgument"),
        ("GET", "/b?max-keys=x", b"", "InvalidArgument"),
        ("GET", "/b?list-type=2&continuation-token=%FF", b"", "InvalidURI"),
        ("GET", "/b?list-type=2&continuation-token=*", b"", "InvalidArgument"),
        ("GET", "/b?encoding-type=xml", b"", "InvalidArgument"),
        ("GET", "/b?policy", b"", "NoSuchBucketPolicy"),
        ("GET", "/b/k?versionId=7", b"", "NoSuchVersion"),
        ("POST", "/b?delete", b"<Delete></Delete>", "MalformedXML"),
        ("POST", "/b?delete", b"<Delete><Object/></Delete>", "MalformedXML"),
        ("POST", "/b/k?uploadId=x", b"<CompleteMultipartUpload/>", "MalformedXML"),
        ("PUT", "/b/k?uploadId=x&partNumber=0", b"", "InvalidArgument"),
        ("PUT", "/b/k?uploadId=x&partNumber=10001", b"", "InvalidArgument"),
        ("PUT", "/b/k?uploadId=x&partNumber=1", b"", "NoSuchUpload"),
        ("GET", "/b/k?uploadId=x", b"", "NoSuchUpload"),
        ("DELETE", "/b/k?uploadId=x", b"", "NoSuchUpload"),
        ("PATCH", "/b/k", b"", "MethodNotAllowed"),
        ("DELETE", "/", b"", "MethodNotAllowed"),
    ],
)
async def test_refusals_have_the_names_that_clients_know(
    storage: Storage, bucket: str, method: str, target: str, body: bytes, code: str
) -> None:
    heard = await ask(storage.gateway, method, target, body)
    assert heard.code == code
    assert heard.status < 500
    assert heard.headers["content-type"] == "application/xml"


async def test_a_missing_bucket_is_named_and_escaped(storage: Storage) -> None:
    heard = await ask(storage.gateway, "GET", "/a%3Cb%26")
    assert b"<BucketName>a&lt;b&amp;</BucketName>" in heard.body


async def test_parts_with_etags_of_nobody_are_refused(storage: Storage, bucket: str) -> None:
    await ask(storage.gateway, "PUT", "/b/k", b"x")
    body = (
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>no hex</ETag></Part></CompleteMultipartUpload>"
    )
    assert (await ask(storage.gateway, "POST", "/b/k?uploadId=x", body)).code == "InvalidPart"


async def test_a_quota_holds_at_every_door(tmp_path: Path) -> None:
    limited = a_storage(tmp_path, limits=json.dumps({"max_buckets": 1, "max_bucket_bytes": 150_000}))
    try:
        gateway = limited.gateway
        await ask(gateway, "PUT", "/b")
        assert (await ask(gateway, "PUT", "/b")).status == 200
        assert (await ask(gateway, "PUT", "/c")).code == "QuotaExceeded"
        assert (await ask(gateway, "PUT", "/b/k", LARGE)).status == 200
        assert (await ask(gateway, "PUT", "/b/k", LARGE + b"x")).status == 200
        assert (await ask(gateway, "PUT", "/b/other", LARGE)).code == "QuotaExceeded"
        copy = {"x-amz-copy-source": "b/k"}
        assert (await ask(gateway, "PUT", "/b/copy", headers=copy)).code == "QuotaExceeded"
        upload_id = (await ask(gateway, "POST", "/b/parts?uploads")).body.decode().split("UploadId>")[1][:-2]
        target = f"/b/parts?uploadId={upload_id}&partNumber=1"
        assert (await ask(gateway, "PUT", target, LARGE)).code == "QuotaExceeded"
        assert (await ask(gateway, "PUT", target, LARGE[:1000])).status == 200
        assert len(limited.files()) == 2  # what was overwritten is swept later
    finally:
        limited.close()


texts = st.text(st.characters(max_codepoint=0x2FF), max_size=20)
words = st.sampled_from(
    [
        "acl",
        "delete",
        "list-type",
        "uploads",
        "uploadId",
        "partNumber",
        "prefix",
        "delimiter",
        "marker",
        "max-keys",
        "versions",
        "encoding-type",
        "continuation-token",
        "versionId",
        "response-content-type",
        "X-Amz-Signature",
        "X-Amz-Algorithm",
    ]
)
header_names = st.sampled_from(
    [
        "range",
        "if-match",
        "if-modified-since",
        "x-amz-copy-source",
        "x-amz-copy-source-range",
        "content-md5",
        "x-amz-checksum-crc32",
        "x-amz-trailer",
        "x-amz-decoded-content-length",
        "content-encoding",
        "x-amz-meta-a",
        "x-amz-checksum-algorithm",
        "x-amz-metadata-directive",
        "content-type",
        "expect",
        "transfer-encoding",
    ]
)
header_values = st.one_of(
    st.sampled_from(["bytes=0-", "bytes=-1", "b/k", "b/", "/b/k?versionId=null", "CRC32", "REPLACE", "5", "*"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
)
bodies = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"<Delete><Object><Key>k</Key></Object></Delete>",
            b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
            b"5\r\nhello\r\n0\r\n\r\n",
        ]
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH"]),
    path=st.one_of(st.sampled_from(["/", "/b", "/b/", "/b/k", "//"]), texts.map(lambda text: f"/b/{text}")),
    query=st.dictionaries(words, texts, max_size=3),
    headers=st.dictionaries(header_names, header_values, max_size=3),
    body=bodies,
    payload=st.sampled_from([None, "UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "nonsense"]),
    is_signed=st.booleans(),
)
def test_nothing_that_a_client_sends_is_the_servers_failure(
    storage: Storage,
    method: str,
    path: str,
    query: dict[str, str],
    headers: dict[str, str],
    body: bytes,
    payload: str | None,
    is_signed: bool,
) -> None:
    """Mutant caught: taking content-md5 for base64 without looking."""
    target = quote(path)
    if query:
        target += "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())

    async def tell() -> Heard:
        await ask(storage.gateway, "PUT", "/b")
        await ask(storage.gateway, "PUT", "/b/k", b"x")
        if is_signed:
            return await ask(storage.gateway, method, target, body, headers, payload=payload)
        sent = signed_headers(method, target, headers, payload or "x")
        return await put(storage.gateway, method, target, [body], {**sent, **headers, "authorization": body.hex()})

    heard = asyncio.run(tell())
    assert heard.status < 500 or heard.status == 501, heard.body
