"""One page of a long list."""

from __future__ import annotations

from typing import Any


class PaginateResponse:
    """A page that names the next one by a token."""

    def __init__(self, token: str | None, next_token: str | None, is_truncated: bool, page_data: list[Any]) -> None:
        self.token = token
        """The token this page was asked with."""
        self.next_token = next_token
        """The token of the next page, None after the last."""
        self.is_truncated = is_truncated
        """Are there more pages?"""
        self.page_data = page_data
        """What is on this page."""

    def __repr__(self) -> str:
        return f"PaginateResponse({len(self.page_data)} items, next_token={self.next_token!r})"


class OffsetResponse:
    """A page that is found by its offset."""

    def __init__(self, total: int, offset: int, limit: int, page_data: list[Any]) -> None:
        self.total = total
        """How many there are on all pages."""
        self.offset = offset
        """How many come before this page."""
        self.limit = limit
        """How many a page may hold."""
        self.page_data = page_data
        """What is on this page."""

    def __repr__(self) -> str:
        return f"OffsetResponse({len(self.page_data)} of {self.total} items from {self.offset})"
