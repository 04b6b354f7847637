"""Why a task, or one of its instances, waits; and how long each reason lasted before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from hearth.control import find
from hearth.control.claim import SHAPES
from hearth.control.site import Site
from hearth.control.waits import Nodes, read_nodes
from hearth.domain.demand import Shape, unmet
from hearth.domain.errors import Missing
from hearth.domain.instance import InstanceState
from hearth.domain.ranges import RangeSet
from hearth.domain.task import TaskState
from hearth.scheduler.why import Code, Place, Reason, busy, given_back, staging
from hearth.store.queries import instances, queue, shapes, waits
from hearth.store.queries.instances import Stored
from hearth.store.queries.tasks import TaskRow
from hearth.store.queries.waits import Past

# Tasks that are counted to tell a place in the queue.
COUNTED = 10_000
# Instances that are looked at to tell which of them a node gave back.
RETURNS = 10_000


@dataclass(frozen=True, slots=True)
class Held:
    """A reason that holds now: which instances, and since when."""

    reason: Reason
    numbers: RangeSet
    since: int


@dataclass(frozen=True, slots=True)
class Answer:
    """All there is to say."""

    uuid: str
    state: str
    message: str
    reasons: list[Held]
    past: list[Past]


async def why(site: Site, account_id: int, ident: str, instance: int | None = None) -> Answer:
    """Return why a task waits, or one instance of it."""
    return await site.store.read(look, account_id, ident, instance, site.now(), site.settings.heartbeat_seconds)


def look(
    connection: Connection, account_id: int, ident: str, instance: int | None, now: int, heartbeat_seconds: float
) -> Answer:
    """Read it in one transaction."""
    task = find.task(connection, account_id, ident)
    live = {stored.instance.number: stored for stored in instances.live_of(connection, task.id)}
    waiting = RangeSet.parse(task.waiting)
    if instance is not None:
        if instance not in RangeSet.parse(task.numbers):
            raise Missing("instance", str(instance))
        waiting &= RangeSet.of([instance])
        live = {number: stored for number, stored in live.items() if number == instance}
    reasons: list[Held] = []
    if waiting:
        reasons += _waiting(connection, task, waiting, now, heartbeat_seconds)
    dispatched = [stored for stored in live.values() if stored.instance.state is InstanceState.DISPATCHED]
    if dispatched:
        reasons.append(_staging(dispatched, now))
    end = now if task.drained_at is None else task.drained_at
    past = waits.between(connection, task.shape_id, task.created_at, max(end, task.created_at))
    if instance is None:
        state, message = task.state, _of_task(task, reasons)
    else:
        state, message = _of_instance(connection, task, instance, live, reasons)
    return Answer(task.uuid, state, message, reasons, past)


def _waiting(
    connection: Connection, task: TaskRow, numbers: RangeSet, now: int, heartbeat_seconds: float
) -> list[Held]:
    shape = shapes.get(connection, task.shape_id)
    assert shape is not None
    nodes = read_nodes(connection, now, heartbeat_seconds)
    runs = task.dispatched_count + task.running_count + task.uploading_count + task.cancelling_count > 0
    reason = nodes.reason(shape, queue.share_of(connection, task.account_id), now, is_running=runs)
    found: list[Held] = []
    if reason.code is Code.NODES_BUSY:
        # Nodes that gave something back have a better reason than being busy.
        found = _given_back(connection, task, numbers)
        for held in found:
            numbers -= held.numbers
        if not numbers:
            return found
        place = _place(connection, task, shape, nodes)
        reason = busy(int(reason.numbers["nodes"]), place)
    since = waits.open_of(connection, task.shape_id)
    began = now if since is None or since.code != reason.code else max(since.since, task.created_at)
    return [Held(reason, numbers, began), *found]


def _given_back(connection: Connection, task: TaskRow, numbers: RangeSet) -> list[Held]:
    """Tell of waiting instances whose newest attempt a node gave back, in the words of the newest one."""
    if not task.requeued_count:
        return []
    returns = [one for one in instances.given_back(connection, task.id, RETURNS) if one[0] in numbers]
    if not returns:
        return []
    since = min(at for _, at, _ in returns)
    return [Held(given_back(len(returns), returns[0][2]), RangeSet.of(number for number, _, _ in returns), since)]


def _place(connection: Connection, task: TaskRow, shape: Shape, nodes: Nodes) -> Place:
    """Count the tasks before this one, of the shapes that nodes could run and whose accounts may have more."""
    higher: list[int] = []
    equal = [task.shape_id]
    found = queue.live(connection, after=0, limit=SHAPES)
    for one in found:
        runs = any(kind.heard and not unmet(one.shape, kind.machine) for kind in nodes.kinds)
        if one.shape_id == task.shape_id or not runs or one.share.more(one.shape.cores) <= 0:
            continue
        if one.shape.scheduling < shape.scheduling:
            higher.append(one.shape_id)
        elif one.shape.scheduling == shape.scheduling:
            equal.append(one.shape_id)
    ahead = queue.ahead(connection, higher, equal, task.priority, task.id, COUNTED)
    return Place(ahead, is_all=ahead < COUNTED and len(found) < SHAPES)


def _staging(dispatched: list[Stored], now: int) -> Held:
    given = [stored.instance for stored in dispatched]
    since = min((one.dispatched_at for one in given if one.dispatched_at is not None), default=now)
    numbers = RangeSet.of(one.number for one in given)
    return Held(staging(len(given), len({one.node_id for one in given})), numbers, since)


def _of_task(task: TaskRow, reasons: list[Held]) -> str:
    if TaskState(task.state).is_final:
        return f"it has ended: {task.state}"
    if reasons:
        return "; ".join(f"{held.reason.code}: {held.reason.message}" for held in reasons)
    counts: Mapping[str, int] = {
        "run": task.running_count,
        "upload their results": task.uploading_count,
        "are being cancelled": task.cancelling_count,
    }
    told = [f"{count} {what}" for what, count in counts.items() if count]
    return f"nothing of it waits; of its instances {', '.join(told)}"


_SAYS = {
    InstanceState.RUNNING: "it runs",
    InstanceState.UPLOADING: "it has run and uploads its results",
    InstanceState.CANCELLING: "it is being cancelled",
    InstanceState.SUCCEEDED: "it has ended: it succeeded",
    InstanceState.FAILED: "it has ended: it failed",
    InstanceState.CANCELLED: "it has ended: it was cancelled",
}


def _of_instance(
    connection: Connection, task: TaskRow, number: int, live: Mapping[int, Stored], reasons: list[Held]
) -> tuple[str, str]:
    if reasons:
        [held] = reasons
        state = InstanceState.DISPATCHED if held.reason.code is Code.STAGING else InstanceState.WAITING
        return _shown(state), f"{held.reason.code}: {held.reason.message}"
    stored = live.get(number)
    if stored is not None:
        state = stored.instance.state
    else:
        row = instances.get(connection, task.id, number)
        # One that was cancelled before any node touched it has no row.
        state = InstanceState.CANCELLED if row is None else InstanceState(row.state)
    return _shown(state), _SAYS[state]


def _shown(state: InstanceState) -> str:
    return state.name.capitalize()
