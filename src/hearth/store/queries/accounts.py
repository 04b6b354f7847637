"""Rows of accounts, their tokens and projects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from hearth.domain.quota import Limits
from hearth.store.tables import accounts, instances, organizations, projects, tasks, tokens


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project that an account may use."""

    id: int
    uuid: str
    name: str
    slug: str
    description: str
    organization_uuid: str | None
    is_default: bool


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account as it was made; its counters are in `Use`."""

    id: int
    uuid: str
    email: str
    organization_id: int | None
    limits: Limits


@dataclass(frozen=True, slots=True)
class SealedToken:
    """A token that only the site's key opens, and whose it is."""

    account_id: int
    account_uuid: str
    email: str
    key_id: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Use:
    """What an account has now."""

    tasks: int
    active_tasks: int
    running_tasks: int
    live_instances: int
    live_cores: float
    buckets: int
    bucket_bytes: int
    live_by_class: dict[int, tuple[int, float]]  # scheduling class: instances and cores on nodes


Running = tuple[int, float]  # instances and cores on nodes


@dataclass(frozen=True, slots=True)
class OrganizationUse:
    """What the accounts of an organization run now, by scheduling class and e-mail."""

    name: str
    running: dict[int, dict[str, Running]]


_ACCOUNT = (accounts.c.id, accounts.c.uuid, accounts.c.email, accounts.c.organization_id, accounts.c.limits)


def _account(row: Sequence[object]) -> AccountRow:
    number, uuid, email, organization, limits = row
    assert isinstance(number, int) and isinstance(limits, str)
    return AccountRow(
        number,
        str(uuid),
        str(email),
        organization if isinstance(organization, int) else None,
        msgspec.json.decode(limits, type=Limits),
    )


def create(connection: Connection, *, uuid: str, email: str, limits: Limits, project_uuid: str, now: int) -> AccountRow:
    """Add an account with its default project."""
    key = connection.execute(
        insert(accounts).values(uuid=uuid, email=email, created_at=now, limits=msgspec.json.encode(limits).decode())
    ).inserted_primary_key
    assert key is not None
    connection.execute(
        insert(projects).values(
            account_id=key[0], uuid=project_uuid, name="Default", slug="default", is_default=1, created_at=now
        )
    )
    return AccountRow(key[0], uuid, email, None, limits)


def by_email(connection: Connection, email: str) -> AccountRow | None:
    """Return the account of this e-mail, in whatever case it is written."""
    row = connection.execute(select(*_ACCOUNT).where(accounts.c.email == email.lower())).first()
    return None if row is None else _account(row)


def by_name(connection: Connection, name: str) -> AccountRow | None:
    """Return the account of this e-mail or uuid, in whatever case it is written."""
    name = name.strip().lower()
    row = connection.execute(
        select(*_ACCOUNT).where((accounts.c.email if "@" in name else accounts.c.uuid) == name)
    ).first()
    return None if row is None else _account(row)


def set_limits(connection: Connection, account_id: int, limits: Limits) -> None:
    """Write what an account may have."""
    text = msgspec.json.encode(limits).decode()
    connection.execute(update(accounts).where(accounts.c.id == account_id).values(limits=text))


def every(connection: Connection) -> list[AccountRow]:
    """Return all accounts, oldest first."""
    return [_account(row) for row in connection.execute(select(*_ACCOUNT).order_by(accounts.c.id))]


def projects_of(connection: Connection, account: AccountRow) -> tuple[ProjectRow, ...]:
    """Return the projects of an account and of its organisation, the default one first."""
    theirs = projects.c.account_id == account.id
    if account.organization_id is not None:
        theirs = theirs | (projects.c.organization_id == account.organization_id)
    rows = connection.execute(
        select(
            projects.c.id,
            projects.c.uuid,
            projects.c.name,
            projects.c.slug,
            projects.c.description,
            organizations.c.uuid,
            projects.c.is_default,
        )
        .outerjoin(organizations, organizations.c.id == projects.c.organization_id)
        .where(theirs)
        .order_by(projects.c.is_default.desc(), projects.c.id)
    )
    return tuple(ProjectRow(*row[:6], bool(row[6])) for row in rows)


