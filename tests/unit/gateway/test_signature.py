"""The examples that Amazon publishes for signature version 4 with S3."""

import hashlib
from collections.abc import Mapping

import pytest

from hearth.control.accounts import AccountSecret
from hearth.gateway.auth import authenticate
from hearth.gateway.chunked import ChunkDecoder
from hearth.gateway.errors import S3Error
from hearth.gateway.request import Request, read_request
from hearth.gateway.signature import ChunkSigner, is_signed_by, key_of, read_authorization

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
MAY_24_2013 = 1_369_353_600_000_000
EMPTY = hashlib.sha256(b"").hexdigest()
MINUTE = 60_000_000
PRESIGNED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
    "aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)


def a_request(method: str, target: str, headers: Mapping[str, str]) -> Request:
    path, _, query = target.partition("?")
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"method": method, "raw_path": path.encode(), "query_string": query.encode(), "headers": raw}
    return read_request(scope, "s3.amazonaws.com", "id")


def signed(headers: Mapping[str, str], signature: str, *, names: str = "") -> dict[str, str]:
    all_headers = {
        "host": "examplebucket.s3.amazonaws.com",
        "x-amz-date": "20130524T000000Z",
        "x-amz-content-sha256": EMPTY,
        **headers,
    }
    credential = f"{KEY}/20130524/us-east-1/s3/aws4_request"
    names = names or ";".join(sorted(all_headers))
    value = f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={names},Signature={signature}"
    return {**all_headers, "authorization": value}


