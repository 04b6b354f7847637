"""The headers that an object keeps, and gives back."""

from __future__ import annotations

from collections.abc import Mapping

from hearth.gateway.errors import S3Error
from hearth.gateway.request import Request

DEFAULT_TYPE = "binary/octet-stream"
MAX_METADATA_BYTES = 8 * 1024
_META = "x-amz-meta-"
_KEPT = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)


def kept_headers(request: Request) -> dict[str, str]:
    """Return the headers that the object of this request keeps."""
    kept = {name: request.headers[name] for name in _KEPT if name in request.headers}
    encodings = [word.strip() for word in kept.pop("content-encoding", "").split(",")]
    # aws-chunked is how the body travels, not what the object is.
    encoding = ", ".join(word for word in encodings if word and word.lower() != "aws-chunked")
    if encoding:
        kept["content-encoding"] = encoding
    kept.update({name: value for name, value in request.headers.items() if name.startswith(_META)})
    if sum(len(name) + len(value) for name, value in kept.items()) > MAX_METADATA_BYTES:
        raise S3Error("MetadataTooLarge", f"The headers that an object keeps may have {MAX_METADATA_BYTES} bytes")
    return kept


def shown_headers(kept: Mapping[str, str], request: Request) -> dict[str, str]:
    """Return an object's headers, as the request's response-* parameters change them."""
    shown = {"content-type": DEFAULT_TYPE, **kept}
    for name in _KEPT:
        wanted = request.parameter(f"response-{name}")
        if wanted is not None:
            if not (wanted.isprintable() and wanted.isascii()):
                raise S3Error("InvalidArgument", f"response-{name} must be printable ASCII")
            shown[name] = wanted
    return shown
