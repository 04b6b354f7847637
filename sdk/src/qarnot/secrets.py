"""Secrets, and which of them a task may read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from qarnot.exceptions import SecretConflictException, SecretNotFoundException

if TYPE_CHECKING:
    from qarnot.connection import Connection


class SecretAccessRightBySecret:
    """The right to read one secret."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretAccessRightBySecret) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def to_json(self) -> dict[str, str]:
        """Return the right as it travels."""
        return {"key": self._key}

    def __repr__(self) -> str:
        return f"SecretAccessRightBySecret({self._key!r})"


class SecretAccessRightByPrefix:
    """The right to read all secrets whose key begins with a prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretAccessRightByPrefix) and other._prefix == self._prefix

    def __hash__(self) -> int:
        return hash(self._prefix)

    def to_json(self) -> dict[str, str]:
        """Return the right as it travels."""
        return {"prefix": self._prefix}

    def __repr__(self) -> str:
        return f"SecretAccessRightByPrefix({self._prefix!r})"


class SecretsAccessRights:
    """All secrets that a task or pool may read."""

    def __init__(
        self,
        by_secret: list[SecretAccessRightBySecret] | None = None,
        by_prefix: list[SecretAccessRightByPrefix] | None = None,
    ) -> None:
        self._by_secret = list(by_secret or [])
        self._by_prefix = list(by_prefix or [])

    def to_json(self) -> dict[str, Any]:
        """Return the rights as they travel."""
        return {
            "bySecret": [right.to_json() for right in self._by_secret],
            "byPrefix": [right.to_json() for right in self._by_prefix],
        }

    @classmethod
    def from_json(cls, json: dict[str, list[dict[str, str]]]) -> SecretsAccessRights:
        """Return the rights that an answer names."""
        return cls(
            [SecretAccessRightBySecret(item["key"]) for item in json.get("bySecret") or []],
            [SecretAccessRightByPrefix(item["prefix"]) for item in json.get("byPrefix") or []],
        )

    def add_secret_by_key(self, key: str) -> SecretsAccessRights:
        """Add the right to read one secret."""
        self._by_secret.append(SecretAccessRightBySecret(key))
        return self

    def add_secrets_by_keys(self, keys: list[str]) -> SecretsAccessRights:
        """Add the right to read some secrets."""
        self._by_secret.extend(SecretAccessRightBySecret(key) for key in keys)
        return self

    def add_secret_by_prefix(self, prefix: str) -> SecretsAccessRights:
        """Add the right to read the secrets below a prefix."""
        self._by_prefix.append(SecretAccessRightByPrefix(prefix))
        return self

    def add_secrets_by_prefixes(self, prefixes: list[str]) -> SecretsAccessRights:
        """Add the right to read the secrets below some prefixes."""
        self._by_prefix.extend(SecretAccessRightByPrefix(prefix) for prefix in prefixes)
        return self

    def __bool__(self) -> bool:
        return bool(self._by_secret or self._by_prefix)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretsAccessRights) and other.to_json() == self.to_json()

    def __hash__(self) -> int:
        return hash((tuple(self._by_secret), tuple(self._by_prefix)))

    def __repr__(self) -> str:
        return f"SecretsAccessRights({self._by_secret}, {self._by_prefix})"


class Secrets:
    """The account's secrets."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get_secret(self, key: str) -> str:
        """Return the value of a secret."""
        value: str = self._call("GET", key)["value"]
        return value

    def create_secret(self, key: str, value: str) -> str:
        """Keep a new secret, and return its key."""
        self._call("PUT", key, {"Value": value})
        return key

    def update_secret(self, key: str, value: str) -> None:
        """Give a secret another value."""
        self._call("PATCH", key, {"Value": value})

    def delete_secret(self, key: str) -> None:
        """Forget a secret."""
        self._call("DELETE", key)

    def list_secrets(self, prefix: str, recursive: bool = False) -> list[str]:
        """Return the keys below a prefix; folders end with `/` and are looked into if `recursive`."""
        folder = prefix.strip("/")
        answer = self._connection._json("GET", "/secrets-manager/search/" + quote(folder, safe="/"))
        keys: list[str] = []
        for name in answer.get("keys") or []:
            key = f"{folder}/{name}" if folder else name
            keys.extend(self.list_secrets(key, True) if recursive and key.endswith("/") else [key])
        return keys

    def _call(self, method: str, key: str, json: Any = None) -> Any:
        path = "/secrets-manager/data/" + quote(key.strip("/"), safe="/")
        special = {404: SecretNotFoundException, 409: SecretConflictException}
        return self._connection._json(method, path, json=json, special=special)
