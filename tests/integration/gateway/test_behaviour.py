"""What clients rely on beyond single puts and gets."""

import hashlib
import http.client
import io
import socket
import threading
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from botocore.exceptions import ClientError

from hearth.control import sweep
from hearth.control.blobs import BlobStore
from hearth.control.sweep import sweep_once
from hearth.gateway import signature as arithmetic
from hearth.gateway.app import Gateway
from hearth.gateway.signature import Authorization, ChunkSigner, Credential, key_of
from hearth.objects.disk import BlobFiles
from hearth.store.door import Store, open_engine
from tests.integration.gateway.asgi import ask, put, signed_headers
from tests.integration.gateway.server import ALICE, ALICE_TOKEN, Served, Storage, a_storage, client
from tests.integration.gateway.test_boto3 import MIB, etag_in_parts, pattern

HOUR = 3_600_000_000
FIVE = pattern(5 * MIB)


def code_of(refused: pytest.ExceptionInfo[ClientError]) -> str:
    return str(refused.value.response["Error"]["Code"])


@pytest.fixture
def s3_bucket(alice: Any) -> Any:
    alice.create_bucket(Bucket="b")
    return alice


def an_upload(s3: Any, key: str = "k") -> dict[str, str]:
    made = s3.create_multipart_upload(Bucket="b", Key=key, ContentType="text/x")
    return {"Bucket": "b", "Key": key, "UploadId": made["UploadId"]}


def listed(*parts: tuple[int, str]) -> dict[str, Any]:
    return {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in parts]}


