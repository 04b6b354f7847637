"""The shape of tokens: `hearth_`, 32 letters and digits, and 6 more that check them.

A mistyped or foreign token is told apart without any look-up, and scanners of leaked secrets can
recognise ours.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib

PREFIX = "hearth_"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BODY = 32
_CHECK = 6
_SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_BODY + _CHECK}}}")


def new_token() -> str:
    """Return a token that nobody can guess (190 bits)."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_BODY))
    return PREFIX + body + _checksum(body)


def is_well_formed(token: str) -> bool:
    """Answer whether this can be a token at all."""
    if _SHAPE.fullmatch(token) is None:
        return False
    body = token[len(PREFIX) : len(PREFIX) + _BODY]
    return token[-_CHECK:] == _checksum(body)


def _checksum(body: str) -> str:
    number = zlib.crc32((PREFIX + body).encode())
    digits = []
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
