"""What is computed over bytes while they pass: MD5, the ETag that clients compute, CRC-32."""

from __future__ import annotations

import base64
import hashlib
from typing import Protocol

from awscrt import checksums

PART_BYTES = 8 * 1024 * 1024


class Digest(Protocol):
    """Anything that wants to see the bytes of a blob while they are stored."""

    def update(self, data: bytes, /) -> object:
        """Take the next bytes."""


class ContentDigest:
    """MD5 and CRC-32 of the whole and, if asked for, the MD5 of every 8 MiB part."""

    def __init__(self, *, parts: bool) -> None:
        self.size_bytes = 0
        self._crc32 = 0
        self._whole = hashlib.md5(usedforsecurity=False)
        self._parts: list[bytes] | None = [] if parts else None
        self._part = hashlib.md5(usedforsecurity=False)
        self._part_bytes = 0

    def update(self, data: bytes) -> None:
        self.size_bytes += len(data)
        self._crc32 = checksums.crc32(data, self._crc32)
        self._whole.update(data)
        if self._parts is not None:
            rest = memoryview(data)
            while rest:
                taken = rest[: PART_BYTES - self._part_bytes]
                self._part.update(taken)
                self._part_bytes += len(taken)
                rest = rest[len(taken) :]
                if self._part_bytes == PART_BYTES:
                    self._parts.append(self._part.digest())
                    self._part = hashlib.md5(usedforsecurity=False)
                    self._part_bytes = 0

    @property
    def md5_hex(self) -> str:
        """The MD5 of everything."""
        return self._whole.hexdigest()

    @property
    def crc32_base64(self) -> str:
        """The CRC-32 of everything, big-endian, in base64."""
        return base64.b64encode(self._crc32.to_bytes(4, "big")).decode()

    @property
    def etag(self) -> str:
        """The ETag of an upload in 8 MiB parts, or the plain MD5 when it is smaller than one part."""
        if self._parts is None or self.size_bytes < PART_BYTES:
            return self.md5_hex
        last = [self._part.digest()] if self._part_bytes else []
        return etag_of_parts([*self._parts, *last])


def etag_of_parts(md5s: list[bytes]) -> str:
    """Return the ETag of an object that was uploaded in parts with these MD5s."""
    return f"{hashlib.md5(b''.join(md5s), usedforsecurity=False).hexdigest()}-{len(md5s)}"