def test_parts_arrive_out_of_order_and_may_be_sent_again(s3_bucket: Any) -> None:
    upload = an_upload(s3_bucket)
    last = s3_bucket.upload_part(**upload, PartNumber=7, Body=b"end")["ETag"]
    s3_bucket.upload_part(**upload, PartNumber=2, Body=b"wrong")
    first = s3_bucket.upload_part(**upload, PartNumber=2, Body=FIVE)["ETag"]
    shown = s3_bucket.list_parts(**upload, MaxParts=1)
    assert ([part["PartNumber"] for part in shown["Parts"]], shown["IsTruncated"]) == ([2], True)
    assert [each["Key"] for each in s3_bucket.list_multipart_uploads(Bucket="b")["Uploads"]] == ["k"]
    for parts, code in (
        ([(7, last), (2, first)], "InvalidPartOrder"),
        ([(2, last), (7, last)], "InvalidPart"),
        ([(2, first), (3, last)], "InvalidPart"),
    ):
        with pytest.raises(ClientError) as refused:
            s3_bucket.complete_multipart_upload(**upload, MultipartUpload=listed(*parts))
        assert code_of(refused) == code
    complete = listed((2, first), (7, last))
    done = s3_bucket.complete_multipart_upload(**upload, MultipartUpload=complete)
    again = s3_bucket.complete_multipart_upload(**upload, MultipartUpload=complete)
    md5s = hashlib.md5(FIVE).digest() + hashlib.md5(b"end").digest()
    assert done["ETag"] == again["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-2"'
    got = s3_bucket.get_object(Bucket="b", Key="k", ChecksumMode="ENABLED")
    assert (got["Body"].read(), got["ContentType"]) == (FIVE + b"end", "text/x")
    assert s3_bucket.list_multipart_uploads(Bucket="b").get("Uploads", []) == []


def test_a_small_part_that_is_not_the_last_is_refused(s3_bucket: Any) -> None:
    upload = an_upload(s3_bucket)
    etag = s3_bucket.upload_part(**upload, PartNumber=1, Body=b"small")["ETag"]
    s3_bucket.upload_part(**upload, PartNumber=2, Body=b"small")
    with pytest.raises(ClientError) as refused:
        s3_bucket.complete_multipart_upload(**upload, MultipartUpload=listed((1, etag), (2, etag)))
    assert code_of(refused) == "EntityTooSmall"
    s3_bucket.abort_multipart_upload(**upload)
    with pytest.raises(ClientError) as gone:
        s3_bucket.list_parts(**upload)
    assert code_of(gone) == "NoSuchUpload"


def test_a_part_is_copied_from_a_range_of_another_object(s3_bucket: Any) -> None:
    s3_bucket.put_object(Bucket="b", Key="source", Body=FIVE)
    upload = an_upload(s3_bucket)
    source = {"Bucket": "b", "Key": "source"}
    one = s3_bucket.upload_part_copy(**upload, PartNumber=1, CopySource=source)
    two = s3_bucket.upload_part_copy(**upload, PartNumber=2, CopySource=source, CopySourceRange="bytes=5-9")
    parts = listed((1, one["CopyPartResult"]["ETag"]), (2, two["CopyPartResult"]["ETag"]))
    s3_bucket.complete_multipart_upload(**upload, MultipartUpload=parts)
    assert s3_bucket.get_object(Bucket="b", Key="k")["Body"].read() == FIVE + FIVE[5:10]


def test_a_copy_keeps_or_replaces_metadata(s3_bucket: Any) -> None:
    s3_bucket.put_object(Bucket="b", Key="k", Body=b"x", Metadata={"a": "1"}, ContentType="text/x")
    source = {"Bucket": "b", "Key": "k"}
    s3_bucket.copy_object(Bucket="b", Key="kept", CopySource=source)
    s3_bucket.copy_object(Bucket="b", Key="k", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"})
    kept, replaced = (s3_bucket.head_object(Bucket="b", Key=key) for key in ("kept", "k"))
    assert (kept["Metadata"], kept["ContentType"]) == ({"a": "1"}, "text/x")
    assert replaced["Metadata"] == {"b": "2"}
    with pytest.raises(ClientError) as refused:
        s3_bucket.copy_object(Bucket="b", Key="k", CopySource=source)
    assert code_of(refused) == "InvalidRequest"
    with pytest.raises(ClientError) as changed:
        s3_bucket.copy_object(Bucket="b", Key="new", CopySource=source, CopySourceIfMatch='"other"')
    assert code_of(changed) == "PreconditionFailed"


def test_a_bucket_tells_its_statistics_in_headers(s3_bucket: Any) -> None:
    for key in ("one", "two"):
        s3_bucket.put_object(Bucket="b", Key=key, Body=b"12345")
    headers = s3_bucket.head_bucket(Bucket="b")["ResponseMetadata"]["HTTPHeaders"]
    assert (headers["x-rgw-object-count"], headers["x-rgw-bytes-used"]) == ("2", "10")
    assert [each["Name"] for each in s3_bucket.list_buckets()["Buckets"]] == ["b"]
    assert s3_bucket.get_bucket_location(Bucket="b")["LocationConstraint"] is None


def test_a_region_with_its_constraint_is_fine(served: Served) -> None:
    s3 = client(served, region="eu-west-3")
    s3.create_bucket(Bucket="b", CreateBucketConfiguration={"LocationConstraint": "eu-west-3"})
    s3.put_object(Bucket="b", Key="k", Body=b"x")
    s3.close()


def test_presigned_addresses_work_without_any_header(s3_bucket: Any) -> None:
    http_client = urllib3.PoolManager(retries=False)
    where = {"Bucket": "b", "Key": "a b/ü+.txt"}
    upload = s3_bucket.generate_presigned_url("put_object", Params=where)
    assert http_client.request("PUT", upload, body=b"by address").status == 200
    download = s3_bucket.generate_presigned_url("get_object", Params={**where, "ResponseContentType": "text/y"})
    got = http_client.request("GET", download)
    assert (got.data, got.headers["content-type"]) == (b"by address", "text/y")
    assert http_client.request("HEAD", s3_bucket.generate_presigned_url("head_bucket", {"Bucket": "b"})).status == 200
    assert http_client.request("GET", download.replace("text%2Fy", "text%2Fz")).status == 403


def test_reads_have_conditions_and_writes_too(s3_bucket: Any) -> None:
    etag = s3_bucket.put_object(Bucket="b", Key="k", Body=b"0123456789")["ETag"]
    got = s3_bucket.get_object(Bucket="b", Key="k", Range="bytes=-3", IfMatch=etag)
    assert (got["Body"].read(), got["ContentRange"]) == (b"789", "bytes 7-9/10")
    for call, status in (
        (lambda: s3_bucket.get_object(Bucket="b", Key="k", IfNoneMatch=etag), 304),
        (lambda: s3_bucket.get_object(Bucket="b", Key="k", IfMatch='"x"'), 412),
        (lambda: s3_bucket.get_object(Bucket="b", Key="k", Range="bytes=10-"), 416),
        (lambda: s3_bucket.put_object(Bucket="b", Key="k", Body=b"new", IfNoneMatch="*"), 412),
        (lambda: s3_bucket.put_object(Bucket="b", Key="k", Body=b"new", IfMatch='"x"'), 412),
    ):
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    s3_bucket.put_object(Bucket="b", Key="k", Body=b"new", IfMatch=etag)
    s3_bucket.put_object(Bucket="b", Key="fresh", Body=b"new", IfNoneMatch="*")


def test_a_client_that_waits_for_100_hears_it_or_the_refusal_at_once(served: Served, s3_bucket: Any) -> None:
    def begin(target: str) -> tuple[socket.socket, bytes]:
        extra = {"content-length": "5", "expect": "100-continue"}
        headers = signed_headers("PUT", target, extra, hashlib.sha256(b"hello").hexdigest())
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection = socket.create_connection(("127.0.0.1", served.port), timeout=20)
        connection.sendall(f"PUT {target} HTTP/1.1\r\n{lines}\r\n".encode())
        return connection, connection.recv(65536)

    connection, first = begin("/b/k")
    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(b"hello")
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    connection.close()
    connection, first = begin("/missing/k")
    answer = http.client.HTTPResponse(_Read(first, connection))  # type: ignore[arg-type]
    answer.begin()
    assert (answer.status, answer.getheader("connection")) == (404, "close")
    assert b"<Code>NoSuchBucket</Code>" in answer.read()
    connection.close()


class _Read:
    """What was received already, and then the rest of a connection, for http.client."""

    def __init__(self, first: bytes, connection: socket.socket) -> None:
        rest = b"".join(iter(lambda: connection.recv(65536), b""))
        self._content = io.BytesIO(first + rest)

    def makefile(self, *_: Any) -> io.BytesIO:
        return self._content


async def test_signed_chunks_are_taken(storage: Storage) -> None:
    await ask(storage.gateway, "PUT", "/b")
    payload, data = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", pattern(100_000)
    sent = {"x-amz-decoded-content-length": "100000", "content-encoding": "aws-chunked", "transfer-encoding": "chunked"}
    headers = signed_headers("PUT", "/b/k", sent, payload)
    credential = Credential(ALICE, headers["x-amz-date"][:8], "eu-west-3", "s3")
    seed = headers["authorization"].rpartition("Signature=")[2]
    authorization = Authorization(credential, (), seed, headers["x-amz-date"], payload, None)
    signer, body = ChunkSigner(key_of(ALICE_TOKEN, credential), authorization), b""
    for chunk in (data[:65536], data[65536:], b""):
        signature = _signature_of(signer, chunk)
        body += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(chunk), signature.encode(), chunk)
    halves = [body[:70_000], body[70_000:]]
    assert (await put(storage.gateway, "PUT", "/b/k", halves, headers)).status == 200
    assert (await ask(storage.gateway, "GET", "/b/k")).body == data
    forged = [body[:1000] + b"?" + body[1001:]]
    assert (await put(storage.gateway, "PUT", "/b/k", forged, headers)).code == "SignatureDoesNotMatch"
    assert (await ask(storage.gateway, "GET", "/b/k")).body == data


def _signature_of(signer: ChunkSigner, chunk: bytes) -> str:
    """Return a chunk's signature, which the signer then knows as the one before the next."""
    words = (
        f"{arithmetic.ALGORITHM}-PAYLOAD",
        signer._timestamp,
        signer._scope,
        signer._previous,
        hashlib.sha256(b"").hexdigest(),
        hashlib.sha256(chunk).hexdigest(),
    )
    given = arithmetic._hmac_hex(signer._key, words)
    signer.check_chunk(hashlib.sha256(chunk).hexdigest(), given)
    return given


async def test_a_bucket_may_be_in_the_host_name(tmp_path: Path) -> None:
    made = a_storage(tmp_path, base_domain="storage.test")
    try:
        host = {"host": "My-bucket.storage.test:8080"}
        assert (await ask(made.gateway, "PUT", "/", headers=host)).status == 200
        assert (await ask(made.gateway, "PUT", "/dir/k", b"x", host)).status == 200
        assert (await ask(made.gateway, "GET", "/My-bucket/dir/k")).body == b"x"
    finally:
        made.close()


def test_readers_never_see_a_mixture_of_two_writes(served: Served, s3_bucket: Any) -> None:
    contents = [bytes([letter]) * size for letter, size in ((97, 300_000), (98, 2 * MIB), (99, 20_000))]
    s3_bucket.put_object(Bucket="b", Key="k", Body=contents[0])
    over = threading.Event()
    found: list[bytes] = []

    def read() -> None:
        reader = client(served)
        while not over.is_set():
            found.append(reader.get_object(Bucket="b", Key="k")["Body"].read())
        reader.close()

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(24):
        s3_bucket.put_object(Bucket="b", Key="k", Body=contents[number % 3])
    over.set()
    for reader in readers:
        reader.join(30)
    assert found
    assert set(found) <= set(contents)


async def test_what_was_acknowledged_is_there_for_the_next_process(tmp_path: Path) -> None:
    first = a_storage(tmp_path)
    await ask(first.gateway, "PUT", "/b")
    for key, body in (("small", b"x"), ("large", FIVE)):
        assert (await ask(first.gateway, "PUT", f"/b/{key}", body)).status == 200
    store, disk = Store(open_engine(f"sqlite:///{tmp_path}/hearth.db")), BlobFiles(tmp_path / "blobs")
    try:
        blobs = BlobStore(store, disk, first.clock)
        again = Gateway(store, blobs, first.secrets, first.clock)
        assert (await ask(again, "GET", "/b/small")).body == b"x"
        assert (await ask(again, "GET", "/b/large")).body == FIVE
    finally:
        store.close()
        disk.close()
        first.close()


def test_a_client_that_leaves_in_the_middle_leaves_nothing(served: Served, storage: Storage, s3_bucket: Any) -> None:
    headers = signed_headers("PUT", "/b/k", {"content-length": str(4 * MIB)}, "UNSIGNED-PAYLOAD")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=20)
    connection.sendall(f"PUT /b/k HTTP/1.1\r\n{lines}\r\n".encode() + pattern(3 * MIB))
    connection.close()
    s3_bucket.put_object(Bucket="b", Key="other", Body=b"x")
    with pytest.raises(ClientError) as missing:
        s3_bucket.get_object(Bucket="b", Key="k")
    assert code_of(missing) == "NoSuchKey"


