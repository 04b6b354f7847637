"""Profiles are TOML files: those in the package, and the site's own in `DATA/profiles`, which win.

They are read again when they change, without a restart. A file that cannot be read takes nothing with it
but its own profile, and its error names the file and the field.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from hearth.domain.errors import Invalid
from hearth.domain.profile import Constant, License, Profile

SHIPPED = Path(__file__).parent / "shipped_profiles"
# How long the folders are believed not to have changed.
BELIEVED_MICROSECONDS = 1_000_000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_log = structlog.get_logger("hearth.profiles")


class _Constant(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    value: str = ""
    description: str = ""


class _License(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    max_instances: int = 0
    max_cores: int = 0


class _File(msgspec.Struct, forbid_unknown_fields=True):
    description: str = ""
    network: bool = False
    cores: float = 1.0
    memory_mb: int = 0
    whole_machine: bool = False
    max_wall_seconds: int = 0
    constants: list[_Constant] = []
    licenses: list[_License] = []


@dataclass(frozen=True, slots=True)
class _Entry:
    stamp: tuple[int, int, int]  # inode, size, time of change
    profile: Profile | None
    problem: str


class Profiles:
    """The profiles of one site, as the files say at this moment."""

    def __init__(self, own: Path, *, default_image: str, now: Callable[[], int], shipped: Path = SHIPPED) -> None:
        self._folders = (shipped, own)
        self._default_image = default_image
        self._now = now
        self._looked_at: int | None = None
        self._entries: dict[Path, _Entry] = {}
        self._by_name: dict[str, _Entry] = {}

    def get(self, name: str) -> Profile | None:
        """Return a profile; None when there is none or its file cannot be read."""
        self._look()
        entry = self._by_name.get(name)
        return None if entry is None else entry.profile

    def require(self, name: str) -> Profile:
        """Return a profile; raise `Invalid` that says what is there, or what is wrong with its file."""
        self._look()
        entry = self._by_name.get(name)
        if entry is None:
            raise Invalid("profile", f"there is no profile '{name}'; there are {', '.join(self.names())}")
        if entry.profile is None:
            raise Invalid("profile", f"profile '{name}' cannot be used: {entry.problem}")
        return entry.profile

    def names(self) -> list[str]:
        """Return the names of the profiles that can be used."""
        self._look()
        return sorted(name for name, entry in self._by_name.items() if entry.profile is not None)

    def problems(self) -> list[str]:
        """Return what is wrong with the files that cannot be read."""
        self._look()
        return [entry.problem for entry in self._entries.values() if entry.problem]

    def _look(self) -> None:
        now = self._now()
        if self._looked_at is not None and abs(now - self._looked_at) < BELIEVED_MICROSECONDS:
            return
        self._looked_at = now
        entries: dict[Path, _Entry] = {}
        by_name: dict[str, _Entry] = {}
        for folder in self._folders:
            for file in sorted(folder.glob("*.toml")):
                try:
                    found = file.stat()
                except OSError:
                    continue  # it went away between the two looks
                stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
                entry = self._entries.get(file)
                if entry is None or entry.stamp != stamp:
                    entry = self._read(file, stamp)
                entries[file] = entry
                by_name[file.stem] = entry
        self._entries, self._by_name = entries, by_name

    def _read(self, file: Path, stamp: tuple[int, int, int]) -> _Entry:
        try:
            return _Entry(stamp, read_profile(file, self._default_image), "")
        except Invalid as error:
            _log.warning("profile.unusable", profile=file.stem, problem=error.message)
            return _Entry(stamp, None, error.message)


def read_profile(file: Path, default_image: str) -> Profile:
    """Read a profile's file; raise `Invalid` naming the file and the field."""
    try:
        content = msgspec.convert(tomllib.loads(file.read_text("utf-8")), _File, strict=True)
    except tomllib.TOMLDecodeError as error:
        raise Invalid(file.name, f"is not valid TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(file.name, f"cannot be read: {error}") from None
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise Invalid(f"{file.name}: {where.strip('.`')}" if where.strip(".`") else file.name, what) from None
    if _NAME.fullmatch(file.stem) is None:
        raise Invalid(file.name, "the name of a profile is letters, digits, '.', '_' and '-'")
    for field, value in (("cores", content.cores), ("memory_mb", content.memory_mb)):
        if value < 0 or (field == "cores" and value == 0):
            raise Invalid(f"{file.name}: {field}", f"{value} is too little")
    doubled = {c.name for c in content.constants if [d.name for d in content.constants].count(c.name) > 1}
    if doubled:
        raise Invalid(f"{file.name}: constants", f"'{min(doubled)}' is there twice")
    return Profile(
        name=file.stem,
        description=content.description,
        constants=tuple(
            Constant(c.name, c.value, c.description.replace("{default_image}", default_image))
            for c in content.constants
        ),
        licenses=tuple(License(s.name, s.max_instances, s.max_cores) for s in content.licenses),
        network=content.network,
        cores=content.cores,
        memory_mb=content.memory_mb,
        whole_machine=content.whole_machine,
        max_wall_seconds=content.max_wall_seconds,
    )
