"""Money that a project may spend."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from qarnot._times import read_date


class BudgetOverrunPolicy:
    """What happens when a budget is spent."""

    policy: str = ""

    @classmethod
    def from_string(cls, policy: str) -> BudgetOverrunPolicy | None:
        """Return the policy of this name, whatever its case; None when there is none."""
        for kind in (AlertOnlyPolicy, BlockNewPolicy, StopAndBlockAllPolicy):
            if kind.policy.lower() == str(policy).lower():
                return kind()
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BudgetOverrunPolicy) and other.policy == self.policy

    def __hash__(self) -> int:
        return hash(self.policy)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class AlertOnlyPolicy(BudgetOverrunPolicy):
    """Somebody is told."""

    policy = "AlertOnly"

    def __init__(self) -> None:
        pass


class BlockNewPolicy(BudgetOverrunPolicy):
    """Nothing new may start."""

    policy = "BlockNew"

    def __init__(self) -> None:
        pass


class StopAndBlockAllPolicy(BudgetOverrunPolicy):
    """What runs is stopped too."""

    policy = "StopAndBlockAll"

    def __init__(self) -> None:
        pass


class Budget:
    """A sum for a time."""

    def __init__(
        self,
        uuid: str,
        alias: str,
        consumed_in_cents: int,
        total_in_cents: int,
        remaining_in_cents: int,
        budget_overrun_policy: BudgetOverrunPolicy | None,
        start_date_utc: datetime | None,
        expiration_date_utc: datetime | None,
        is_archived: bool,
    ) -> None:
        self.uuid = uuid
        """Its id."""
        self.alias = alias
        """Its name."""
        self.consumed_in_cents = consumed_in_cents
        """What was spent."""
        self.total_in_cents = total_in_cents
        """The whole sum."""
        self.remaining_in_cents = remaining_in_cents
        """What is left."""
        self.budget_overrun_policy = budget_overrun_policy
        """What happens when it is spent."""
        self.start_date_utc = start_date_utc
        """When it begins."""
        self.expiration_date_utc = expiration_date_utc
        """When it ends."""
        self.is_archived = is_archived
        """Is it put away?"""

    @classmethod
    def from_json(cls, json_budget: dict[str, Any]) -> Budget:
        """Return the budget that an answer names."""
        policy = json_budget.get("budgetOverrunPolicy")
        return cls(
            json_budget["uuid"],
            json_budget.get("alias") or "",
            json_budget.get("consumedAmountInCents") or 0,
            json_budget.get("totalAmountInCents") or 0,
            json_budget.get("remainingAmountInCents") or 0,
            None if policy is None else BudgetOverrunPolicy.from_string(policy),
            read_date(json_budget.get("startDateUtc")),
            read_date(json_budget.get("expirationDateUtc")),
            bool(json_budget.get("isArchived")),
        )

    def __repr__(self) -> str:
        return f"Budget({self.alias!r}, {self.remaining_in_cents} of {self.total_in_cents} cents left)"
