"""Which keys and common prefixes a page of a listing has: one algorithm for all kinds of listings."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from hearth.store.queries import objects
from hearth.store.queries.objects import ObjectRow, after_prefix

MAX_KEYS = 1000
_FEW = 64


@dataclass(slots=True)
class Listing:
    """A page: objects and common prefixes, `last` the greater end of both."""

    objects: list[ObjectRow] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    last: str = ""
    is_truncated: bool = False

    def __len__(self) -> int:
        return len(self.objects) + len(self.prefixes)


def collect(connection: Connection, bucket_id: int, prefix: str, delimiter: str, after: str, limit: int) -> Listing:
    """Return up to `limit` entries greater than `after`; keys with the delimiter after the prefix roll up.

    Of a common prefix only a few rows are read: the next read begins behind it.
    """
    page = Listing()
    if limit == 0:
        return page
    since = ""
    if after and after == _common_prefix(after, prefix, delimiter):
        behind = after_prefix(after)
        if behind is None:
            return page
        since, after = behind, ""
    batch = min(limit + 1, _FEW) if delimiter else limit + 1
    while True:
        rows = objects.page(connection, bucket_id, prefix, after, batch, since=since)
        for row in rows:
            common = _common_prefix(row.key, prefix, delimiter)
            if common is not None and page.prefixes[-1:] == [common]:
                continue
            if len(page) == limit:
                page.is_truncated = True
                return page
            if common is not None:
                page.prefixes.append(common)
            else:
                page.objects.append(row)
            page.last = common or row.key
        if len(rows) < batch:
            return page
        common = _common_prefix(rows[-1].key, prefix, delimiter)
        behind = after_prefix(common) if common is not None else None
        if common is None:
            since, after, batch = "", rows[-1].key, min(batch * 2, MAX_KEYS + 1)
        elif behind is None:
            return page
        else:
            since, after, batch = behind, "", _FEW


def _common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """Return what `key` rolls up to, the delimiter included; None when it stands for itself."""
    if not delimiter or not key.startswith(prefix):
        return None
    at = key.find(delimiter, len(prefix))
    return None if at < 0 else key[: at + len(delimiter)]
