"""How long and how many: what a request may hold (contract: platform semantics, sections 1.4 and 3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from hearth.api.paths import RESERVED_WORDS
from hearth.domain.errors import Invalid
from hearth_client.messages.submissions import KeyValue

TEXT: Final = 2048
CONSTANTS: Final = 150
TAGS: Final = 10
TAG: Final = 511
BUCKETS: Final = 100
BUCKET_NAME: Final = 255
RANGES_TEXT: Final = 1 << 18
INSTANCE_NUMBER: Final = (1 << 31) - 1  # clients keep them in 32 bits
TASKS_PER_REQUEST: Final = 100_000
SECONDS: Final = (1 << 31) - 1

_KEY: Final = re.compile(r"[A-Za-z0-9_.-]+")
_SHORTNAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")


def text(field: str, value: str, most: int = TEXT) -> str:
    """Return the text; raise when it is too long or has characters that no place can hold."""
    if len(value) > most:
        raise Invalid(field, f"has {len(value)} characters, at most {most} are possible")
    if "\0" in value:
        raise Invalid(field, "may not have the character NUL in it")
    return value


def shortname(value: str) -> str:
    """Return the shortname; raise when it is none."""
    text("shortname", value, 255)
    if _SHORTNAME.fullmatch(value) is None:
        raise Invalid("shortname", f"'{value}' should be letters, digits and '-', with a letter or digit at both ends")
    if value.lower() in RESERVED_WORDS:
        raise Invalid("shortname", f"'{value}' is a word of the API; choose another")
    return value


def constants(field: str, pairs: Sequence[KeyValue]) -> dict[str, str]:
    """Return the pairs as a mapping of texts; raise when there are too many or one is not possible."""
    if len(pairs) > CONSTANTS:
        raise Invalid(field, f"there are {len(pairs)}, at most {CONSTANTS} are possible")
    result = {}
    for index, pair in enumerate(pairs):
        key, value = pair.key, pair.value
        if len(key) > TEXT or _KEY.fullmatch(key) is None:
            raise Invalid(
                f"{field}[{index}].key", f"'{key[:60]}' should be letters, digits, '_', '.' and '-', at most {TEXT}"
            )
        if type(value) is not str:
            if value is None:
                raise Invalid(f"{field}[{index}].value", f"may not be null (the key is '{key}')")
            value = as_text(value)
        if len(value) > TEXT or "\0" in value:
            text(f"{field}[{index}].value", value)
        result[key] = value
    return result


def as_text(value: str | float | bool) -> str:
    """Return a JSON scalar as it is written in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def tags(values: Sequence[str]) -> tuple[str, ...]:
    """Return the tags, each once; raise when there are too many or one is not possible."""
    distinct = tuple(dict.fromkeys(values))
    if len(distinct) > TAGS:
        raise Invalid("tags", f"there are {len(distinct)}, at most {TAGS} are possible")
    for index, tag in enumerate(distinct):
        if not tag:
            raise Invalid(f"tags[{index}]", "is empty")
        text(f"tags[{index}]", tag, TAG)
    return distinct


def bucket_name(field: str, name: str) -> str:
    """Return the name of a bucket; raise when no bucket can have it."""
    text(field, name, BUCKET_NAME)
    if not name or "/" in name or not name.isprintable():
        raise Invalid(field, f"'{name}' is not the name of a bucket")
    return name


def count(field: str, value: int | None, most: int = SECONDS) -> int | None:
    """Return a number that may not be negative; None and absent are the same."""
    if value is not None and not 0 <= value <= most:
        raise Invalid(field, f"{value} is not between 0 and {most}")
    return value
