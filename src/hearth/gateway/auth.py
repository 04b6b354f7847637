"""Who is asking: the account whose token signed the request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from hearth.control.accounts import AccountSecret
from hearth.gateway.errors import S3Error
from hearth.gateway.request import Request
from hearth.gateway.signature import (
    Authorization,
    ChunkSigner,
    is_signed_by,
    key_of,
    read_authorization,
)

MAX_SKEW = timedelta(minutes=15)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Secrets(Protocol):
    """Where the gateway learns secrets."""

    async def of(self, access_key: str) -> Sequence[AccountSecret]:
        """Return every secret that may sign for the access key now; none when there is no such key."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, proven, and how the body is to be proven."""

    account_id: int
    email: str
    payload: str
    chunk_signer: ChunkSigner


async def authenticate(request: Request, secrets: Secrets, now: int) -> Caller:
    """Return who signed the request; S3Error when nobody did, or not rightly, or not now."""
    authorization = read_authorization(request)
    known = await secrets.of(authorization.credential.access_key)
    if not known:
        raise S3Error("InvalidAccessKeyId", "There is no such access key: use the account's e-mail address")
    _require_current(authorization, _EPOCH + timedelta(microseconds=now))
    for each in known:
        if is_signed_by(request, authorization, each.secret):
            signer = ChunkSigner(key_of(each.secret, authorization.credential), authorization)
            return Caller(each.account_id, each.account_email, authorization.payload, signer)
    raise S3Error("SignatureDoesNotMatch", "The signature is not that of the request with a token of this account")


def _require_current(authorization: Authorization, now: datetime) -> None:
    signed_at = authorization.signed_at
    if authorization.expires_seconds is None:
        if abs(now - signed_at) > MAX_SKEW:
            raise S3Error(
                "RequestTimeTooSkewed",
                "The request's time is more than 15 minutes from the server's",
                fields={"RequestTime": authorization.timestamp, "ServerTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")},
            )
        return
    if signed_at - now > MAX_SKEW:
        raise S3Error("AccessDenied", "The address is not valid yet")
    if now > signed_at + timedelta(seconds=authorization.expires_seconds):
        raise S3Error("AccessDenied", "The address has expired")
