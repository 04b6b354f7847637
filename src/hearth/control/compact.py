"""Bundle the output of tasks that have ended: many small rows become few large ones."""

from __future__ import annotations

from hearth.store.door import Store
from hearth.store.queries import output_compact

# Followers and fresh readers of a task that has just ended are still at its rows.
REST_MICROSECONDS = 60_000_000
# So many steps make a round; then other loops have their turn.
STEPS = 200


async def compact_output(store: Store, now: int) -> bool:
    """Do one round of steps, a transaction each; return whether there may be more."""
    for _ in range(STEPS):
        found = await store.read(output_compact.loose, now - REST_MICROSECONDS)
        if found is None:
            return False
        while await store.write(output_compact.step, *found):
            pass
    return True
