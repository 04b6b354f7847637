"""The header `Idempotency-Key`: a request that makes something may be sent twice and is carried out once."""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import Final

from hearth.api.requests import ApiRequest
from hearth.control.once import Once
from hearth.domain.errors import Invalid

NAME: Final = "Idempotency-Key"
LONGEST: Final = 255

_KEY: Final = re.compile(r"[ -~]+")
# Digesting more than this takes longer than others should wait.
_LARGE: Final = 1 << 20


async def once_of(request: ApiRequest) -> Once | None:
    """Return the request as its key makes it known; None when it has no key."""
    key = request.headers.get(NAME)
    if key is None:
        return None
    if len(key) > LONGEST:
        raise Invalid(NAME, f"has {len(key)} characters, at most {LONGEST} are possible")
    if _KEY.fullmatch(key) is None:
        raise Invalid(NAME, "should be printable ASCII characters, a random uuid for example")
    body = await request.body()
    head = f"{request.method} {request.scope['path']}\n"
    if len(body) < _LARGE:
        return Once(key, _digest(head, body))
    return Once(key, await asyncio.to_thread(_digest, head, body))


def _digest(head: str, body: bytes) -> str:
    digest = hashlib.sha256(head.encode())
    digest.update(body)
    return digest.hexdigest()
