"""What a request demands of the object that is there: conditions and ranges. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from hearth.gateway.errors import S3Error
from hearth.gateway.request import Request

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def http_date(microseconds: int) -> str:
    """Return a time as HTTP headers write it, to the second."""
    return format_datetime(datetime.fromtimestamp(microseconds // 1_000_000, UTC), usegmt=True)


def iso_date(microseconds: int) -> str:
    """Return a time as S3's XML writes it, to the millisecond."""
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{microseconds // 1000 % 1000:03d}Z"


def require_conditions(request: Request, etag: str, modified_at: int) -> None:
    """Refuse to read an object that is not as If-Match and its relatives demand."""
    headers = {name: value for name, value in request.headers.items() if name.startswith("if-")}
    if "if-match" in headers:
        if not _names(headers["if-match"], etag):
            raise _failed("If-Match")
    elif "if-unmodified-since" in headers and _is_later(modified_at, headers["if-unmodified-since"]):
        raise _failed("If-Unmodified-Since")
    not_modified = S3Error(
        "NotModified",
        "The object is as the client knows it",
        headers={"etag": f'"{etag}"', "last-modified": http_date(modified_at)},
    )
    if "if-none-match" in headers:
        if _names(headers["if-none-match"], etag):
            raise not_modified
    elif "if-modified-since" in headers and _is_later(modified_at, headers["if-modified-since"]) is False:
        raise not_modified


def require_copy_conditions(request: Request, etag: str, modified_at: int) -> None:
    """Refuse to copy an object that is not as x-amz-copy-source-if-match and its relatives demand."""
    prefix = "x-amz-copy-source-if-"
    headers = {name.removeprefix(prefix): value for name, value in request.headers.items() if name.startswith(prefix)}
    if "match" in headers:
        if not _names(headers["match"], etag):
            raise _failed(f"{prefix}match")
    elif "unmodified-since" in headers and _is_later(modified_at, headers["unmodified-since"]):
        raise _failed(f"{prefix}unmodified-since")
    if "none-match" in headers:
        if _names(headers["none-match"], etag):
            raise _failed(f"{prefix}none-match")
    elif "modified-since" in headers and _is_later(modified_at, headers["modified-since"]) is False:
        raise _failed(f"{prefix}modified-since")


def require_write_conditions(request: Request, etag: str | None) -> None:
    """Refuse to overwrite what is not as If-Match demands, or what If-None-Match says is not there."""
    wanted, unwanted = request.header("if-match"), request.header("if-none-match")
    if wanted is not None:
        if etag is None:
            raise S3Error("NoSuchKey", "If-Match: there is no object with this key", fields={"Key": request.key})
        if not _names(wanted, etag):
            raise _failed("If-Match")
    if unwanted is not None and etag is not None and _names(unwanted, etag):
        raise _failed("If-None-Match")


def requested_range(request: Request, size: int, etag: str, modified_at: int) -> tuple[int, int] | None:
    """Return (start, end before) of the one range that is asked for; None for the whole."""
    text = request.header("range")
    found = _RANGE.fullmatch(text.strip()) if text is not None else None
    if found is None or found[0] == "bytes=-":
        return None  # several ranges, or what nobody understands: HTTP lets us send all
    if_range = request.header("if-range")
    if if_range is not None and not _names(if_range, etag) and _is_later(modified_at, if_range) is not False:
        return None
    first, last = found[1], found[2]
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise S3Error(
            "InvalidRange",
            f"The range {text} is not in the object, which has {size} bytes",
            fields={"ActualObjectSize": str(size), "RangeRequested": text or ""},
            headers={"content-range": f"bytes */{size}"},
        )
    return start, end


def copied_range(text: str, size: int) -> tuple[int, int]:
    """Return (start, end before) of x-amz-copy-source-range, which must be inside."""
    found = re.fullmatch(r"bytes=(\d{1,18})-(\d{1,18})", text.strip())
    if found is None:
        raise S3Error("InvalidArgument", "x-amz-copy-source-range must be like bytes=0-9")
    start, end = int(found[1]), int(found[2]) + 1
    if not start < end <= size:
        raise S3Error("InvalidRange", f"The range {text} is not in the source, which has {size} bytes")
    return start, end


def _names(header: str, etag: str) -> bool:
    names = {name.strip().removeprefix("W/").strip('"') for name in header.split(",")}
    return "*" in names or etag in names


def _is_later(modified_at: int, date: str) -> bool | None:
    """Tell whether it changed after that date, to the second; None when that is no date."""
    try:
        return modified_at // 1_000_000 > parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _failed(what: str) -> S3Error:
    return S3Error("PreconditionFailed", "The object is not as demanded", fields={"Condition": what})
