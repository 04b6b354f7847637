"""What a node would take beyond what it has: cores and memory in use, a queue ahead, and pauses after faults."""

from __future__ import annotations

from collections import deque

from hearth.agent.attempt import Attempt
from hearth.wire import agent as wire

# The queue ahead holds what the node ends in this many seconds: enough to never wait for the server, and
# little enough that nothing waits long behind something slow.
AHEAD_SECONDS = 0.5
AHEAD_LIMIT = 256
# After a fault of its own a node takes nothing for so long, twice as long after each further one.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0


class Room:
    """The cores and the memory of one node, and who has them."""

    def __init__(self, offer: wire.Offer) -> None:
        self.offer = offer
        self.queued = 0
        self.told_ahead = 0
        self._queued_cores = 0.0
        self._queued_memory = 0
        self._used_cores = 0.0
        self._used_memory = 0
        self._ends: deque[float] = deque()
        self._pause_seconds = 0.0
        self._next_look: float | None = None  # when to see whether the fault is gone; None: there is none

    # Who has what ------------------------------------------------------------------------------------

    def enqueue(self, attempt: Attempt, step: int) -> None:
        """Count an attempt as queued (1), or no more (-1)."""
        self.queued += step
        self._queued_cores += step * attempt.cores
        self._queued_memory += step * attempt.memory_bytes

    def fits(self, attempt: Attempt) -> bool:
        """Answer whether an attempt may start now; what is larger than the node runs alone."""
        if self._used_cores > 0 and self._used_cores + attempt.cores > self.offer.cores + 1e-9:
            return False
        return not (self._used_memory > 0 and self._used_memory + attempt.memory_bytes > self.offer.memory_bytes)

    def use(self, attempt: Attempt) -> None:
        """Give an attempt its cores and memory."""
        self._used_cores += attempt.cores
        self._used_memory += attempt.memory_bytes

    def release(self, attempt: Attempt) -> None:
        """Take them back."""
        self._used_cores = max(0.0, self._used_cores - attempt.cores)
        self._used_memory = max(0, self._used_memory - attempt.memory_bytes)

    def tell(self, mono: float) -> wire.Room:
        """Return what the server may plan with."""
        ahead = self.told_ahead = self._ahead(mono)
        if self._next_look is not None:
            return wire.Room()
        cores = self.offer.cores - self._used_cores - self._queued_cores
        memory = self.offer.memory_bytes - self._used_memory - self._queued_memory
        return wire.Room(max(0.0, cores), max(0, memory), ahead)

    # How fast it goes --------------------------------------------------------------------------------

    def ended(self, mono: float) -> None:
        """Count an end."""
        self._ends.append(mono)

    def ends_now(self, mono: float) -> int:
        """Return how many ended in the last `AHEAD_SECONDS`."""
        while self._ends and self._ends[0] < mono - AHEAD_SECONDS:
            self._ends.popleft()
        return len(self._ends)

    def _ahead(self, mono: float) -> int:
        wanted = min(AHEAD_LIMIT, self.ends_now(mono))
        # Not for every few that ended: leases come in batches, and cost the server less.
        return wanted - self.queued if self.queued <= wanted * 3 // 4 else 0

    # Faults ------------------------------------------------------------------------------------------

    @property
    def is_faulty(self) -> bool:
        """Answer whether this node takes nothing because of a fault of its own."""
        return self._next_look is not None

    def fault(self, mono: float) -> None:
        """Take nothing for a while: this node cannot do its part. Faults of one batch count as one."""
        if self._next_look is None:
            self._lengthen(mono)

    def should_look(self, mono: float) -> bool:
        """Answer whether it is time to see if the fault is gone; `mended` or `still_faulty` must follow."""
        return self._next_look is not None and mono >= self._next_look

    def still_faulty(self, mono: float) -> None:
        """Go on with the pause."""
        self._lengthen(mono)

    def mended(self) -> None:
        """Take work again; the next pause is as long as before unless something has started by then."""
        self._next_look = None

    def worked(self) -> None:
        """Something started: whatever was wrong is over."""
        if self._next_look is None:
            self._pause_seconds = 0.0

    def _lengthen(self, mono: float) -> None:
        self._pause_seconds = min(LONGEST_PAUSE_SECONDS, 2 * self._pause_seconds or FIRST_PAUSE_SECONDS)
        self._next_look = mono + self._pause_seconds
