"""The body encoding `aws-chunked`: chunks with their sizes, perhaps signed, and perhaps headers at the end.

    SIZE in hex [;chunk-signature=HEX] CRLF  data  CRLF   ...   0[;chunk-signature=HEX] CRLF  [name:value CRLF]* CRLF

It is independent of HTTP's own chunks, which servers take off before.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from hearth.gateway.errors import S3Error
from hearth.gateway.signature import ChunkSigner

MAX_LINE_BYTES = 4096
MAX_TRAILER_BYTES = 16 * 1024
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?")
_TRAILER_SIGNATURE = "x-amz-trailer-signature"


class ChunkDecoder:
    """Takes encoded bytes, gives the content; `trailers` are there when `finish` returned."""

    def __init__(self, signer: ChunkSigner | None) -> None:
        self.trailers: dict[str, str] = {}
        self._signer = signer
        self._buffer = bytearray()
        self._left = 0  # bytes of the current chunk that are still to come
        self._state = "size"
        self._signature = ""
        self._sha256 = hashlib.sha256()
        self._trailer_lines: list[str] = []
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the content in the next encoded bytes."""
        self._buffer += data
        while self._buffer:
            if self._state == "data":
                yield self._take_data()
                if self._left == 0:
                    self._end_chunk()
                    self._state = "gap"
            elif self._state == "done":
                raise S3Error("IncompleteBody", "There are bytes after the last chunk")
            else:
                line = self._take_line()
                if line is None:
                    return
                self._take(line)

    def finish(self) -> None:
        """Say that the body is over; S3Error when its encoding is not."""
        if self._state == "trailer" and not self._buffer:
            self._end_trailers()  # some clients leave out the last, empty line
        if self._state != "done":
            raise S3Error("IncompleteBody", "The body ends before its last chunk")

    def _take(self, line: bytes) -> None:
        if self._state == "gap":
            if line:
                raise S3Error("IncompleteBody", "A chunk is longer than it says")
            self._state = "size"
        elif self._state == "size":
            self._begin_chunk(line)
        elif line:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > MAX_TRAILER_BYTES:
                raise S3Error("InvalidRequest", f"Trailing headers may have {MAX_TRAILER_BYTES} bytes")
            self._trailer_lines.append(line.decode("latin-1"))
        else:
            self._end_trailers()

    def _begin_chunk(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None or (self._signer is not None) != (found[2] is not None):
            raise S3Error("InvalidRequest", "A chunk must begin with its size in hex, and its signature if signed")
        self._left = int(found[1], 16)
        self._signature = (found[2] or b"").decode()
        self._sha256 = hashlib.sha256()
        if self._left:
            self._state = "data"
        else:
            self._end_chunk()
            self._state = "trailer"

    def _take_data(self) -> bytes:
        data = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(data)
        if self._signer is not None:
            self._sha256.update(data)
        return data

    def _end_chunk(self) -> None:
        if self._signer is not None:
            self._signer.check_chunk(self._sha256.hexdigest(), self._signature)

    def _end_trailers(self) -> None:
        for line in self._trailer_lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise S3Error("InvalidRequest", "A trailing header must be name:value")
            self.trailers[name.strip().lower()] = value.strip()
        given = self.trailers.pop(_TRAILER_SIGNATURE, None)
        if self._signer is not None and (self.trailers or given is not None):
            signed = "".join(f"{name}:{value}\n" for name, value in sorted(self.trailers.items()))
            self._signer.check_trailer(hashlib.sha256(signed.encode("latin-1")).hexdigest(), given or "")
        self._state = "done"

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, MAX_LINE_BYTES + 2)
        if end < 0:
            if len(self._buffer) > MAX_LINE_BYTES:
                raise S3Error("InvalidRequest", f"A line between chunks may have {MAX_LINE_BYTES} bytes")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line.rstrip(b"\n")
