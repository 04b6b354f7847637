"""Constants of a profile that are set beyond what the profile allows."""

from __future__ import annotations

from enum import Enum
from typing import Any


class ForcedConstantAccess(Enum):
    """May the constant be changed later?"""

    ReadWrite = "ReadWrite"
    ReadOnly = "ReadOnly"


class ForcedConstant:
    """A value that replaces the one of the profile."""

    def __init__(
        self,
        forced_value: str,
        force_export_in_environment: bool | None = None,
        access: ForcedConstantAccess | None = None,
    ) -> None:
        self.forced_value = forced_value
        """The value."""
        self.force_export_in_environment = force_export_in_environment
        """Is it in the environment of the instances?"""
        self.access = access
        """May it be changed later?"""

    def to_json(self, name: str) -> dict[str, Any]:
        """Return the constant as it travels, under its name."""
        json: dict[str, Any] = {"constantName": name, "forcedValue": self.forced_value}
        if self.force_export_in_environment is not None:
            json["forceExportInEnvironment"] = self.force_export_in_environment
        if self.access is not None:
            json["access"] = self.access.value
        return json

    def __repr__(self) -> str:
        return f"ForcedConstant({self.forced_value!r})"
