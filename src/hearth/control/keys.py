"""The site's keys: a file outside the database, without which its sealed tokens are noise.

The file holds several keys by id. The current one seals; all of them still open and look up, so that a key
can be replaced while tokens of the older one are in use.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hearth.domain.errors import Invalid

KEY_BYTES = 32
_NONCE_BYTES = 12


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    current: str
    keys: dict[str, str]


@dataclass(frozen=True, slots=True)
class Sealed:
    """Text that only the key named `key_id` opens."""

    key_id: str
    data: bytes


class SiteKeys:
    """Looks tokens up by HMAC and seals them with AES-GCM; three keys are derived from each one of the file."""

    def __init__(self, current: str, keys: Mapping[str, bytes]) -> None:
        self.current = current
        self._lookup = {key_id: _derived(key, "token look-up") for key_id, key in keys.items()}
        self._signing = {key_id: _derived(key, "page tokens") for key_id, key in keys.items()}
        self._sealing = {key_id: AESGCM(_derived(key, "token sealing")) for key_id, key in keys.items()}

    def __repr__(self) -> str:
        return f"SiteKeys({', '.join(self._lookup)})"

    def lookup(self, token: str) -> bytes:
        """Return what a token is stored under, with the current key."""
        return hmac.digest(self._lookup[self.current], token.encode(), "sha256")

    def lookups(self, token: str) -> list[bytes]:
        """Return all that a token may be stored under, the current key first."""
        others = [key for key_id, key in self._lookup.items() if key_id != self.current]
        return [self.lookup(token), *(hmac.digest(key, token.encode(), "sha256") for key in others)]

    def sign(self, data: bytes) -> bytes:
        """Return what shows, in 16 bytes, that this site said the data."""
        return hmac.digest(self._signing[self.current], data, "sha256")[:16]

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Answer whether the signature is of this data and one of the keys."""
        mine = (hmac.digest(key, data, "sha256")[:16] for key in self._signing.values())
        return any(hmac.compare_digest(one, signature) for one in mine)

    def seal(self, text: str, owner: str) -> Sealed:
        """Return the text so that only `open` with the same owner gives it back."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return Sealed(
            self.current, nonce + self._sealing[self.current].encrypt(nonce, text.encode(), _bound(self.current, owner))
        )

    def open(self, sealed: Sealed, owner: str) -> str:
        """Return the text; raise `Invalid` when the key is not in the file or the bytes are not its work."""
        box = self._sealing.get(sealed.key_id)
        if box is None:
            raise Invalid("key", f"the site's key file has no key '{sealed.key_id}': restore the file that has it")
        nonce, data = sealed.data[:_NONCE_BYTES], sealed.data[_NONCE_BYTES:]
        try:
            return box.decrypt(nonce, data, _bound(sealed.key_id, owner)).decode()
        except InvalidTag:
            raise Invalid("key", f"what key '{sealed.key_id}' should open was sealed by another key") from None


def load_or_create(file: Path) -> SiteKeys:
    """Return the keys of a file; make the file (0600, in a folder 0700) when there is none."""
    if not file.exists():
        _create(file)
    try:
        content = msgspec.json.decode(file.read_bytes(), type=_KeyFile)
        keys = {key_id: b64decode(text, validate=True) for key_id, text in content.keys.items()}
    except (msgspec.DecodeError, ValueError) as error:
        raise Invalid(
            "site key", f"{file} cannot be read ({error}); restore it: without it no token is known"
        ) from None
    if content.current not in keys:
        raise Invalid("site key", f"{file} names '{content.current}' as current, but has no such key")
    short = [key_id for key_id, key in keys.items() if len(key) != KEY_BYTES]
    if short:
        raise Invalid("site key", f"key '{short[0]}' of {file} should have {KEY_BYTES} bytes")
    return SiteKeys(content.current, keys)


def _create(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key_id = "k" + secrets.token_hex(4)
    content = _KeyFile(key_id, {key_id: b64encode(secrets.token_bytes(KEY_BYTES)).decode()})
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(msgspec.json.encode(content) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        # A link, not a rename: of two processes that start at once, the second must not replace the first's key.
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _derived(key: bytes, purpose: str) -> bytes:
    return hmac.digest(key, b"hearth " + purpose.encode(), "sha256")


def _bound(key_id: str, owner: str) -> bytes:
    return f"{key_id}\n{owner}".encode()
