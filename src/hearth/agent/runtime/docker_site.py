"""What all docker runs of one agent share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hearth.agent.runtime.base import Image, Refused, RunEvent
from hearth.agent.runtime.docker_engine import Engine, EngineFacts
from hearth.agent.runtime.docker_recovery import Recovery


class Prepares(Protocol):
    """Who can make an image present."""

    async def prepare(self, image: Image) -> Refused | None:
        """Make `image` present, or say why it cannot be."""
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """What all runs of one runtime share."""

    name: str
    engine: Engine
    facts: EngineFacts
    images: Prepares
    recovery: Recovery
    starting: asyncio.Semaphore
    network: str
    now: Callable[[], int]
    emit: Callable[[RunEvent], None]
