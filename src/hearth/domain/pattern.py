"""Regular expressions of users, matched by RE2: time grows with the text alone, memory is bounded.

What cannot be matched so (references to groups, looking ahead or behind) is refused with a sentence.
"""

from __future__ import annotations

import re
from typing import Final

import re2

LENGTH_LIMIT: Final = 1000
# A wide one has states that are made while it searches: memory for them, and with it time, is bounded.
MEMORY_LIMIT: Final = 2 << 20

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = MEMORY_LIMIT
# Letters and signs that stand for themselves, by themselves or after a backslash.
_PLAIN: Final = re.compile(r"(?:[^\\^$.|?*+()\[\]{}]|\\[^A-Za-z0-9])*")


class PatternRefused(ValueError):
    """This is no regular expression, or none of the kind that is possible; the message says what."""


class Pattern:
    """A pattern, searched for anywhere in a text unless it says `^` or `$`."""

    def __init__(self, text: str) -> None:
        if len(text) > LENGTH_LIMIT:
            raise PatternRefused(f"has {len(text)} characters, at most {LENGTH_LIMIT} are possible")
        try:
            self._expression = re2.compile(text, _OPTIONS)
        except re2.error as error:
            raise PatternRefused(f"is no regular expression that is possible here: {_reason(error)}") from None
        self.text = text
        self.work = 0  # how many characters were searched so far
        # Every text that matches begins with `prefix`; with `is_prefix`, every one that begins so matches.
        self.prefix, self.is_prefix = _prefix(text)
        # It matches when this is somewhere in the text; None: it is not that simple.
        self.literal = _unescaped(text) if _PLAIN.fullmatch(text) else None

    def search(self, text: str) -> bool:
        """Answer whether the pattern is in the text."""
        self.work += len(text) + 1
        return self._expression.search(text) is not None


def _reason(error: re2.error) -> str:
    told = error.args[0]
    return told.decode(errors="replace") if isinstance(told, bytes) else str(told)


def _prefix(text: str) -> tuple[str, bool]:
    if not text.startswith("^") or "|" in text:
        return "", False
    found = _PLAIN.match(text, 1)
    assert found is not None
    plain, rest = found[0], text[found.end() :]
    if rest[:1] in ("?", "*", "{") and rest:
        plain = re.sub(r"\\?.\Z", "", plain, flags=re.DOTALL)  # the last character may be absent
        return _unescaped(plain), False
    return _unescaped(plain), bool(plain) and rest in ("", ".*")


def _unescaped(plain: str) -> str:
    return re.sub(r"\\(.)", r"\1", plain, flags=re.DOTALL)
