"""What all messages have in common."""

from __future__ import annotations

import msgspec


class Answer(msgspec.Struct, rename="camel", kw_only=True):
    """Something that the server says; a client ignores the fields that it does not know."""


class Request(msgspec.Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """Something that a client says; the server names the fields that it does not know."""


class Part(msgspec.Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """A piece of a request that is echoed in answers as it came."""
