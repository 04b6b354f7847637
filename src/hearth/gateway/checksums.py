"""Checksums that clients send with a body, and those that they get back."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from awscrt import checksums as crc

from hearth.gateway.errors import S3Error

HEADER = "x-amz-checksum-"


class Running(Protocol):
    """A checksum in the making."""

    def update(self, data: bytes, /) -> object: ...

    def digest(self) -> bytes: ...


class _Crc:
    def __init__(self, function: Callable[[bytes, int], int], width: int) -> None:
        self._function = function
        self._width = width
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


ALGORITHMS: dict[str, Callable[[], Running]] = {
    "CRC32": lambda: _Crc(crc.crc32, 4),
    "CRC32C": lambda: _Crc(crc.crc32c, 4),
    "CRC64NVME": lambda: _Crc(crc.crc64nvme, 8),
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA256": hashlib.sha256,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of the client about its body. `wanted` is None while it is still to come as a trailer."""

    what: str
    running: Running
    wanted: bytes | None
    code: str

    def require(self, trailers: Mapping[str, str]) -> None:
        """Refuse a body that is not as promised."""
        wanted = self.wanted
        if wanted is None:
            given = trailers.get(self.what)
            if given is None:
                raise S3Error("InvalidRequest", f"The trailing header {self.what}, which was announced, is missing")
            wanted = _value(given, self.what, len(self.running.digest()))
        if wanted != self.running.digest():
            raise S3Error(self.code, f"The body does not have the {self.what} that came with it")


def promised(headers: Mapping[str, str], payload: str, *, with_checksum: bool = True) -> list[Check]:
    """Return what the headers of a request promise about its body."""
    checks: list[Check] = []
    if len(payload) == 64:
        try:
            wanted = bytes.fromhex(payload)
        except ValueError:
            raise S3Error("InvalidArgument", "x-amz-content-sha256 must be 64 hex digits") from None
        checks.append(Check("x-amz-content-sha256", hashlib.sha256(), wanted, "XAmzContentSHA256Mismatch"))
    md5 = headers.get("content-md5")
    if md5 is not None:
        running = hashlib.md5(usedforsecurity=False)
        checks.append(Check("content-md5", running, _value(md5, "content-md5", 16, "InvalidDigest"), "BadDigest"))
    if not with_checksum:
        return checks
    trailers = {name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",")}
    for algorithm in ALGORITHMS:
        name = f"{HEADER}{algorithm.lower()}"
        if name in trailers:
            checks.append(Check(name, ALGORITHMS[algorithm](), None, "BadDigest"))
        elif name in headers:
            made = ALGORITHMS[algorithm]()
            checks.append(Check(name, made, _value(headers[name], name, len(made.digest())), "BadDigest"))
    return checks


def checksum_of(checks: list[Check]) -> tuple[str, str] | None:
    """Return the (algorithm, base64) that the client chose for its body, once all of it has passed."""
    for check in checks:
        if check.what.startswith(HEADER):
            value = base64.b64encode(check.running.digest()).decode()
            return check.what.removeprefix(HEADER).upper(), value
    return None


def checksum_header(checksum: str) -> tuple[str, str]:
    """Return the header that shows a stored "ALGORITHM:base64"."""
    algorithm, _, value = checksum.partition(":")
    return f"{HEADER}{algorithm.lower()}", value


def _value(text: str, name: str, width: int, code: str = "InvalidRequest") -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != width:
        raise S3Error(code, f"{name} must be {width} bytes in base64")
    return value
