"""Why instances of a shape wait: one code that stays, the numbers behind it, and a sentence for people. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from hearth.domain.demand import Shape, unmet
from hearth.domain.hardware import Machine, Mismatch, Need
from hearth.domain.quota import Share, tasks_left

SECOND: Final = 1_000_000
# How many names of machines a sentence lists.
NAMES_SHOWN: Final = 5


class Code(StrEnum):
    """Why something waits. Users' programs compare them: none is ever renamed."""

    NO_NODES = "NO_NODES"
    NODE_UNREACHABLE = "NODE_UNREACHABLE"
    NO_NODE_FITS = "NO_NODE_FITS"
    IMAGE_NEEDS_DOCKER = "IMAGE_NEEDS_DOCKER"
    QUOTA_INSTANCES = "QUOTA_INSTANCES"
    QUOTA_CORES = "QUOTA_CORES"
    QUOTA_TASKS = "QUOTA_TASKS"
    NODES_BUSY = "NODES_BUSY"
    STAGING = "STAGING"
    NODE_FAULT = "NODE_FAULT"
    WAITING_FOR_TASK = "WAITING_FOR_TASK"  # for tasks with dependencies
    POOL_FULL = "POOL_FULL"  # for tasks in pools


Numbers = Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, with the numbers in the sentence."""

    code: Code
    message: str
    numbers: Numbers = field(default_factory=dict)

    @property
    def needs_help(self) -> str:
        """What an operator should hear, in words that stay while the reason does; "" when it passes by itself."""
        match self.code:
            case Code.NO_NODES | Code.NODE_UNREACHABLE:
                return "no node that could run them is here"
            case Code.NO_NODE_FITS | Code.IMAGE_NEEDS_DOCKER:
                return self.message
            case Code.QUOTA_CORES if float(self.numbers["needed"]) > float(self.numbers["limit"]):
                return self.message
        return ""


@dataclass(frozen=True, slots=True)
class Kind:
    """The nodes of one kind of machine whose leases are not over: how many spoke lately, and how many are silent."""

    machine: Machine
    heard: int
    silent: int
    seen_at: int


@dataclass(frozen=True, slots=True)
class Place:
    """What comes before a task; `is_all` says that no more was left uncounted."""

    tasks: int
    is_all: bool


def reason(
    shape: Shape, kinds: Sequence[Kind], share: Share, *, is_running: bool, now: int, last_heard: int | None
) -> Reason:
    """Return why instances of this shape wait; when nothing speaks against them, other work has the nodes.

    `is_running` says that their task has others on nodes.
    """
    here = [kind for kind in kinds if kind.heard]
    if not here:
        return _nobody(kinds, now, last_heard)
    able = [kind for kind in here if not unmet(shape, kind.machine)]
    takes_images = any(kind.machine.takes_images for kind in here)
    usable = [kind for kind in able if kind.machine.takes_images or not (shape.needs_image and takes_images)]
    if not usable:
        silent = [kind for kind in kinds if kind.silent and not kind.heard and not unmet(shape, kind.machine)]
        if silent and not able:
            return _silent(silent, now, "that could run it")
        if able:
            return Reason(
                Code.IMAGE_NEEDS_DOCKER,
                "it names an image, and none of the nodes that take images could run it otherwise; "
                f"{_nodes(sum(kind.heard for kind in able))} without a container engine could",
                {"nodesWithoutImages": sum(kind.heard for kind in able)},
            )
        return _unfit(shape, [kind.machine for kind in here])
    if not is_running and not tasks_left(share.limits, share.running_tasks):
        return Reason(
            Code.QUOTA_TASKS,
            f"the account has {_count(share.running_tasks, 'task')} with instances on nodes, and may have "
            f"{share.limits.max_running_tasks} at once",
            {"limit": share.limits.max_running_tasks, "inUse": share.running_tasks},
        )
    if share.more(shape.cores) <= 0:
        return _quota(shape, share)
    return busy(sum(kind.heard for kind in usable))


def busy(nodes: int, place: Place | None = None) -> Reason:
    """Return that other work has the nodes, and how much comes first."""
    numbers: dict[str, float | str] = {"nodes": nodes}
    sentence = f"{_nodes(nodes)} could run it, and other instances have all the room"
    if place is not None:
        numbers |= {"place": place.tasks + 1, "tasksAhead": place.tasks}
        more = "" if place.is_all else "at least "
        sentence += (
            f"; {more}{_count(place.tasks, 'task')} ahead in the queue" if place.tasks else "; it is first in the queue"
        )
    return Reason(Code.NODES_BUSY, sentence, numbers)


def staging(instances: int, nodes: int) -> Reason:
    """Return that instances were given to nodes, which fetch what these need."""
    sentence = f"given to {_nodes(nodes)}: image and resources are fetched, or what was dispatched before begins first"
    return Reason(Code.STAGING, sentence, {"instances": instances, "nodes": nodes})


def given_back(instances: int, message: str) -> Reason:
    """Return that nodes took instances and gave them back before they began, and what the last one said."""
    sentence = f"a node gave it back before it began, at no cost, and it waits for a node again: {message}"
    return Reason(Code.NODE_FAULT, sentence, {"instances": instances})


def _nobody(kinds: Sequence[Kind], now: int, last_heard: int | None) -> Reason:
    if kinds:
        return _silent(kinds, now, "that there are")
    if last_heard is None:
        return Reason(Code.NO_NODES, "there is no node: start one with `hearth agent`")
    seconds = (now - last_heard) // SECOND
    sentence = f"there is no node, the last one was heard of {seconds} s ago: start one with `hearth agent`"
    return Reason(Code.NO_NODES, sentence, {"secondsSilent": seconds})


def _silent(kinds: Sequence[Kind], now: int, which: str) -> Reason:
    nodes = sum(kind.silent for kind in kinds)
    seconds = (now - max(kind.seen_at for kind in kinds)) // SECOND
    sentence = f"{_nodes(nodes)} {which} cannot be reached: not heard of for {seconds} s"
    return Reason(Code.NODE_UNREACHABLE, sentence, {"nodes": nodes, "secondsSilent": seconds})


def _quota(shape: Shape, share: Share) -> Reason:
    limits = share.limits
    if limits.max_instances and share.instances >= limits.max_instances:
        return Reason(
            Code.QUOTA_INSTANCES,
            f"the account has {_count(share.instances, 'instance')} on nodes, and may have {limits.max_instances} "
            "at once",
            {"limit": limits.max_instances, "inUse": share.instances},
        )
    numbers: Numbers = {"limit": limits.max_cores, "inUse": share.cores, "needed": shape.cores}
    if shape.cores > limits.max_cores:
        sentence = f"it needs {shape.cores:g} cores, more than the {limits.max_cores} that the account may ever have"
    else:
        sentence = (
            f"it needs {shape.cores:g} cores, and the account has {share.cores:g} in use of the {limits.max_cores} "
            "that it may have at once"
        )
    return Reason(Code.QUOTA_CORES, sentence, numbers)


def _unfit(shape: Shape, machines: Sequence[Machine]) -> Reason:
    """Name what no machine has; where each lacks something else, what the nearest one lacks."""
    missing = [unmet(shape, machine) for machine in machines]
    for need in Need:
        found = [miss for lacks in missing for miss in lacks if miss.need is need]
        if found and all(any(miss.need is need for miss in lacks) for lacks in missing):
            return _lacking(found)
    nearest = min(missing, key=len)
    sentence = "no node has all that it asks for; the nearest: " + ", and ".join(_sentence([miss]) for miss in nearest)
    return Reason(Code.NO_NODE_FITS, sentence, {"constraint": " ".join(miss.need for miss in nearest)})


def _lacking(found: Sequence[Mismatch]) -> Reason:
    numbers: dict[str, float | str] = {"constraint": found[0].need.value}
    if found[0].wanted != "":
        numbers["needed"] = found[0].wanted
    best = _BEST.get(found[0].need)
    if best is not None:
        numbers["best"] = best(miss.has for miss in found if isinstance(miss.has, float | int))
    return Reason(Code.NO_NODE_FITS, _sentence(found), numbers)


_BEST: Final[dict[Need, Callable[..., float]]] = {
    Need.CORES: max,
    Need.MEMORY: max,
    Need.MAXIMUM_CORES: min,
    Need.MAXIMUM_MEMORY: min,
    Need.MINIMUM_RATIO: max,
    Need.MAXIMUM_RATIO: min,
}
_NUMBERS: Final = {
    Need.CORES: "needs {wanted:g} cores, the largest node has {best:g}",
    Need.MEMORY: "needs {wanted:.0f} MB of memory, the largest node has {best:.0f}",
    Need.MAXIMUM_CORES: "wants a machine of {wanted:g} cores at most, the smallest has {best:g}",
    Need.MAXIMUM_MEMORY: "wants a machine of {wanted:.0f} MB at most, the smallest has {best:.0f}",
    Need.MINIMUM_RATIO: "wants {wanted:g} GB per core at least, the best machine has {best:g}",
    Need.MAXIMUM_RATIO: "wants {wanted:g} GB per core at most, the best machine has {best:g}",
}
_NAMES: Final = {
    Need.SPECIFICATION: "wants the specification key '{wanted}'; the nodes have {names}",
    Need.RESERVED_MACHINE: "wants the reserved machine '{wanted}'; the nodes have {names}",
    Need.CPU_MODEL: "wants the cpu model '{wanted}'; the nodes have {names}",
}
_PLAIN: Final = {
    Need.GPU: "wants a GPU, and no node has one",
    Need.NO_GPU: "wants a machine without a GPU, and all nodes have one",
    Need.SSD: "wants an SSD, and no node has one",
    Need.NO_SSD: "wants a machine without an SSD, and all nodes have one",
}


def _sentence(found: Sequence[Mismatch]) -> str:
    need, wanted = found[0].need, found[0].wanted
    if need in _NUMBERS:
        best = _BEST[need](miss.has for miss in found)
        return _NUMBERS[need].format(wanted=wanted, best=best)
    if need in _NAMES:
        names = sorted({f"'{miss.has}'" for miss in found if miss.has}) or ["none"]
        shown = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
        return _NAMES[need].format(wanted=wanted, names=shown)
    return _PLAIN[need]


def _nodes(count: int) -> str:
    return _count(count, "node")


def _count(count: int, what: str) -> str:
    return f"one {what}" if count == 1 else f"{count} {what}s"
