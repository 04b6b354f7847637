"""When a failed request is sent again, and after which pause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

RETRIED_STATUSES: Final = frozenset({429, 500, 502, 503, 504})
LONGEST_PAUSE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Up to `count` more attempts, with pauses of `wait_seconds` times 1, 2, 4, 8, ..."""

    count: int = 5
    wait_seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"retry count is {self.count}, but must be 0 or more")
        if self.wait_seconds < 0:
            raise ValueError(f"retry wait is {self.wait_seconds} seconds, but must be 0 or more")

    def pauses(self) -> Iterator[float]:
        """Yield the pause before each further attempt."""
        for exponent in range(self.count):
            yield min(self.wait_seconds * 2**exponent, LONGEST_PAUSE_SECONDS)


def asked_pause(retry_after: str | None) -> float:
    """Return the seconds that a `Retry-After` header asks for, 0 where it gives no number."""
    if retry_after is None:
        return 0.0
    try:
        seconds = float(retry_after)
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), LONGEST_PAUSE_SECONDS)
