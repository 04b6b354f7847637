"""A request as S3 sees it: which bucket and key, which parameters and headers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from hearth.gateway.errors import S3Error

MAX_KEY_BYTES = 1024
MAX_HEADER_BYTES = 64 * 1024
MAX_TARGET_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """One request without its body. `bucket` and `key` are empty where the path names none."""

    method: str
    path: str  # as it was sent
    bucket: str
    key: str
    parameters: tuple[tuple[str, str], ...]  # decoded, in the order that they were sent
    headers: Mapping[str, str]  # names in lower case; what came twice is joined with a comma
    request_id: str

    def parameter(self, name: str) -> str | None:
        """Return the first parameter of that name; one without a value is empty."""
        return next((value for each, value in self.parameters if each == name), None)

    def header(self, name: str) -> str | None:
        """Return a header, by its name in lower case."""
        return self.headers.get(name)


def read_request(scope: Mapping[str, Any], base_domain: str, request_id: str) -> Request:
    """Return the request that an ASGI scope describes; S3Error when it cannot be one."""
    raw_headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    headers: dict[str, str] = {}
    total = 0
    for raw_name, raw_value in raw_headers:
        total += len(raw_name) + len(raw_value)
        if total > MAX_HEADER_BYTES:
            raise S3Error("RequestHeaderSectionTooLarge", f"All headers together may have {MAX_HEADER_BYTES} bytes")
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    raw_path: bytes = scope["raw_path"]
    raw_query: bytes = scope["query_string"]
    if len(raw_path) + len(raw_query) > MAX_TARGET_BYTES:
        raise S3Error("InvalidURI", f"Path and query together may have {MAX_TARGET_BYTES} bytes")
    path = raw_path.decode("latin-1")
    bucket, key = _bucket_and_key(path, headers.get("host", ""), base_domain)
    return Request(
        method=scope["method"].upper(),
        path=path,
        bucket=bucket,
        key=key,
        parameters=tuple(_parameters(raw_query.decode("latin-1"))),
        headers=headers,
        request_id=request_id,
    )


def decoded(text: str, what: str) -> str:
    """Undo percent-encoding; S3Error when that gives no UTF-8."""
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode("utf-8")
    except UnicodeError:
        raise S3Error("InvalidURI", f"The {what} is not percent-encoded UTF-8") from None


def require_key(key: str) -> None:
    """Refuse what cannot be a key."""
    if "\x00" in key:
        raise S3Error("InvalidArgument", "A key cannot contain the character NUL")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise S3Error("KeyTooLongError", f"A key may have {MAX_KEY_BYTES} bytes")


def _bucket_and_key(path: str, host: str, base_domain: str) -> tuple[str, str]:
    name, _, port = host.rpartition(":") if host[-1:].isdigit() and ":" in host else (host, "", "")
    del port
    path = path.removeprefix("/")
    if base_domain and name.lower().endswith(f".{base_domain.lower()}"):
        bucket, key = name[: -len(base_domain) - 1], decoded(path, "path")
    else:
        raw_bucket, _, raw_key = path.partition("/")
        bucket, key = decoded(raw_bucket, "bucket"), decoded(raw_key, "key")
    require_key(key)
    return bucket, key


def _parameters(query: str) -> Iterable[tuple[str, str]]:
    for each in query.split("&"):
        if each:
            name, _, value = each.partition("=")
            yield decoded(name, "query"), decoded(value, f"query parameter {name}")
