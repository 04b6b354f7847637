"""What every call has at hand, and what it answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field

from hearth.control.blobs import BlobStore
from hearth.gateway.auth import Caller
from hearth.gateway.body import Body
from hearth.gateway.request import Request
from hearth.gateway.xml import document
from hearth.store.door import Store


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, headers, and a body: in hand, or `length` bytes that come from a stream."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | AsyncGenerator[bytes] = b""
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request whose caller is known."""

    request: Request
    caller: Caller
    body: Body
    store: Store
    blobs: BlobStore
    now: int
    token: Callable[[], str]

    @property
    def account_id(self) -> int:
        """Whose buckets it is about."""
        return self.caller.account_id


def xml_answer(name: str, *content: str | int, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a document as an answer."""
    return Answer(headers={"content-type": "application/xml", **(headers or {})}, body=document(name, *content))
