"""The layer around the routes: the form of paths, and who is calling. Nothing behind it is open by mistake."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, cast

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from hearth.api.paths import fold_path
from hearth.control.accounts import Account, Accounts
from hearth.control.viewers import Viewers
from hearth.domain.errors import NotAllowed
from hearth_client.messages.errors import Error, ErrorDetail

# All that can be asked without a token.
OPEN_PATHS: Final = frozenset({"/settings", "/versions", "/openapi.json"})

# Names the account that a viewer looks at.
READ_ONLY_HEADER: Final = "QarnotReadOnlyRequestForAccount"

# Where a request keeps how to ask again whether it may be answered.
_RIGHT: Final = "hearth.right"
_BAD_TOKEN: Final = "Bad authentication token"
_NO_TOKEN: Final = (
    "No authentication token: send yours in the header Authorization; of a local site it is in qarnot.conf"
)
_OTHER_ACCOUNT: Final = READ_ONLY_HEADER.lower().encode()


class Outer:
    """The ASGI application that servers see."""

    def __init__(self, inner: ASGIApp, accounts: Accounts, viewers: Viewers) -> None:
        self._inner = inner
        self._accounts = accounts
        self._viewers = viewers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._inner(scope, receive, send)
            return
        path = fold_path(scope["path"])
        inside: dict[str, Any] = {**scope, "path": path, "raw_path": path.encode(), "user": None, "auth": None}
        if path not in OPEN_PATHS:
            token, other = _credentials(scope["headers"])
            account = await self._accounts.by_token(token) if token else None
            if account is None:
                await _refuse(send, 401, _BAD_TOKEN if token else _NO_TOKEN)
                return
            inside["auth"] = account
            if other:
                try:
                    account = await self._seen_as(account, other, scope["method"], path)
                except NotAllowed as refusal:
                    await _refuse(send, refusal.status, refusal.message)
                    return
            inside["user"] = account
            inside[_RIGHT] = partial(self._still_holds, token, other, scope["method"], path, account.id)
        await self._inner(inside, receive, send)  # type: ignore[arg-type]

    async def _seen_as(self, caller: Account, named: str, method: str, path: str) -> Account:
        """Return the account that a request only looks at; raise when it would do more, or may not."""
        account = await self._viewers.seen_as(caller, named)
        if account.id != caller.id and not may_look(method, path):
            raise NotAllowed(f"{method} {path} is not possible for a viewer: {READ_ONLY_HEADER} only looks")
        return account

    async def _still_holds(self, token: str, other: str, method: str, path: str, account_id: int) -> bool:
        """Answer whether a request that was let in would be let in now."""
        account = await self._accounts.by_token(token)
        if account is not None and other:
            try:
                account = await self._seen_as(account, other, method, path)
            except NotAllowed:
                return False
        return account is not None and account.id == account_id


def may_look(method: str, path: str) -> bool:
    """Answer whether an operation only reads, so that it may be asked about another account."""
    if path.startswith("/secrets-manager/"):
        return False  # secrets are their account's alone
    return method.lower() in ("get", "head") or (
        method.lower() == "post" and path.rstrip("/").endswith(("/search", "/paginate"))
    )


def caller_of(scope: Scope) -> Account:
    """Return as whom a request is answered that is behind this layer."""
    return _known(scope["user"])


def asker_of(scope: Scope) -> Account:
    """Return whose token came with it: a viewer's, where another account is looked at."""
    return _known(scope["auth"])


def right_of(scope: Scope) -> Callable[[], Awaitable[bool]]:
    """Return how to ask whether the token, and the right to look, still hold: an answer may take hours."""
    holds: Callable[[], Awaitable[bool]] = cast(dict[str, Any], scope)[_RIGHT]
    return holds


def _known(account: object) -> Account:
    assert isinstance(account, Account), "this path is open: it has no caller"
    return account


def _credentials(headers: Any) -> tuple[str, str]:
    token = other = ""
    for name, value in headers:
        if name == b"authorization":
            token = value.decode("latin-1").strip()
            if token[:7].lower() == "bearer ":  # ours are sent bare, but tools insist on a scheme
                token = token[7:].strip()
        elif name == _OTHER_ACCOUNT:
            other = value.decode("latin-1").strip()
    return token, other


async def _refuse(send: Send, status: int, message: str) -> None:
    body = msgspec.json.encode(Error(message=message, error=ErrorDetail(message=message, code=status), data={}))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
