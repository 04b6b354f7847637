"""Tokens of pages: where the next page begins, signed, and good for the question that they came from."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from hearth.control.keys import SiteKeys
from hearth.domain.errors import Invalid
from hearth.store.queries.task_search import Order, Position

_SIGNATURE_BYTES: Final = 16


class _Content(msgspec.Struct, array_like=True):
    question: bytes
    id: int
    value: str | int | float | None
    seen: int


@dataclass(frozen=True, slots=True)
class Question:
    """What pages of one search have in common."""

    account_id: int
    filter: Mapping[str, Any] | None
    order: Order

    def digest(self) -> bytes:
        """Return what tells this question from others."""
        told = msgspec.json.encode(
            (self.account_id, self.filter or None, self.order.column, self.order.descending), order="sorted"
        )
        return hashlib.blake2b(told, digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Onward:
    """Where a page begins, and how many tasks the pages before it had."""

    after: Position
    seen: int


def write_token(keys: SiteKeys, question: Question, onward: Onward) -> str:
    """Return the token of the page that begins there."""
    content = msgspec.msgpack.encode(_Content(question.digest(), onward.after.id, onward.after.value, onward.seen))
    return base64.urlsafe_b64encode(keys.sign(content) + content).decode().rstrip("=")


def read_token(keys: SiteKeys, question: Question, text: str) -> Onward:
    """Return where the page begins; raise `Invalid` when the token is not ours, or of another question."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        packed = b""
    signature, content = packed[:_SIGNATURE_BYTES], packed[_SIGNATURE_BYTES:]
    if not content or not keys.signed(content, signature):
        raise Invalid("token", "is not the nextToken of a page")
    told = msgspec.msgpack.decode(content, type=_Content)
    if told.question != question.digest():
        raise Invalid(
            "token", "is of another question: send it with the filter, orderBy and orderType of the page before"
        )
    return Onward(Position(told.id, told.value), told.seen)
