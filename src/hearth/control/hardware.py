"""Hardware that tasks may ask for: the machines that there are, and what a site makes of names it does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import msgspec
from sqlalchemy import Connection

from hearth.domain.demand import NAMES_AN_IMAGE, Shape, shape_of, with_names
from hearth.domain.errors import HardwareRefused
from hearth.domain.hardware import GIBIBYTE, MEBIBYTE, Machine, has_key, is_model
from hearth.domain.profile import Profile
from hearth.domain.spec import TaskSpec
from hearth.settings import Settings
from hearth.store.door import Store
from hearth.store.queries import node_kinds
from hearth.wire.agent import Offer

REFUSE, WAIT, IGNORE = "refuse", "wait", "ignore"
_SECRET: Final = "QARNOT_SECRET__" + NAMES_AN_IMAGE


@lru_cache(maxsize=1 << 12)
def machine_of(offer: Offer) -> Machine:
    """Return what placement sees of an offer."""
    return Machine(
        cores=offer.cores,
        memory_bytes=offer.memory_bytes,
        cpu_model=offer.cpu_model,
        specification_key=offer.specification_key,
        has_ssd=offer.has_ssd,
        gpus=offer.gpus,
        takes_images=offer.takes_images,
    )


@lru_cache(maxsize=1 << 12)
def machine_in(offer: str) -> Machine:
    """Return what placement sees of a stored offer."""
    return machine_of(msgspec.json.decode(offer, type=Offer))


@dataclass(frozen=True, slots=True)
class HardwareRules:
    """What a site makes of specification keys, reserved keys and cpu models."""

    aliases: Mapping[str, str] = field(default_factory=dict)  # what is asked for: a key or model of ours; "": any
    unknown: str = WAIT

    @classmethod
    def of(cls, settings: Settings) -> HardwareRules:
        """Return the rules of a site."""
        aliases = {name.casefold(): ours for name, ours in settings.specification_aliases.items()}
        return cls(aliases, settings.unknown_hardware)

    def ours(self, name: str) -> str:
        """Return what this site calls it."""
        return self.aliases.get(name.casefold(), name)


NO_RULES = HardwareRules()


class Shaper:
    """Makes the shapes of the tasks of one submit; those that are alike are made once."""

    def __init__(self, connection: Connection, rules: HardwareRules) -> None:
        self._connection = connection
        self._rules = rules
        self._shapes: dict[tuple[object, ...], Shape] = {}
        self._machines: list[Machine] | None = None

    def shape(self, profile: Profile, spec: TaskSpec) -> Shape:
        """Return the shape of a task; `Invalid` or `HardwareRefused` when nothing could be it."""
        image = names_an_image(profile, spec)
        hardware = msgspec.json.encode(spec.hardware) if spec.hardware else b""
        key = (profile.name, image, hardware, spec.scheduling, spec.reserved_key)
        found = self._shapes.get(key)
        if found is None:
            found = self._shapes[key] = self._known(shape_of(profile, spec, needs_image=image))
        return found

    def _known(self, shape: Shape) -> Shape:
        hardware = shape.hardware
        if not (hardware.specifications or hardware.cpu_models or shape.reserved_key):
            return shape
        return with_names(
            shape,
            specifications=self._names("specification key", hardware.specifications, has_key),
            cpu_models=self._names("cpu model", hardware.cpu_models, lambda machine, m: is_model(machine.cpu_model, m)),
            reserved_key="".join(
                self._names("reserved machine key", [shape.reserved_key] if shape.reserved_key else [], has_key)
            ),
        )

    def _names(self, what: str, names: Iterable[str], is_of: Callable[[Machine, str], bool]) -> tuple[str, ...]:
        """Return the site's own words for what is asked for, less what it lets pass."""
        kept = []
        for name in names:
            ours = self._rules.ours(name)
            if not ours:
                continue
            machines = self._known_machines()
            if self._rules.unknown == WAIT or not machines or any(is_of(machine, ours) for machine in machines):
                kept.append(ours)
            elif self._rules.unknown == REFUSE:
                raise HardwareRefused(what, name)
        return tuple(sorted(set(kept)))

    def _known_machines(self) -> list[Machine]:
        """The machines of all nodes that were ever here. When there was none yet, nothing is unknown."""
        if self._machines is None:
            self._machines = [machine_in(offer) for offer in node_kinds.offers(self._connection)]
        return self._machines


def names_an_image(profile: Profile, spec: TaskSpec) -> bool:
    """Answer whether the task says which image it runs in."""
    forced = {str(c.get("constantName")): str(c.get("forcedValue") or "") for c in spec.forced_constants}
    for constants in (forced, spec.constants):
        for name in (_SECRET, NAMES_AN_IMAGE):
            if name in constants:
                return bool(constants[name])
    return bool(profile.defaults().get(NAMES_AN_IMAGE))


@dataclass(frozen=True, slots=True)
class Known:
    """What can be asked for so that some machine has it."""

    cores: list[int]
    memory_mb: list[float]
    ratios: list[float]  # GiB per core, rounded down
    keys: list[str]
    cpu_models: list[str]
    switches: list[str]


def constraints_of(machines: Iterable[Machine]) -> Known:
    """Return what these machines satisfy together."""
    machines = list(machines)
    switches = [
        name
        for name, holds in (
            ("Gpu", lambda m: m.gpus > 0),
            ("NoGpu", lambda m: m.gpus == 0),
            ("SSD", lambda m: m.has_ssd),
            ("NoSSD", lambda m: not m.has_ssd),
        )
        if any(holds(machine) for machine in machines)
    ]
    return Known(
        cores=sorted({int(machine.cores) for machine in machines}),
        memory_mb=sorted({float(machine.memory_bytes // MEBIBYTE) for machine in machines}),
        ratios=sorted({machine.memory_bytes * 1000 // (GIBIBYTE * machine.cores) / 1000 for machine in machines}),
        keys=sorted({machine.specification_key for machine in machines if machine.specification_key}),
        cpu_models=sorted({machine.cpu_model for machine in machines if machine.cpu_model}),
        switches=switches,
    )


async def machines_here(store: Store, now: int) -> list[Machine]:
    """Return the kinds of machines of the nodes whose leases are not over."""
    found = await store.read(node_kinds.kinds, now=now, heard_since=0)
    return list(dict.fromkeys(machine_in(kind.offer) for kind in found))
