"""The ETag that a local file would have as an object."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

# Objects of this size and above are sent in parts of this size, which shows in their ETag.
PART_BYTES: Final = 8 * 1024 * 1024
_READ_BYTES: Final = 1024 * 1024


def file_etag(path: Path) -> str:
    """Return the quoted ETag: the MD5 of the bytes, or of the MD5s of the parts and their number."""
    digests: list[bytes] = []
    size = 0
    with path.open("rb") as file:
        while True:
            digest = hashlib.md5(usedforsecurity=False)
            room = PART_BYTES
            while room and (chunk := file.read(min(_READ_BYTES, room))):
                digest.update(chunk)
                room -= len(chunk)
            if room == PART_BYTES and digests:
                break
            digests.append(digest.digest())
            size += PART_BYTES - room
            if room:
                break
    if size < PART_BYTES:
        return f'"{digests[0].hex()}"'
    return f'"{hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"'
