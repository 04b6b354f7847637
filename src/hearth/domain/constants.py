"""The constants that an instance gets: the profile's, the task's own over them, and forced ones over all."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hearth.domain.errors import Invalid
from hearth.domain.profile import Profile
from hearth.domain.spec import TaskSpec

# Profiles of simulations have these two: whether a run has a time limit of the user's, and which.
LIMITED = "USE_SIMULATION_MAXIMUM_EXECUTION_TIME"
LIMIT = "SIMULATION_MAXIMUM_EXECUTION_TIME"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"(?:\d{1,9}[smhd])+")
_PIECE = re.compile(r"(\d+)([smhd])")
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}
_LONGEST = (1 << 31) - 1


def effective(profile: Profile, spec: TaskSpec) -> dict[str, str]:
    """Return the constants that count for a task's instances."""
    return profile.defaults() | spec.constants | _forced(spec)


def unexported(spec: TaskSpec) -> list[str]:
    """Return the constants that count, but are no variables of the environment (contract: forcedConstants)."""
    return [str(c["constantName"]) for c in spec.forced_constants if c.get("forceExportInEnvironment") is False]


def run_seconds(profile: Profile, spec: TaskSpec) -> int:
    """Return how long a run may take, 0 for as long as it likes; raise `Invalid` when a constant does not say."""
    declared = profile.defaults()
    if LIMIT not in declared:
        return profile.max_wall_seconds
    constants = declared | spec.constants | _forced(spec)
    own = _own_limit(constants)
    if not own:
        return profile.max_wall_seconds
    return min(own, profile.max_wall_seconds) if profile.max_wall_seconds else own


def _own_limit(constants: Mapping[str, str]) -> int:
    is_limited = _TRUTHS.get(constants.get(LIMITED, "").strip().lower())
    if is_limited is None:
        raise Invalid(f"constants.{LIMITED}", f"'{constants[LIMITED][:60]}' is neither true nor false")
    text = constants[LIMIT].strip().lower()
    if not text and not is_limited:
        return 0
    if _SPAN.fullmatch(text) is None:
        raise Invalid(f"constants.{LIMIT}", f"'{text[:60]}' is not a time: write for example 8h, 1d or 1h30m")
    seconds = sum(int(count) * _UNITS[unit] for count, unit in _PIECE.findall(text))
    if not 0 < seconds <= _LONGEST:
        raise Invalid(f"constants.{LIMIT}", f"'{text[:60]}' is {seconds} seconds, not between 1 and {_LONGEST}")
    return seconds if is_limited else 0


def _forced(spec: TaskSpec) -> dict[str, str]:
    return {
        str(c["constantName"]): str(c["forcedValue"]) for c in spec.forced_constants if c.get("forcedValue") is not None
    }
