"""`hearth account create`: one more account, while the server runs or not."""

from __future__ import annotations

import sys

from hearth.app.store import open_accounts, open_store
from hearth.data_directory import open_directory
from hearth.settings import Settings


async def create(settings: Settings, email: str) -> int:
    """Make the account and print its token: nothing else goes to stdout."""
    is_new = not (settings.data / "FORMAT").exists()
    directory = open_directory(settings.data)
    if is_new:
        print(f"hearth: {settings.data} was no data directory and has been made", file=sys.stderr)
    store = open_store(settings)
    try:
        _, token = await open_accounts(store, directory).create_account(email)
    finally:
        store.close()
    print(token)
    return 0
