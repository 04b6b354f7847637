"""Signature version 4, as arithmetic: what was signed, with which key, and whether the signature fits."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote

from hearth.gateway.errors import S3Error
from hearth.gateway.request import Request, decoded

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
MAX_EXPIRES = 7 * 24 * 3600

_SPACES = re.compile(" +")
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Credential:
    """Whose key signed, on which day, for which region and service."""

    access_key: str
    date: str
    region: str
    service: str

    @property
    def scope(self) -> str:
        """The part that is signed."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a request says about its signature; `expires_seconds` only in presigned addresses."""

    credential: Credential
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    payload: str  # the body's SHA-256 in hex, or a word for how the body is signed
    expires_seconds: int | None

    @property
    def signed_at(self) -> datetime:
        """When it was signed, as the client says."""
        return datetime.strptime(self.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def read_authorization(request: Request) -> Authorization:
    """Return what the request says; S3Error when it says nothing, or nothing that can be understood."""
    if request.parameter("X-Amz-Algorithm") is not None or request.parameter("X-Amz-Signature") is not None:
        found = _from_query(request)
    else:
        found = _from_header(request)
    if "host" not in found.signed_headers:
        raise S3Error("AccessDenied", "The header host must be signed")
    if found.credential.date != found.timestamp[:8]:
        raise S3Error(
            "AuthorizationHeaderMalformed",
            f"The credential is of {found.credential.date!r}, the request of {found.timestamp!r}: use one day",
        )
    if found.credential.service != "s3":
        raise S3Error("AuthorizationHeaderMalformed", "The credential's service must be s3")
    return found


def is_signed_by(request: Request, authorization: Authorization, secret: str) -> bool:
    """Tell whether the signature is that of the secret."""
    key = key_of(secret, authorization.credential)
    return any(
        hmac.compare_digest(
            signature(key, authorization, canonical).encode(), authorization.signature.encode("utf-8", "replace")
        )
        for canonical in _canonical_requests(request, authorization)
    )


def key_of(secret: str, credential: Credential) -> bytes:
    """Return the key that signs with this secret on that day, for that region."""
    return _signing_key(secret, credential.date, credential.region, credential.service)


def signature(key: bytes, authorization: Authorization, canonical: str) -> str:
    """Return the signature of a canonical request."""
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    return _hmac_hex(key, (ALGORITHM, authorization.timestamp, authorization.credential.scope, digest))


def canonical_request(
    method: str,
    path: str,
    parameters: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    signed_headers: Sequence[str],
    payload: str,
) -> str:
    """Return the text that a signature is over; `path` is encoded already."""
    query = "&".join(
        f"{name}={value}" for name, value in sorted((encoded(name), encoded(value)) for name, value in parameters)
    )
    lines = [f"{name}:{_SPACES.sub(' ', headers.get(name, '')).strip()}" for name in signed_headers]
    return "\n".join([method, path, query, *lines, "", ";".join(signed_headers), payload])


def encoded(text: str, *, keep: str = "") -> str:
    """Percent-encode all but letters, digits, `-._~` and what is to be kept."""
    return quote(text, safe=f"-._~{keep}")


class ChunkSigner:
    """Checks the signatures of a body's chunks, each of which covers the one before."""

    def __init__(self, key: bytes, authorization: Authorization) -> None:
        self._key = key
        self._timestamp = authorization.timestamp
        self._scope = authorization.credential.scope
        self._previous = authorization.signature

    def check_chunk(self, sha256_hex: str, given: str) -> None:
        """Refuse a chunk whose signature does not fit."""
        words = (f"{ALGORITHM}-PAYLOAD", self._timestamp, self._scope, self._previous, _EMPTY_SHA256, sha256_hex)
        self._check(words, given, "a chunk")

    def check_trailer(self, sha256_hex: str, given: str) -> None:
        """Refuse trailing headers whose signature does not fit."""
        words = (f"{ALGORITHM}-TRAILER", self._timestamp, self._scope, self._previous, sha256_hex)
        self._check(words, given, "the trailing headers")

    def _check(self, words: Sequence[str], given: str, what: str) -> None:
        right = _hmac_hex(self._key, words)
        if not hmac.compare_digest(right.encode(), given.encode("utf-8", "replace")):
            raise S3Error("SignatureDoesNotMatch", f"The signature of {what} does not fit its bytes")
        self._previous = right


def _from_header(request: Request) -> Authorization:
    value = request.header("authorization")
    if value is None:
        raise S3Error("AccessDenied", "The request is not signed; sign it with AWS4-HMAC-SHA256")
    scheme, _, rest = value.strip().partition(" ")
    if scheme != ALGORITHM:
        raise S3Error("InvalidRequest", f"Signatures of the kind {scheme[:40]!r} are not accepted; use {ALGORITHM}")
    fields: dict[str, str] = {}
    for each in rest.split(","):
        name, equals, content = each.strip().partition("=")
        if not equals or name in fields:
            raise S3Error("AuthorizationHeaderMalformed", "Authorization must be a list of Name=value")
        fields[name] = content
    try:
        credential, signed, given = fields["Credential"], fields["SignedHeaders"], fields["Signature"]
    except KeyError as missing:
        raise S3Error("AuthorizationHeaderMalformed", f"Authorization lacks {missing.args[0]}") from None
    payload = request.header("x-amz-content-sha256")
    if payload is None:
        raise S3Error("MissingSecurityHeader", "The header x-amz-content-sha256 is missing")
    signed_headers = tuple(signed.split(";"))
    unsigned = [name for name in request.headers if name.startswith("x-amz-") and name not in signed_headers]
    if unsigned:
        raise S3Error("AccessDenied", f"These headers must be signed: {', '.join(unsigned)}")
    return Authorization(
        credential=_credential(credential, "AuthorizationHeaderMalformed"),
        signed_headers=signed_headers,
        signature=given,
        timestamp=_timestamp(request.header("x-amz-date"), request.header("date")),
        payload=payload,
        expires_seconds=None,
    )


def _from_query(request: Request) -> Authorization:
    code = "AuthorizationQueryParametersError"

    def required(name: str) -> str:
        value = request.parameter(name)
        if value is None:
            raise S3Error(code, f"The query parameter {name} is missing")
        return value

    if required("X-Amz-Algorithm") != ALGORITHM:
        raise S3Error(code, f"X-Amz-Algorithm must be {ALGORITHM}")
    expires = required("X-Amz-Expires")
    if not (expires.isascii() and expires.isdigit() and len(expires) < 8 and 0 < int(expires) <= MAX_EXPIRES):
        raise S3Error(code, f"X-Amz-Expires must be a number of seconds from 1 to {MAX_EXPIRES}")
    payload = request.parameter("X-Amz-Content-Sha256") or request.header("x-amz-content-sha256") or UNSIGNED
    return Authorization(
        credential=_credential(required("X-Amz-Credential"), code),
        signed_headers=tuple(required("X-Amz-SignedHeaders").split(";")),
        signature=required("X-Amz-Signature"),
        timestamp=_timestamp(required("X-Amz-Date"), None),
        payload=payload,
        expires_seconds=int(expires),
    )


def _credential(text: str, code: str) -> Credential:
    parts = text.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not parts[0]:
        raise S3Error(code, "The credential must be KEY/DATE/REGION/s3/aws4_request")
    return Credential(decoded(parts[0], "access key"), parts[1], parts[2], parts[3])


def _timestamp(amz_date: str | None, date: str | None) -> str:
    try:
        if amz_date is not None:
            datetime.strptime(amz_date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            return amz_date
        if date is not None:
            return parsedate_to_datetime(date).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, OverflowError):
        pass
    raise S3Error("AccessDenied", "The request needs its date in x-amz-date, like 20130524T000000Z")


def _canonical_requests(request: Request, authorization: Authorization) -> Iterable[str]:
    """Yield what may have been signed: the path as we would write it, and as the client did."""
    parameters = [each for each in request.parameters if each[0] != "X-Amz-Signature"]
    ours = encoded(decoded(request.path, "path"), keep="/")
    for path in dict.fromkeys((ours, request.path)):
        yield canonical_request(
            request.method,
            path,
            parameters,
            request.headers,
            authorization.signed_headers,
            authorization.payload,
        )


@lru_cache(maxsize=4096)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for word in (date, region, service, "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key


def _hmac_hex(key: bytes, lines: Sequence[str]) -> str:
    return hmac.digest(key, "\n".join(lines).encode(), "sha256").hex()
