"""The body encoding aws-chunked without signatures, as boto3 sends it over https."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.gateway.chunked import ChunkDecoder
from hearth.gateway.errors import S3Error


def decode(body: bytes, step: int = 10**6) -> tuple[bytes, dict[str, str]]:
    decoder = ChunkDecoder(None)
    content = b"".join(
        piece for start in range(0, len(body), step) for piece in decoder.feed(body[start : start + step])
    )
    decoder.finish()
    return content, decoder.trailers


@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_the_observed_body_is_understood(step: int) -> None:
    body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    assert decode(body, step) == (b"hello", {"x-amz-checksum-crc32": "NhCmhg=="})


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 50))
def test_chunks_are_joined_however_they_are_cut(chunks: list[bytes], step: int) -> None:
    """Mutant caught: taking one byte too many off after a chunk."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert decode(body, step) == (b"".join(chunks), {})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"5\r\nhel",
        b"5\r\nhello\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"x\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5;chunk-signature=00\r\nhello\r\n0\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n\r\nmore",
        b"1" * 10_000,
        b"0\r\n" + b"a:b\r\n" * 10_000,
    ],
)
def test_a_malformed_body_is_the_clients_error(body: bytes) -> None:
    with pytest.raises(S3Error) as refused:
        decode(body)
    assert refused.value.status == 400
