"""What the account has, and what was spent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth_client.http import url_path
from qarnot.budget import Budget
from qarnot.exceptions import MissingPoolException, MissingProjectException, MissingTaskException

if TYPE_CHECKING:
    from qarnot.connection import Connection


class Credits:
    """A sum of money."""

    def __init__(self, amount_in_euros: float) -> None:
        self.amount_in_euros = amount_in_euros
        """The sum in euros."""
        self.amount_in_cents = round(amount_in_euros * 100)
        """The sum in whole cents."""

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> Credits:
        """Return the sum that an answer names."""
        return cls(json.get("credits") or 0.0)

    def __repr__(self) -> str:
        return f"Credits({self.amount_in_euros} euros)"


class CreditsClient:
    """Asks the platform for sums and budgets."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get_pool_credits(self, pool_id: str) -> Credits:
        """Return what a pool has cost."""
        path = url_path("credits", "v1", "pools", pool_id, "credits")
        return Credits.from_json(self._connection._json("GET", path, special={404: MissingPoolException}))

    def get_task_credits(self, task_id: str) -> Credits:
        """Return what a task has cost."""
        path = url_path("credits", "v1", "tasks", task_id, "credits")
        return Credits.from_json(self._connection._json("GET", path, special={404: MissingTaskException}))

    def get_account_credits(self) -> Credits:
        """Return what the account has."""
        return Credits.from_json(self._connection._json("GET", "/credits/v1/accounts/credits"))

    def get_project_budgets(self, project_id: str, only_active: bool) -> list[Budget]:
        """Return the budgets of a project."""
        json = self._connection._json(
            "GET",
            url_path("credits", "v1", "projects", project_id, "budgets"),
            params={"activeOnly": str(only_active)},
            special={404: MissingProjectException},
        )
        return [Budget.from_json(item) for item in json.get("budgets") or []]
