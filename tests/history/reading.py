"""Picks out of exchanges what the laws speak of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tests.history.evidence import Key
from tests.history.record import UUID, Exchange, TaskShown

_RUN = re.compile(r"\brun (\d+)\.(\d+)\.(\d+)\b")


def acknowledged(exchanges: Sequence[Exchange]) -> Iterator[tuple[Exchange, str]]:
    """Yield each task that a submission was told to have made, alone or in a list."""
    for exchange in exchanges:
        if exchange.method != "POST" or exchange.path != "/tasks" or not exchange.went_well:
            continue
        told = exchange.told if isinstance(exchange.told, list) else [exchange.told]
        for item in told:
            found = _made(item)
            if found:
                yield exchange, found


def _made(item: object) -> str:
    """Return the uuid that an item of an answer names as made."""
    if not isinstance(item, dict):
        return ""
    if item.get("statusCode", 200) >= 300:
        return ""
    found = UUID.search(str(item.get("uuid") or item.get("message") or ""))
    return found[0] if found else ""


def owners(exchanges: Sequence[Exchange]) -> dict[str, str]:
    """Return who submitted which task."""
    return {uuid: exchange.account for exchange, uuid in acknowledged(exchanges)}


def asked_to_delete(exchanges: Sequence[Exchange]) -> dict[str, int]:
    """Return when the deletion of each task was asked for first, answered or not."""
    asked: dict[str, int] = {}
    for exchange in exchanges:
        if exchange.method == "DELETE" and (found := UUID.search(exchange.path)):
            asked.setdefault(found[0], exchange.sent)
    return asked


def gets_of_tasks(exchanges: Sequence[Exchange]) -> dict[str, list[tuple[Exchange, TaskShown]]]:
    """Return what was shown of each task, in the order of asking."""
    views: dict[str, list[tuple[Exchange, TaskShown]]] = {}
    for exchange in sorted(exchanges, key=lambda each: each.sent):
        if isinstance(exchange.told, TaskShown) and exchange.heard is not None:
            views.setdefault(exchange.told.uuid, []).append((exchange, exchange.told))
    return views


def runs_named(text: str) -> list[Key]:
    """Return the attempts that a result file names as its makers: `run 12.0.3`."""
    return [(int(task), int(number), int(attempt)) for task, number, attempt in _RUN.findall(text)]
