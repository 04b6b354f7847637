"""The database of a site, and the accounts in it."""

from __future__ import annotations

import os
import time
import uuid

from hearth.app.process import now
from hearth.control.accounts import Accounts
from hearth.control.keys import load_or_create
from hearth.control.viewers import Viewers
from hearth.data_directory import DataDirectory, make_private
from hearth.settings import Settings
from hearth.store.door import Store, open_engine
from hearth.store.schema import upgrade


def new_uuid() -> str:
    """Return a uuid of version 7: it sorts by time, so that new rows lie beside each other."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(3 << 62) | 2 << 62
    return str(uuid.UUID(int=value))


def open_store(settings: Settings) -> Store:
    """Open the database of these settings, brought to the newest revision."""
    if not settings.database_url:
        make_private(settings.data)
    engine = open_engine(settings.sqlalchemy_url)
    upgrade(engine)
    return Store(engine)


def open_viewers(store: Store) -> Viewers:
    """Return who may look at whom."""
    return Viewers(store, now=now)


def open_accounts(store: Store, directory: DataDirectory) -> Accounts:
    """Return the accounts of a site."""
    return Accounts(store, load_or_create(directory.site_key), now=now, new_uuid=new_uuid)
