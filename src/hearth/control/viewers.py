"""Accounts that may look at what is another account's, and never touch it."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from hearth.control.accounts import BELIEVED_MICROSECONDS, CACHE_LIMIT, Account, account_of
from hearth.domain.errors import Invalid, Missing, NotAllowed
from hearth.store.door import Store
from hearth.store.queries import accounts, viewers
from hearth.store.queries.accounts import AccountRow


class Viewers:
    """Who may look at whom. Answers are kept for a second, as those about tokens are."""

    def __init__(self, store: Store, *, now: Callable[[], int]) -> None:
        self._store = store
        self._now = now
        self._seen: dict[tuple[int, str], tuple[int, Account | None]] = {}

    async def seen_as(self, viewer: Account, named: str) -> Account:
        """Return the account of this e-mail or uuid; raise when the viewer may not look at it, or there is none."""
        name = named.strip().lower()
        if name in (viewer.email, viewer.uuid):
            return viewer
        key, now = (viewer.id, name[:300]), self._now()
        known = self._seen.get(key)
        if known is None or abs(now - known[0]) >= BELIEVED_MICROSECONDS:
            if len(self._seen) >= CACHE_LIMIT:
                self._seen.clear()
            known = self._seen[key] = (now, await self._store.read(_owner, viewer.id, name))
        if known[1] is None:
            # The same words for an account that does not exist: nobody learns which do.
            raise NotAllowed(f"{viewer.email} may not look at the account '{named.strip()[:300]}'")
        return known[1]

    async def allow(self, owner: str, viewer: str) -> None:
        """Let the account of one e-mail look at another's."""
        await self._store.write(_allow, owner, viewer, self._now())
        self._seen.clear()

    async def revoke(self, owner: str, viewer: str) -> bool:
        """End that; return whether it was allowed."""
        ended = await self._store.write(_revoke, owner, viewer)
        self._seen.clear()
        return ended

    async def of(self, owner: str) -> list[str]:
        """Return the e-mails of those who may look at the account of this e-mail."""
        return await self._store.read(_viewers_of, owner)


def _owner(connection: Connection, viewer_id: int, named: str) -> Account | None:
    row = viewers.owner(connection, viewer_id, named)
    return None if row is None else account_of(connection, row)


def _allow(connection: Connection, owner: str, viewer: str, now: int) -> None:
    theirs, looking = _named(connection, owner), _named(connection, viewer)
    if theirs.id == looking.id:
        raise Invalid("viewer", f"{looking.email} sees its own account anyway; name another one")
    viewers.allow(connection, theirs.id, looking.id, now)


def _revoke(connection: Connection, owner: str, viewer: str) -> bool:
    return viewers.revoke(connection, _named(connection, owner).id, _named(connection, viewer).id)


def _viewers_of(connection: Connection, owner: str) -> list[str]:
    return viewers.viewers_of(connection, _named(connection, owner).id)


def _named(connection: Connection, name: str) -> AccountRow:
    row = accounts.by_name(connection, name)
    if row is None:
        raise Missing("account", name)
    return row
