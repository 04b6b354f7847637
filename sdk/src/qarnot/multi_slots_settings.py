"""How many tasks share a node of a pool."""

from __future__ import annotations

from typing import Any


class MultiSlotsSettings:
    """Slots on each node of a pool."""

    def __init__(self, slotsPerNode: int | None = None) -> None:
        self._slotsPerNode = slotsPerNode

    @classmethod
    def from_json(cls, json: dict[str, int]) -> MultiSlotsSettings:
        """Return the settings that an answer names."""
        return cls(json.get("slotsPerNode"))

    def to_json(self) -> dict[str, Any]:
        """Return the settings as they travel."""
        return {"slotsPerNode": self._slotsPerNode}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MultiSlotsSettings) and other.to_json() == self.to_json()

    def __hash__(self) -> int:
        return hash(self._slotsPerNode)

    def __repr__(self) -> str:
        return f"MultiSlotsSettings({self._slotsPerNode})"
