"""Questions for many objects, and the pages that answer them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from hearth_client.messages.base import Answer, Request

T = TypeVar("T")


class Select(Request):
    """Which fields of each object are wanted."""

    fields: list[str] | None = None


class SearchRequest(Request):
    """`POST /tasks/search`: the answer is a plain list."""

    select: Select | list[str] | None = None
    filter: dict[str, Any] | None = None  # see messages.filters
    maximum_results: int | None = None


class PageRequest(Request):
    """`POST .../paginate`: `token` is the `nextToken` of the page before."""

    token: str | None = None
    filter: dict[str, Any] | None = None
    maximum_results: int | None = None
    order_by: str | None = None
    order_type: str | None = None


class Page(msgspec.Struct, Generic[T], rename="camel", kw_only=True):
    """One page; `total` is exact where an index or a counter gives it, else the number known so far."""

    data: list[T]
    count: int
    total: int
    is_truncated: bool
    next_token: str | None
    token: str | None


class Listing(Answer):
    """The fields of a page around its data, for data that is encoded already."""

    data: msgspec.Raw
    count: int
    total: int
    is_truncated: bool
    next_token: str | None
    token: str | None
