"""Accounts and their tokens: make them, and tell who is calling."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from sqlalchemy import Connection

from hearth.control.keys import Sealed, SiteKeys
from hearth.control.tokens import is_well_formed, new_token
from hearth.domain.errors import Conflict, Invalid, Missing
from hearth.domain.quota import Limits
from hearth.store.door import Store
from hearth.store.queries import accounts as rows
from hearth.store.queries.accounts import AccountRow, OrganizationUse, ProjectRow, Use

# How long an answer of the database is believed: a token revoked elsewhere ends after this.
BELIEVED_MICROSECONDS = 1_000_000
# Entries of each cache; beyond that it is emptied, which costs one read per caller.
CACHE_LIMIT = 10_000

_EMAIL = re.compile(r"[^\s@/:,\"'\\]+@[^\s@/:,\"'\\]+")


@dataclass(frozen=True, slots=True)
class Account:
    """Who calls, and what they may have."""

    id: int
    uuid: str
    email: str
    limits: Limits
    projects: tuple[ProjectRow, ...] = ()
    organization_id: int | None = None

    @property
    def default_project(self) -> ProjectRow | None:
        """The project of work that names none."""
        return self.projects[0] if self.projects else None


@dataclass(frozen=True, slots=True)
class AccountSecret:
    """A secret that signs storage requests of an account; its access key is the e-mail."""

    account_id: int
    secret: str
    account_email: str

    def __repr__(self) -> str:
        return f"AccountSecret({self.account_id}, {self.account_email!r})"


class Accounts:
    """The accounts of one site. Answers are kept for a second, and forgotten when this process changes them."""

    def __init__(self, store: Store, keys: SiteKeys, *, now: Callable[[], int], new_uuid: Callable[[], str]) -> None:
        self._store = store
        self._keys = keys
        self._now = now
        self._new_uuid = new_uuid
        self._by_token: dict[bytes, tuple[int, Account | None]] = {}
        self._by_access_key: dict[str, tuple[int, tuple[AccountSecret, ...]]] = {}

    @property
    def keys(self) -> SiteKeys:
        """The keys of the site."""
        return self._keys

    async def create_account(self, email: str, limits: Limits | None = None) -> tuple[Account, str]:
        """Make an account with its default project; return it and its first token."""
        email = email.strip().lower()
        if _EMAIL.fullmatch(email) is None or len(email) > 254:
            raise Invalid("email", f"'{email}' is not an e-mail address")
        token = new_token()
        account = await self._store.write(self._create, email, limits or Limits(), token)
        self.forget()
        return account, token

    def _create(self, connection: Connection, email: str, limits: Limits, token: str) -> Account:
        if rows.by_email(connection, email) is not None:
            raise Conflict(f"email: there is an account of {email} already")
        now = self._now()
        row = rows.create(
            connection, uuid=self._new_uuid(), email=email, limits=limits, project_uuid=self._new_uuid(), now=now
        )
        self._add_token(connection, row, token, "first", now)
        return account_of(connection, row)

    async def create_token(self, email: str, name: str = "") -> str:
        """Add a token to the account of this e-mail and return it; it is shown only now."""
        token = new_token()
        await self._store.write(self._create_token, email, name, token)
        self.forget()
        return token

    def _create_token(self, connection: Connection, email: str, name: str, token: str) -> None:
        row = rows.by_email(connection, email)
        if row is None:
            raise Missing("account", email)
        self._add_token(connection, row, token, name, self._now())

    def _add_token(self, connection: Connection, row: AccountRow, token: str, name: str, now: int) -> None:
        sealed = self._keys.seal(token, row.uuid)
        rows.add_token(
            connection,
            row.id,
            name=name,
            lookup=self._keys.lookup(token),
            key_id=sealed.key_id,
            sealed=sealed.data,
            now=now,
        )

    async def revoke(self, token: str) -> bool:
        """End a token; return whether there was one. Other processes know it within a second."""
        ended = await self._store.write(rows.revoke_token, self._keys.lookups(token), self._now())
        self.forget()
        return ended

    async def by_token(self, token: str) -> Account | None:
        """Return whose token this is; None when it is nobody's."""
        if not is_well_formed(token):
            return None
        key = self._keys.lookup(token)
        now = self._now()
        known = self._by_token.get(key)
        # The distance, not the difference: a clock that was set back must not keep a token alive.
        if known is not None and abs(now - known[0]) < BELIEVED_MICROSECONDS:
            return known[1]
        account = await self._store.read(_by_token, self._keys.lookups(token), now)
        if len(self._by_token) >= CACHE_LIMIT:
            self._by_token.clear()
        self._by_token[key] = (now, account)
        return account

    async def of(self, access_key: str) -> Sequence[AccountSecret]:
        """Return the secrets that may sign for an access key (the account's e-mail): one per token."""
        email = access_key.lower()
        now = self._now()
        known = self._by_access_key.get(email)
        if known is not None and abs(now - known[0]) < BELIEVED_MICROSECONDS:
            return known[1]
        sealed = await self._store.read(rows.tokens_of, email, now)
        found = tuple(
            AccountSecret(row.account_id, self._keys.open(Sealed(row.key_id, row.sealed), row.account_uuid), row.email)
            for row in sealed
        )
        if len(self._by_access_key) >= CACHE_LIMIT:
            self._by_access_key.clear()
        self._by_access_key[email] = (now, found)
        return found

    async def by_email(self, email: str) -> Account | None:
        """Return the account of an e-mail."""
        return await self._store.read(_by_email, email)

    async def change_limits(self, name: str, changes: Mapping[str, int]) -> Account:
        """Change some limits of the account of this e-mail; return it as it is now."""
        account = await self._store.write(_change_limits, name, changes)
        self.forget()
        return account

    async def use(self, account: Account) -> Use:
        """Return what an account has now."""
        return await self._store.read(rows.use, account.id)

    async def organization_use(self, account: Account) -> OrganizationUse | None:
        """Return what the accounts of an account's organization run now; None when it belongs to none."""
        if account.organization_id is None:
            return None
        return await self._store.read(rows.organization_use, account.organization_id)

    def forget(self) -> None:
        """Ask the database again about everybody."""
        self._by_token.clear()
        self._by_access_key.clear()


def account_of(connection: Connection, row: AccountRow) -> Account:
    """Return an account with its projects."""
    return Account(row.id, row.uuid, row.email, row.limits, rows.projects_of(connection, row), row.organization_id)


def _change_limits(connection: Connection, name: str, changes: Mapping[str, int]) -> Account:
    row = rows.by_name(connection, name)
    if row is None:
        raise Missing("account", name)
    names = [field.name for field in fields(Limits)]
    for limit, value in changes.items():
        if limit not in names:
            raise Invalid(limit, f"is no limit; the limits are {', '.join(names)}")
        if value < 0:
            raise Invalid(limit, f"{value} is below 0; 0 stands for no limit")
    limits = replace(row.limits, **changes)
    rows.set_limits(connection, row.id, limits)
    return account_of(connection, replace(row, limits=limits))


def _by_token(connection: Connection, lookups: Sequence[bytes], now: int) -> Account | None:
    row = rows.by_token(connection, lookups, now)
    return None if row is None else account_of(connection, row)


def _by_email(connection: Connection, email: str) -> Account | None:
    row = rows.by_email(connection, email)
    return None if row is None else account_of(connection, row)
