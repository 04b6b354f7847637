"""Where the platform is, and who asks: arguments, else a file or dict, else the environment, else defaults."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final

from qarnot.exceptions import QarnotGenericException

DEFAULT_CLUSTER_URL: Final = "https://api.qarnot.com"
FileOrDict = str | PathLike[str] | Mapping[str, Any]

# option: (its section and name in a file, its name in a dict)
_NAMES: Final = {
    "client_token": (("client", "token"), "client_token"),
    "cluster_url": (("cluster", "url"), "cluster_url"),
    "cluster_timeout": (("cluster", "timeout"), "cluster_timeout"),
    "cluster_unsafe": (("cluster", "unsafe"), "cluster_unsafe"),
    "cluster_custom_certificate": (("cluster", "custom_certificate"), "cluster_custom_certificate"),
    "storage_url": (("storage", "url"), "storage_url"),
    "storage_unsafe": (("storage", "unsafe"), "storage_unsafe"),
    "storage_custom_certificate": (("storage", "custom_certificate"), "storage_custom_certificate"),
}
_ENVIRONMENT: Final = {
    "client_token": "QARNOT_CLIENT_TOKEN",
    "cluster_url": "QARNOT_CLUSTER_URL",
    "cluster_timeout": "QARNOT_CLUSTER_TIMEOUT",
    "cluster_unsafe": "QARNOT_CLUSTER_UNSAFE",
    "storage_url": "QARNOT_STORAGE_URL",
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that a connection needs to know."""

    token: str = field(repr=False)
    cluster_url: str
    cluster_timeout_seconds: float | None
    cluster_verify: bool | str
    storage_url: str | None
    storage_verify: bool | str


def configure(arguments: Mapping[str, Any], source: FileOrDict | None, environment: Mapping[str, str]) -> Configuration:
    """Return the configuration; an option that is None or False in `arguments` counts as not given."""
    given = {name: value for name, value in arguments.items() if value not in (None, False)}
    kept = {name: value for name, value in _read(source).items() if value is not None}
    around = {name: environment[key] for name, key in _ENVIRONMENT.items() if environment.get(key)}
    options = {**around, **kept, **given}
    # This one variable is for making an exception, so it is heard whatever else is said.
    if _is_true(around.get("cluster_unsafe", False), "QARNOT_CLUSTER_UNSAFE"):
        options["cluster_unsafe"] = True
    token = options.get("client_token")
    if not token:
        raise QarnotGenericException("Token is mandatory.")
    return Configuration(
        token=str(token).strip(),
        cluster_url=str(options.get("cluster_url") or DEFAULT_CLUSTER_URL),
        cluster_timeout_seconds=_seconds(options.get("cluster_timeout")),
        cluster_verify=_verify(options, "cluster"),
        storage_url=options.get("storage_url"),
        storage_verify=_verify(options, "storage"),
    )


def _read(source: FileOrDict | None) -> dict[str, Any]:
    if source is None:
        return {}
    if isinstance(source, Mapping):
        options = {name: source.get(key) for name, (_, key) in _NAMES.items()}
        # The documented key of the token in a dict is `client_auth`.
        options["client_token"] = source.get("client_auth") or options["client_token"]
        return options
    parser = configparser.ConfigParser(interpolation=None)
    with Path(source).open(encoding="utf-8") as file:
        parser.read_file(file, fspath(source))
    options = {name: parser.get(*place, fallback=None) for name, (place, _) in _NAMES.items()}
    options["client_token"] = options["client_token"] or parser.get("client", "auth", fallback=None)
    return options


def _seconds(value: Any) -> float | None:
    if value in (None, ""):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise QarnotGenericException(f"cluster_timeout should be a number of seconds, not {value!r}") from None
    return seconds if seconds > 0 else None


def _verify(options: Mapping[str, Any], service: str) -> bool | str:
    """Return whether certificates are checked, or with which certificate."""
    if _is_true(options.get(f"{service}_unsafe", False), f"{service}_unsafe"):
        return False
    certificate = options.get(f"{service}_custom_certificate")
    return fspath(certificate) if certificate else True


def _is_true(value: Any, name: str) -> bool:
    if isinstance(value, bool | int):
        return bool(value)
    word = str(value or "").strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("", "false", "0", "no", "off"):
        return False
    raise QarnotGenericException(f"{name} should be true or false, not {value!r}")