def add_token(
    connection: Connection, account_id: int, *, name: str, lookup: bytes, key_id: str, sealed: bytes, now: int
) -> None:
    """Add a token to an account."""
    connection.execute(
        insert(tokens).values(
            account_id=account_id, name=name, lookup=lookup, key_id=key_id, sealed=sealed, created_at=now
        )
    )


def by_token(connection: Connection, lookups: Sequence[bytes], now: int) -> AccountRow | None:
    """Return whose token is stored under one of these, if it still counts."""
    row = connection.execute(
        select(*_ACCOUNT)
        .join(tokens, tokens.c.account_id == accounts.c.id)
        .where(tokens.c.lookup.in_(lookups), *_counts(now))
    ).first()
    return None if row is None else _account(row)


def tokens_of(connection: Connection, email: str, now: int) -> list[SealedToken]:
    """Return the tokens of the account of this e-mail that still count, newest first."""
    rows = connection.execute(
        select(accounts.c.id, accounts.c.uuid, accounts.c.email, tokens.c.key_id, tokens.c.sealed)
        .join(tokens, tokens.c.account_id == accounts.c.id)
        .where(accounts.c.email == email.lower(), *_counts(now))
        .order_by(tokens.c.id.desc())
    )
    return [SealedToken(*row) for row in rows]


def revoke_token(connection: Connection, lookups: Sequence[bytes], now: int) -> bool:
    """End a token; return whether there was one that counted."""
    result = connection.execute(
        update(tokens).where(tokens.c.lookup.in_(lookups), tokens.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    return bool(result.rowcount)


def use(connection: Connection, account_id: int) -> Use:
    """Return what an account has now."""
    row = connection.execute(
        select(
            accounts.c.tasks,
            accounts.c.active_tasks,
            accounts.c.running_tasks,
            accounts.c.live_instances,
            accounts.c.live_cores,
            accounts.c.buckets,
            accounts.c.bucket_bytes,
        ).where(accounts.c.id == account_id)
    ).one()
    by_class: dict[int, tuple[int, float]] = {}
    if row.live_instances:
        live = connection.execute(
            select(tasks.c.scheduling, func.count(), func.sum(tasks.c.demand_cores))
            .select_from(instances)
            .join(tasks, tasks.c.id == instances.c.task_id)
            .where(instances.c.node_id.is_not(None), instances.c.account_id == account_id)
            .group_by(tasks.c.scheduling)
        )
        by_class = {scheduling: (count, float(cores or 0.0)) for scheduling, count, cores in live}
    return Use(*row, live_by_class=by_class)


def organization_use(connection: Connection, organization_id: int) -> OrganizationUse:
    """Return what the accounts of an organization run now."""
    name = connection.execute(select(organizations.c.name).where(organizations.c.id == organization_id)).scalar_one()
    live = connection.execute(
        select(tasks.c.scheduling, accounts.c.email, func.count(), func.sum(tasks.c.demand_cores))
        .select_from(instances)
        .join(tasks, tasks.c.id == instances.c.task_id)
        .join(accounts, accounts.c.id == instances.c.account_id)
        .where(instances.c.node_id.is_not(None), accounts.c.organization_id == organization_id)
        .group_by(tasks.c.scheduling, accounts.c.email)
    )
    running: dict[int, dict[str, Running]] = {}
    for scheduling, email, count, cores in live:
        running.setdefault(scheduling, {})[email] = (count, float(cores or 0.0))
    return OrganizationUse(name, running)


def _counts(now: int) -> tuple[ColumnElement[bool], ...]:
    return tokens.c.revoked_at.is_(None), tokens.c.expires_at.is_(None) | (tokens.c.expires_at > now)
