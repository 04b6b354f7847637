"""What every command of one server shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hearth.control.accounts import Accounts
from hearth.control.blobs import BlobStore
from hearth.control.fleet import Fleet
from hearth.control.hub import Hub
from hearth.control.profiles import Profiles
from hearth.control.usage import Usages
from hearth.settings import Settings
from hearth.store.door import Store


@dataclass(slots=True)
class Site:
    """The parts of a running server; `app.py` makes it."""

    store: Store
    settings: Settings
    now: Callable[[], int]  # microseconds UTC
    new_uuid: Callable[[], str]
    accounts: Accounts
    profiles: Profiles
    blobs: BlobStore
    fleet: Fleet
    incarnation: str
    started_at: int
    api_url: str
    storage_url: str
    work_waits: Callable[[], None]  # tell the dispatcher that there may be something to place
    site_id: str = ""  # what the site is called in statistics
    usages: Usages = field(default_factory=Usages)
    hub: Hub = field(default_factory=Hub)
    # Show the operator what waits and will not go on by itself: sentences, and how many shapes each is true of.
    show_stuck: Callable[[Mapping[str, int]], None] = lambda stuck: None

    def __post_init__(self) -> None:
        self.store.on_commit = self.hub.heard
