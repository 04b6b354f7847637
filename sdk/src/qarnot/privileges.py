"""What a task or pool may do beyond running."""

from __future__ import annotations

from typing import Any


class Privileges:
    """Rights that are given to the instances."""

    def __init__(self, exportCredentialsInEnv: bool = False) -> None:
        self._exportApiAndStorageCredentialsInEnvironment = exportCredentialsInEnv

    @classmethod
    def from_json(cls, json: dict[str, bool]) -> Privileges:
        """Return the privileges that an answer names."""
        return cls(bool(json.get("exportApiAndStorageCredentialsInEnvironment")))

    def to_json(self) -> dict[str, Any]:
        """Return the privileges as they travel."""
        return {"exportApiAndStorageCredentialsInEnvironment": self._exportApiAndStorageCredentialsInEnvironment}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Privileges) and other.to_json() == self.to_json()

    def __hash__(self) -> int:
        return hash(self._exportApiAndStorageCredentialsInEnvironment)

    def __repr__(self) -> str:
        return f"Privileges({self._exportApiAndStorageCredentialsInEnvironment})"
