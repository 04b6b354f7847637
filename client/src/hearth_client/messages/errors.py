"""How refusals travel: always an object with a `message`; the other shapes that clients know stand beside it."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from hearth_client.messages.base import Answer


class ErrorDetail(Answer):
    """The inner object of an answer 401."""

    message: str
    code: int


class Error(Answer):
    """Any refusal. `title`, `status` and `errors` are problem details (RFC 9457) of a request that is wrong."""

    message: str
    type: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    status: int | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    errors: dict[str, list[str]] | UnsetType = UNSET
    error: ErrorDetail | UnsetType = UNSET
    data: dict[str, Any] | UnsetType = UNSET
