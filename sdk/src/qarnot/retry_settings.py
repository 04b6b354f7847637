"""How often failed instances are run again."""

from __future__ import annotations

from typing import Any


class RetrySettings:
    """Limits to the retries of failed instances; None or 0 is no limit of that kind, both are no retry."""

    def __init__(self, maxTotalRetries: int | None = None, maxPerInstanceRetries: int | None = None) -> None:
        self._maxTotalRetries = maxTotalRetries
        self._maxPerInstanceRetries = maxPerInstanceRetries

    @classmethod
    def from_json(cls, json: dict[str, int]) -> RetrySettings:
        """Return the settings that an answer names."""
        return cls(json.get("maxTotalRetries"), json.get("maxPerInstanceRetries"))

    def to_json(self) -> dict[str, Any]:
        """Return the settings as they travel."""
        return {
            "maxTotalRetries": self._maxTotalRetries,
            "maxPerInstanceRetries": self._maxPerInstanceRetries,
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RetrySettings) and other.to_json() == self.to_json()

    def __hash__(self) -> int:
        return hash((self._maxTotalRetries, self._maxPerInstanceRetries))

    def __repr__(self) -> str:
        return f"RetrySettings({self._maxTotalRetries}, {self._maxPerInstanceRetries})"
