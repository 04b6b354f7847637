"""Requests that come twice under one key (Idempotency-Key) are carried out once, and answered the same.

What a request led to is written in the transaction that did it, so neither a crash nor a second copy that runs at
the same time can part the two. A long list is taken in slices, each a transaction with a row of its own: a copy of
a list that was cut short finds the slices which were done, and does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec
from sqlalchemy import Connection

from hearth.domain.errors import HearthError, KeyReused
from hearth.store.queries import accounts_counters, requests
from hearth.store.queries.requests import Remembered

HOUR = 3600 * 1_000_000
KEPT = 24 * HOUR
# Longer than a key counts: a request that found its key in time may take the difference.
SWEPT = 25 * HOUR
# Rows that one transaction forgets.
SLICE = 500

Outcome = str | HearthError  # the uuid of what was made, or why it was not


@dataclass(frozen=True, slots=True)
class Once:
    """The key of a request, and what the request is; of a list, the slice that is meant."""

    key: str
    digest: str
    slice: int = 0
    is_list: bool = False

    @property
    def row_key(self) -> str:
        """The key of its row. No client's key has a line feed in it."""
        return f"{self.key}\n{self.slice}" if self.slice else self.key


@dataclass(frozen=True, slots=True)
class Done:
    """What became of each thing that was to be made, and when the first of them was asked for."""

    outcomes: list[Outcome]
    began: int


def once(
    connection: Connection, account_id: int, request: Once | None, began: int, make: Callable[[], list[Outcome]]
) -> Done:
    """Return what `make` makes, or what it made when the same request came before; in the caller's transaction.

    `began` is when the request came; for the slices of a list after the first, what the first one answered.
    """
    if request is None:
        return Done(make(), began)
    accounts_counters.lock(connection, [account_id])  # of two copies one waits here until the other is written
    if (done := recall(connection, account_id, request, began)) is not None:
        return done
    outcomes = make()
    # A refusal changed nothing: the same request may be asked anew. A list was answered, whatever is in it.
    if request.is_list or not any(isinstance(outcome, HearthError) for outcome in outcomes):
        told = Remembered(request.digest, _encoded(outcomes), began)
        requests.put(connection, account_id, request.row_key, told)
    return Done(outcomes, began)


def recall(connection: Connection, account_id: int, request: Once, began: int) -> Done | None:
    """Return what the same request led to before; raise `KeyReused` when its key was another request's."""
    known = requests.find(connection, account_id, request.row_key)
    if known is None:
        return None
    # The slices of one list are remembered and forgotten together.
    counts = known.created_at == began if request.slice else began - known.created_at < KEPT
    if not counts:
        return None
    if known.digest != request.digest:
        raise KeyReused(request.key)
    return Done(_decoded(known.answer), known.created_at)


def nth_slice(request: Once | None, number: int) -> Once | None:
    """Return the request for a slice of its list."""
    return None if request is None else replace(request, slice=number, is_list=True)


def forget_old(connection: Connection, now: int) -> bool:
    """Forget some requests whose keys count no more; return whether there may be others."""
    return requests.forget_before(connection, now - SWEPT, SLICE) == SLICE


def _encoded(outcomes: Sequence[Outcome]) -> bytes:
    return msgspec.json.encode([o if isinstance(o, str) else (o.status, o.message) for o in outcomes])


def _decoded(answer: bytes) -> list[Outcome]:
    return [
        told if isinstance(told, str) else _refusal(*told)
        for told in msgspec.json.decode(answer, type=list[str | tuple[int, str]])
    ]


def _refusal(status: int, message: str) -> HearthError:
    refusal = HearthError(message)
    refusal.status = status
    return refusal
