"""What hardware tasks can ask for."""

from __future__ import annotations

from hearth_client.messages.base import Answer
from hearth_client.messages.submissions import HardwareConstraint


class HardwareConstraints(Answer):
    """`GET /hardware-constraints`: a page of the constraints that some node satisfies."""

    data: list[HardwareConstraint]
    offset: int
    limit: int
    total: int
