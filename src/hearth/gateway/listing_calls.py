"""Listings of what is in a bucket: two generations of ListObjects, and versions."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from sqlalchemy import Connection

from hearth.gateway.bucket_calls import bucket_of, owner
from hearth.gateway.call import Answer, Call, xml_answer
from hearth.gateway.conditions import iso_date
from hearth.gateway.errors import S3Error
from hearth.gateway.listing import MAX_KEYS, Listing, collect
from hearth.gateway.signature import encoded
from hearth.gateway.xml import Markup, element
from hearth.store.queries.objects import ObjectRow


async def list_v1(call: Call) -> Answer:
    """GET /bucket"""
    marker = call.request.parameter("marker") or ""
    page = await _page(call, marker)
    shown = key_encoding(call)
    more = [element("NextMarker", shown(page.last))] if page.is_truncated else []
    return xml_answer(
        "ListBucketResult",
        *_echo(call, shown),
        element("Marker", shown(marker)),
        *more,
        element("MaxKeys", _limit(call)),
        _truncated(page),
        *(_contents(row, shown, owner(call)) for row in page.objects),
        *_prefixes(page, shown),
    )


async def list_v2(call: Call) -> Answer:
    """GET /bucket?list-type=2"""
    token = call.request.parameter("continuation-token")
    start_after = call.request.parameter("start-after") or ""
    page = await _page(call, start_after if token is None else _from_token(token))
    shown = key_encoding(call)
    with_owner = [owner(call)] if call.request.parameter("fetch-owner") == "true" else []
    return xml_answer(
        "ListBucketResult",
        *_echo(call, shown),
        *([element("StartAfter", shown(start_after))] if start_after else []),
        *([element("ContinuationToken", token)] if token is not None else []),
        *([element("NextContinuationToken", _to_token(page.last))] if page.is_truncated else []),
        element("KeyCount", len(page)),
        element("MaxKeys", _limit(call)),
        _truncated(page),
        *(_contents(row, shown, *with_owner) for row in page.objects),
        *_prefixes(page, shown),
    )


async def list_versions(call: Call) -> Answer:
    """GET /bucket?versions: every object is its only version, called null."""
    marker = call.request.parameter("key-marker") or ""
    page = await _page(call, marker)
    shown = key_encoding(call)
    more = [element("NextKeyMarker", shown(page.last)), element("NextVersionIdMarker", "null")]
    version = (element("VersionId", "null"), element("IsLatest", "true"), owner(call))
    return xml_answer(
        "ListVersionsResult",
        *_echo(call, shown),
        element("KeyMarker", shown(marker)),
        element("VersionIdMarker", call.request.parameter("version-id-marker") or ""),
        *(more if page.is_truncated else []),
        element("MaxKeys", _limit(call)),
        _truncated(page),
        *(_contents(row, shown, *version, name="Version") for row in page.objects),
        *_prefixes(page, shown),
    )


def number(call: Call, name: str, default: int, most: int) -> int:
    """Return a parameter that is a number of 0 or more; what is over `most` becomes `most`."""
    text = call.request.parameter(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise S3Error("InvalidArgument", f"{name} must be a number of 0 or more")
    return min(int(text[:12]), most)


def key_encoding(call: Call) -> Callable[[str], str]:
    """Return how keys are to be written in this answer."""
    kind = call.request.parameter("encoding-type")
    if kind not in (None, "url"):
        raise S3Error("InvalidArgument", "encoding-type can only be url")
    return (lambda text: encoded(text, keep="/")) if kind else str


def _page_of(connection: Connection, call: Call, after: str, limit: int) -> Listing:
    prefix, delimiter = call.request.parameter("prefix") or "", call.request.parameter("delimiter") or ""
    return collect(connection, bucket_of(connection, call).id, prefix, delimiter, after, limit)


async def _page(call: Call, after: str) -> Listing:
    return await call.store.read(_page_of, call, after, _limit(call))


def _limit(call: Call) -> int:
    return number(call, "max-keys", MAX_KEYS, MAX_KEYS)


def _echo(call: Call, shown: Callable[[str], str]) -> list[Markup]:
    request = call.request
    echo = [element("Name", request.bucket), element("Prefix", shown(request.parameter("prefix") or ""))]
    if request.parameter("delimiter"):
        echo.append(element("Delimiter", shown(request.parameter("delimiter") or "")))
    if request.parameter("encoding-type"):
        echo.append(element("EncodingType", "url"))
    return echo


def _truncated(page: Listing) -> Markup:
    return element("IsTruncated", "true" if page.is_truncated else "false")


def _contents(row: ObjectRow, shown: Callable[[str], str], *more: Markup, name: str = "Contents") -> Markup:
    return element(
        name,
        element("Key", shown(row.key)),
        element("LastModified", iso_date(row.modified_at)),
        element("ETag", f'"{row.etag}"'),
        element("Size", row.size_bytes),
        element("StorageClass", "STANDARD"),
        *more,
    )


def _prefixes(page: Listing, shown: Callable[[str], str]) -> list[Markup]:
    return [element("CommonPrefixes", element("Prefix", shown(prefix))) for prefix in page.prefixes]


def _to_token(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _from_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise S3Error("InvalidArgument", "The continuation-token is not one that this server gave") from None
