"""Whether and how often an instance fits on a node now."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

TINY = 1e-9  # cores are floats; 3 * 0.1 must fit in 0.3


@dataclass(frozen=True, slots=True)
class NodeRoom:
    """What a node would take now.

    `ahead` is how many more it would queue although its cores are taken, because it ends many a second.
    Nothing larger than the whole node (`most_cores`, `most_memory`) fits, however many it would queue.
    """

    node_id: int
    cores: float
    memory_bytes: int
    ahead: int = 0
    takes_images: bool = True
    most_cores: float = math.inf
    most_memory: float = math.inf

    @property
    def is_open(self) -> bool:
        """Answer whether it would take anything at all."""
        return self.cores > TINY or self.ahead > 0

    def without(self, count: int, cores: float, memory_bytes: int) -> NodeRoom:
        """Return the room after `count` instances of this size were given to the node."""
        on_cores = min(count, _times(self.cores, cores))
        return replace(
            self,
            cores=max(0.0, self.cores - on_cores * cores),
            memory_bytes=self.memory_bytes - on_cores * memory_bytes,
            ahead=self.ahead - (count - on_cores),
        )


def fits_now(room: NodeRoom, cores: float, memory_bytes: int) -> int:
    """Return how many instances of this size the node would take."""
    if cores > room.most_cores + TINY or memory_bytes > room.most_memory:
        return 0
    times = _times(room.cores, cores)
    if memory_bytes > 0:
        times = min(times, max(0, room.memory_bytes) // memory_bytes)
    return times + room.ahead


def _times(have: float, each: float) -> int:
    return 1 << 30 if each <= 0 else int(have / each + TINY)