async def test_memory_does_not_grow_with_the_object(storage: Storage) -> None:
    block, count = pattern(MIB), 64

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield block

    tracemalloc.start()
    try:
        stored = await storage.blobs.put(1, blocks())
        total = 0
        async for piece in storage.blobs.open(stored.id):
            total += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == stored.size_bytes == count * MIB
    assert stored.etag == etag_in_parts(block * count).strip('"')
    assert stored.md5_hex == hashlib.md5(block * count).hexdigest()
    assert peak < 12 * MIB


async def test_what_nothing_points_to_is_swept_in_time(storage: Storage) -> None:
    gateway, clock = storage.gateway, storage.clock
    await ask(gateway, "PUT", "/b")
    await ask(gateway, "PUT", "/b/k", FIVE)
    await ask(gateway, "PUT", "/b/copy", headers={"x-amz-copy-source": "b/k"})
    await ask(gateway, "DELETE", "/b/k")
    clock.ahead = 2 * HOUR
    assert (await sweep_once(storage.store, storage.blobs, clock())).blobs == 0
    clock.ahead = 0
    await ask(gateway, "DELETE", "/b/copy")
    assert len(storage.files()) == 1
    clock.ahead = HOUR - 60_000_000
    assert (await sweep_once(storage.store, storage.blobs, clock())).blobs == 0
    clock.ahead = HOUR + 60_000_000
    assert (await sweep_once(storage.store, storage.blobs, clock())).blobs == 1
    assert storage.files() == []


