"""Texts about a task, without the values of its secret constants.

Messages quote what users wrote: a command, an image, a filter, the last lines of stderr. A secret may be in any of
them, whole or cut short or in part. So every stretch of `STRETCH` characters that a secret has too is covered; of a
shorter secret, every place where it is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hearth.domain.command import SECRET_PREFIX, expand

COVER = "[SECRET]"
# Shorter stretches would be found in any text.
STRETCH = 6


def secrets_of(constants: Mapping[str, str]) -> list[str]:
    """Return the values that may not be seen, as they were given and as instances see them."""
    found: dict[str, None] = {}
    for key, value in constants.items():
        if key.startswith(SECRET_PREFIX) and value:
            found[value] = None
            found[expand(value, constants)] = None
    return list(found)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return the text with all that it tells of the secrets covered."""
    if not text:
        return text
    covered = bytearray(len(text))
    folded = _folded(text)
    for secret in secrets:
        if len(secret) <= STRETCH:
            _cover(covered, folded, _folded(secret))
            continue
        seen = _folded(secret)
        for begin in range(len(seen) - STRETCH + 1):
            _cover(covered, folded, seen[begin : begin + STRETCH])
        for word in secret.split():
            if 2 < len(word) < STRETCH:
                _cover(covered, folded, _folded(word))
    if not any(covered):
        return text
    shown: list[str] = []
    for index, char in enumerate(text):
        if not covered[index]:
            shown.append(char)
        elif not index or not covered[index - 1]:
            shown.append(COVER)
    return "".join(shown)


def _cover(covered: bytearray, text: str, piece: str) -> None:
    at = text.find(piece)
    while at >= 0:
        covered[at : at + len(piece)] = b"\1" * len(piece)
        at = text.find(piece, at + 1)


def _folded(text: str) -> str:
    """Return the text in lower case, as long as it was: engines change the case of images."""
    return "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
