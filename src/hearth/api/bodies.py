"""Read the JSON of requests: quickly when it is spelled as declared, patiently when it is not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar

import msgspec

from hearth.api.shapes import Unknown, shape_of
from hearth.domain.errors import Invalid

T = TypeVar("T", bound=msgspec.Struct)

_MISMATCH: Final = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)`")
_ABSENT: Final = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")
_WORDS: Final = {
    "int": "a number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "nothing",
}
# Users put secrets there: what they wrote is not repeated.
_QUIET: Final = ("constants", "forcedConstants")
_TOLD: Final = 10


class BodyReader(Generic[T]):
    """Reads one kind of message."""

    def __init__(
        self,
        message: type[T],
        *,
        silent: frozenset[str] = frozenset(),
        may_be_empty: bool = False,
        may_be_null: bool = False,
    ) -> None:
        self.message = message
        self._decoder = msgspec.json.Decoder(message)
        self._shape = shape_of(message, silent)
        self._may_be_empty = may_be_empty
        self._may_be_null = may_be_null

    def read(self, body: bytes | msgspec.Raw, unknown: dict[Unknown, None]) -> T:
        """Return the message; raise `Invalid` naming the field that is wrong; note fields that are unknown."""
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError:
            pass  # perhaps only the spelling of a name
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if not body.strip() if isinstance(body, bytes) else False:
                return self._empty()
            raise not_json(error) from None
        told = loads(body)
        if told is None and self._may_be_null:
            return self.message()
        value = self._shape.fold(told, "", unknown)
        try:
            return msgspec.convert(value, self.message)
        except msgspec.ValidationError as error:
            raise _explained(str(error), value) from None

    def _empty(self) -> T:
        if self._may_be_empty:
            return self.message()
        raise Invalid("", "the body is empty; it should be JSON")


def loads(body: bytes | msgspec.Raw) -> Any:
    """Return what a JSON body says; raise `Invalid` when it is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None


def not_json(error: Exception) -> Invalid:
    """Return the refusal of a body that is no JSON."""
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return Invalid("", f"the body is not valid JSON: {reason}")


def warning(unknown: Iterable[Unknown]) -> str:
    """Return the `Warning` header that names fields which were ignored."""
    told = list(unknown)
    texts = [
        f"unknown field '{one.path}' was ignored" + (f"; did you mean '{one.nearest}'?" if one.nearest else "")
        for one in told[:_TOLD]
    ]
    if len(told) > _TOLD:
        texts.append(f"{len(told) - _TOLD} more unknown fields were ignored")
    return ", ".join(f'199 - "{_quotable(text)}"' for text in texts)


def _quotable(text: str) -> str:
    """Return text that may stand between quotes in a header."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in text[:300])
    return plain.replace("\\", "\\\\").replace('"', '\\"')


def _explained(message: str, value: Any) -> Invalid:
    """Say in the API's words what msgspec found wrong."""
    what, _, where = message.partition(" - at `$")
    path = where.rstrip("`")
    place = path.lstrip(".") or ""
    if absent := _ABSENT.search(what):
        return Invalid(f"{place}.{absent['name']}".lstrip("."), "is missing")
    mismatch = _MISMATCH.search(what)
    if mismatch is None:
        return Invalid(place, what[:1].lower() + what[1:])
    wanted = list(dict.fromkeys(_WORDS.get(name, name) for name in mismatch["wanted"].split(" | ") if name != "null"))
    got = _shown(path, value, mismatch["got"])
    return Invalid(place or "body", f"expected {' or '.join(wanted) or 'nothing'}, got {got}")


def _shown(path: str, value: Any, kind: str) -> str:
    for step in _STEP.finditer(path):
        try:
            value = value[step[1]] if step[1] is not None else value[int(step[2])]
        except (LookupError, TypeError):
            return _WORDS.get(kind, kind)
    if isinstance(value, dict | list) or path.lstrip(".").startswith(_QUIET):
        return _WORDS.get(kind, kind)
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:60]}..."
