"""Whether and how often an instance fits on a node now."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hearth.domain.demand import Shape, unmet
from hearth.domain.hardware import TINY, Machine

ANY_MACHINE = Machine()


@dataclass(frozen=True, slots=True)
class NodeRoom:
    """What a node would take now.

    `ahead` is how many more it would queue although its cores are taken, because it ends many a second.
    Nothing that the empty machine could not run fits, however many it would queue. Where no node of the site takes
    images, all of them take the tasks that name one, and say what they make of that.
    """

    node_id: int
    cores: float
    memory_bytes: int
    ahead: int = 0
    takes_images: bool = True
    machine: Machine = ANY_MACHINE

    @property
    def is_open(self) -> bool:
        """Answer whether it would take anything at all."""
        return self.cores > TINY or self.ahead > 0

    def at_once(self, cores: float, memory_bytes: int) -> int:
        """Return how many instances of this size would run at once."""
        times = _times(self.cores, cores)
        return times if memory_bytes <= 0 else min(times, max(0, self.memory_bytes) // memory_bytes)

    def without(self, count: int, cores: float, memory_bytes: int) -> NodeRoom:
        """Return the room after `count` instances of this size were given to the node."""
        on_cores = min(count, self.at_once(cores, memory_bytes))
        return replace(
            self,
            cores=max(0.0, self.cores - on_cores * cores),
            memory_bytes=self.memory_bytes - on_cores * memory_bytes,
            ahead=self.ahead - (count - on_cores),
        )


def fits_now(room: NodeRoom, shape: Shape) -> int:
    """Return how many instances of this shape the node would take."""
    if (shape.needs_image and not room.takes_images) or unmet(shape, room.machine):
        return 0
    return room.at_once(shape.cores, shape.memory_bytes) + room.ahead


def _times(have: float, each: float) -> int:
    return 1 << 30 if each <= 0 else int(have / each + TINY)
