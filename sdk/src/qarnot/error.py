"""An error that a task or pool met."""

from __future__ import annotations

from typing import Any


class Error:
    """One error of a task, pool or instance."""

    def __init__(self, json: dict[str, Any]) -> None:
        self.code: str | None = json.get("code")
        """A short code that names the kind of error."""
        self.message: str | None = json.get("message")
        """What went wrong, for people."""
        self.debug: str | None = json.get("debug")
        """More detail, where there is any."""

    def __repr__(self) -> str:
        return f"{self.code} : {self.message}" + (f" ({self.debug})" if self.debug else "")
