"""Signed requests put straight to the gateway, without a socket."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from hearth.gateway.app import Gateway
from hearth.gateway.signature import Authorization, Credential, canonical_request, key_of, signature
from tests.integration.gateway.server import ALICE, ALICE_TOKEN


@dataclass(frozen=True)
class Heard:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error."""
        return self.body.decode().partition("<Code>")[2].partition("</Code>")[0]


def signed_headers(
    method: str,
    target: str,
    headers: Mapping[str, str],
    payload: str,
    *,
    access_key: str = ALICE,
    token: str = ALICE_TOKEN,
) -> dict[str, str]:
    """Return the headers, signed now."""
    path, _, query = target.partition("?")
    timestamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    signed = {
        "host": "storage.test",
        **{name.lower(): value for name, value in headers.items()},
        "x-amz-date": timestamp,
        "x-amz-content-sha256": payload,
    }
    parameters = [
        (unquote(name), unquote(value)) for name, _, value in (each.partition("=") for each in query.split("&")) if name
    ]
    credential = Credential(access_key, timestamp[:8], "eu-west-3", "s3")
    names = tuple(sorted(signed))
    authorization = Authorization(credential, names, "", timestamp, payload, None)
    canonical = canonical_request(method, path, parameters, signed, names, payload)
    given = signature(key_of(token, credential), authorization, canonical)
    return {
        **signed,
        "authorization": f"AWS4-HMAC-SHA256 Credential={access_key}/{credential.scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={given}",
    }


async def ask(
    gateway: Gateway,
    method: str,
    target: str,
    body: bytes | Sequence[bytes] = b"",
    headers: Mapping[str, str] | None = None,
    *,
    payload: str | None = None,
    **who: str,
) -> Heard:
    """Sign a request, put it, and return the answer."""
    chunks = [body] if isinstance(body, bytes) else list(body)
    payload = payload or hashlib.sha256(b"".join(chunks)).hexdigest()
    all_headers = {"content-length": str(sum(map(len, chunks))), **(headers or {})}
    return await put(gateway, method, target, chunks, signed_headers(method, target, all_headers, payload, **who))


async def put(gateway: Gateway, method: str, target: str, chunks: Sequence[bytes], headers: Mapping[str, str]) -> Heard:
    """Put a request as it is, and return the answer."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
    }
    coming = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    coming.append({"type": "http.request", "body": b"", "more_body": False})
    said: list[Any] = []

    async def receive() -> Any:
        if not coming:
            await asyncio.Event().wait()  # the client stays until it has its answer
        return coming.pop(0)

    async def send(message: Any) -> None:
        said.append(message)

    await gateway(scope, receive, send)
    answer = {name.decode(): value.decode("latin-1") for name, value in said[0]["headers"]}
    return Heard(said[0]["status"], answer, b"".join(each.get("body", b"") for each in said[1:]))
