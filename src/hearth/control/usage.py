"""What attempts use now, as their nodes told this server last.

In memory only, and bounded by what nodes hold: an entry goes with the end of its attempt, with the first word of
its node that does not hold it any more, and with the lease of a node that is silent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hearth.wire.agent import Usage

Key = tuple[int, int, int]  # task, number, attempt


@dataclass(slots=True)
class _Node:
    boot: int
    heard_at: int
    newest: dict[Key, Usage] = field(default_factory=dict)


class Usages:
    """The newest measurement of each attempt that runs; safe to read from any thread."""

    def __init__(self) -> None:
        self._nodes: dict[int, _Node] = {}

    def __len__(self) -> int:
        return sum(len(node.newest) for node in self._nodes.values())

    def of(self, node_id: int | None, key: Key) -> Usage | None:
        """Return what a node told last of an attempt."""
        node = self._nodes.get(node_id) if node_id is not None else None
        return None if node is None else node.newest.get(key)

    def take(self, node_id: int, boot: int, usages: Iterable[Usage], ended: Iterable[Key], now: int) -> None:
        """Take what one report of a node measured, and drop what it ended."""
        node = self._nodes.get(node_id)
        if node is None or node.boot < boot:
            if not usages:
                return
            node = self._nodes[node_id] = _Node(boot, now)
        elif boot < node.boot:
            return
        node.heard_at = now
        node.newest.update(((usage.task, usage.number, usage.attempt), usage) for usage in usages)
        for key in ended:
            node.newest.pop(key, None)

    def knows(self, node_id: int) -> bool:
        """Answer whether there is anything of a node."""
        node = self._nodes.get(node_id)
        return node is not None and bool(node.newest)

    def keep(self, node_id: int, held: set[Key], now: int) -> None:
        """Drop what a node does not hold any more."""
        node = self._nodes.get(node_id)
        if node is not None:
            node.heard_at = now
            node.newest = {key: usage for key, usage in node.newest.items() if key in held}

    def forget_silent(self, before: int) -> None:
        """Drop the nodes that told nothing since then."""
        for node_id in [node_id for node_id, node in self._nodes.items() if node.heard_at < before]:
            del self._nodes[node_id]