async def test_uploads_that_nobody_finished_are_swept_after_a_week(storage: Storage) -> None:
    gateway = storage.gateway
    await ask(gateway, "PUT", "/b")
    upload_id = (await ask(gateway, "POST", "/b/k?uploads")).body.decode().split("UploadId>")[1][:-2]
    assert (await ask(gateway, "PUT", f"/b/k?uploadId={upload_id}&partNumber=1", FIVE)).status == 200
    storage.clock.ahead = 7 * 24 * HOUR - 60_000_000
    assert (await sweep_once(storage.store, storage.blobs, storage.clock())).uploads == 0
    storage.clock.ahead = 7 * 24 * HOUR + 60_000_000
    assert (await sweep_once(storage.store, storage.blobs, storage.clock())).uploads == 1
    storage.clock.ahead += 2 * HOUR
    assert (await sweep_once(storage.store, storage.blobs, storage.clock())).blobs == 1
    assert storage.files() == []
    storage.clock.ahead = 0
    assert (await ask(gateway, "GET", f"/b/k?uploadId={upload_id}")).code == "NoSuchUpload"


async def test_a_round_says_whether_there_is_more_to_sweep(storage: Storage) -> None:
    gateway = storage.gateway
    await ask(gateway, "PUT", "/b")
    for number in range(sweep.BLOBS_AT_ONCE + 1):
        await ask(gateway, "PUT", "/b/k", str(number).encode())
    storage.clock.ahead = 2 * HOUR
    first = await sweep.sweep_once(storage.store, storage.blobs, storage.clock())
    second = await sweep.sweep_once(storage.store, storage.blobs, storage.clock())
    assert (first.blobs, first.more, second.blobs, second.more) == (sweep.BLOBS_AT_ONCE, True, 0, False)


async def test_only_what_nothing_points_to_can_be_discarded(storage: Storage) -> None:
    await ask(storage.gateway, "PUT", "/b")
    await ask(storage.gateway, "PUT", "/b/k", FIVE)
    await storage.blobs.discard([1])
    assert (await ask(storage.gateway, "GET", "/b/k")).body == FIVE
