"""Constants named `QARNOT_SECRET__...` are written, never read: what is shown instead, and what that stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hearth.domain.command import SECRET_PREFIX

SHOWN: Final = "[SECRET]"


def is_secret(key: str) -> bool:
    """Answer whether a constant's value may not be shown."""
    return key.startswith(SECRET_PREFIX)


def shown(key: str, value: str) -> str:
    """Return the value as anybody may see it."""
    return SHOWN if is_secret(key) else value


def kept(constants: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """Return constants where those that came back as they were shown have their values: clients send whole tasks."""
    return {
        key: before.get(key, value) if value == SHOWN and is_secret(key) else value for key, value in constants.items()
    }