EXAMPLES = {
    "a range of an object": a_request(
        "GET",
        "/test.txt",
        signed({"range": "bytes=0-9"}, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
    ),
    "an upload whose key needs encoding": a_request(
        "PUT",
        "/test$file.text",
        signed(
            {
                "date": "Fri, 24 May 2013 00:00:00 GMT",
                "x-amz-storage-class": "REDUCED_REDUNDANCY",
                "x-amz-content-sha256": hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
            },
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
    ),
    "a parameter without a value": a_request(
        "GET", "/?lifecycle", signed({}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")
    ),
    "a listing": a_request(
        "GET",
        "/?max-keys=2&prefix=J",
        signed({}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ),
    "a presigned address": a_request("GET", f"/test.txt?{PRESIGNED}", {"host": "examplebucket.s3.amazonaws.com"}),
}


class OneSecret:
    async def of(self, access_key: str) -> list[AccountSecret]:
        return [AccountSecret(7, "another", "a@b"), AccountSecret(7, SECRET, "a@b")] if access_key == KEY else []


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_published_signatures_are_right(name: str) -> None:
    request = EXAMPLES[name]
    assert is_signed_by(request, read_authorization(request), SECRET)
    assert not is_signed_by(request, read_authorization(request), SECRET.lower())


@pytest.mark.parametrize("name", EXAMPLES)
async def test_the_caller_is_the_account_whose_secret_signed(name: str) -> None:
    caller = await authenticate(EXAMPLES[name], OneSecret(), MAY_24_2013 + 14 * MINUTE)
    assert caller.account_id == 7


def chunked_example() -> ChunkSigner:
    headers = signed(
        {
            "host": "s3.amazonaws.com",
            "content-encoding": "aws-chunked",
            "content-length": "66824",
            "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "x-amz-decoded-content-length": "66560",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
        },
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    )
    authorization = read_authorization(request := a_request("PUT", "/examplebucket/chunkObject.txt", headers))
    assert is_signed_by(request, authorization, SECRET)
    return ChunkSigner(key_of(SECRET, authorization.credential), authorization)


CHUNKS = (
    (65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
    (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
    (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
)


def chunked_body(letter: bytes = b"a") -> bytes:
    return b"".join(
        b"%x;chunk-signature=%s\r\n%s\r\n" % (size, signature.encode(), letter * size) for size, signature in CHUNKS
    )


@pytest.mark.parametrize("step", [1, 7, 1000, 10**6])
def test_the_published_chunk_signatures_are_right_however_they_arrive(step: int) -> None:
    body, decoder = chunked_body(), ChunkDecoder(chunked_example())
    content = b"".join(
        piece for start in range(0, len(body), step) for piece in decoder.feed(body[start : start + step])
    )
    decoder.finish()
    assert (content, decoder.trailers) == (b"a" * 66560, {})


def test_a_changed_chunk_is_refused() -> None:
    with pytest.raises(S3Error) as refused:
        list(ChunkDecoder(chunked_example()).feed(chunked_body(b"b")))
    assert refused.value.code == "SignatureDoesNotMatch"


def test_the_published_trailer_signature_is_right() -> None:
    headers = signed(
        {
            "host": "s3.amazonaws.com",
            "content-encoding": "aws-chunked",
            "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            "x-amz-decoded-content-length": "66560",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
            "x-amz-trailer": "x-amz-checksum-crc32c",
        },
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    )
    authorization = read_authorization(request := a_request("PUT", "/examplebucket/chunkObject.txt", headers))
    assert is_signed_by(request, authorization, SECRET)
    decoder = ChunkDecoder(ChunkSigner(key_of(SECRET, authorization.credential), authorization))
    body = (
        b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n"
        + b"a" * 65536
        + b"\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n"
        + b"a" * 1024
        + b"\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
        + b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
        + b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
    )
    assert b"".join(decoder.feed(body)) == b"a" * 66560
    decoder.finish()
    assert decoder.trailers == {"x-amz-checksum-crc32c": "sOO8/Q=="}


HEADERS = EXAMPLES["a listing"].headers


def with_authorization(old: str, new: str) -> dict[str, str]:
    return {**HEADERS, "authorization": HEADERS["authorization"].replace(old, new)}


REFUSED = {
    "without a signature": ("AccessDenied", {"host": "h"}, "/"),
    "by the old scheme": ("InvalidRequest", {"host": "h", "authorization": "AWS key:signature"}, "/"),
    "with a scheme only": ("AuthorizationHeaderMalformed", with_authorization(HEADERS["authorization"][16:], ""), "/"),
    "without a credential": ("AuthorizationHeaderMalformed", with_authorization("Credential", "Kredential"), "/"),
    "with a short credential": ("AuthorizationHeaderMalformed", with_authorization("/us-east-1", ""), "/"),
    "for another service": ("AuthorizationHeaderMalformed", with_authorization("/s3/", "/ec2/"), "/"),
    "for another day": ("AuthorizationHeaderMalformed", with_authorization("/20130524/", "/20130523/"), "/"),
    "of an unknown key": ("InvalidAccessKeyId", with_authorization(KEY, "nobody@example.org"), "/"),
    "with a wrong signature": ("SignatureDoesNotMatch", with_authorization("34b48302", "34b48303"), "/"),
    "with an odd signature": ("SignatureDoesNotMatch", with_authorization("Signature=34", "Signature=ü"), "/"),
    "without the host signed": ("AccessDenied", with_authorization("=host;", "="), "/"),
    "with a header that is not signed": ("AccessDenied", {**HEADERS, "x-amz-copy-source": "b/k"}, "/"),
    "without a date": ("AccessDenied", {**HEADERS, "x-amz-date": "yesterday"}, "/"),
    "presigned for too long": (
        "AuthorizationQueryParametersError",
        {"host": "h"},
        PRESIGNED.replace("86400", "604801"),
    ),
    "presigned for nothing": ("AuthorizationQueryParametersError", {"host": "h"}, PRESIGNED.replace("86400", "x")),
    "presigned in part": ("AuthorizationQueryParametersError", {"host": "h"}, PRESIGNED.replace("X-Amz-Date", "X")),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_not_rightly_signed_is_refused(name: str) -> None:
    code, headers, query = REFUSED[name]
    with pytest.raises(S3Error) as refused:
        await authenticate(a_request("GET", f"/?{query}", headers), OneSecret(), MAY_24_2013)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("name", "minutes", "code"),
    [
        ("a listing", 16, "RequestTimeTooSkewed"),
        ("a listing", -16, "RequestTimeTooSkewed"),
        ("a presigned address", 24 * 60 + 1, "AccessDenied"),
        ("a presigned address", -16, "AccessDenied"),
    ],
)
async def test_a_signature_of_another_time_is_refused(name: str, minutes: int, code: str) -> None:
    with pytest.raises(S3Error) as refused:
        await authenticate(EXAMPLES[name], OneSecret(), MAY_24_2013 + minutes * MINUTE)
    assert refused.value.code == code
