"""The environment of an instance and the words of its command (contract: platform semantics 1.2 to 1.4)."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Mapping

from hearth.domain.errors import Invalid

SECRET_PREFIX = "QARNOT_SECRET__"
SECRET_SHOWN = "[SECRET]"  # instead of the value of such a constant, wherever it is looked at
# No machine takes more as the environment of a command.
ENVIRONMENT_LIMIT = 2 << 20
_REFERENCE = re.compile(r"\$\{([A-Za-z0-9_.\-]+)\}")


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace each `${NAME}` that is known; leave unknown ones, `$NAME` and `$(...)` for the instance's shell."""
    if "${" not in text:
        return text
    return _REFERENCE.sub(lambda match: values.get(match[1], match[0]), text)


def environment(
    constants: Mapping[str, str], *, number: int, total: int, directory: str, platform: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables of one instance: the platform's, then every constant with its references expanded.

    `directory` is where resources land and results are taken from. A constant `QARNOT_SECRET__X` counts as a
    value of `X` too. Raises Invalid when it is more than a command can be given.
    """
    instance = str(number)
    size = str(total)
    values = {
        **platform,
        "INSTANCE_ID": instance,
        "FRAME_ID": instance,
        "QRANK": instance,
        "INSTANCE_COUNT": size,
        "QSIZE": size,
        "TASK_PATH": directory,
        "DOCKER_WORKDIR": directory,
        "QARNOT_RESOURCES_DIRECTORY": directory,
        "QARNOT_RESULTS_DIRECTORY": directory,
    }
    given = {}
    for key, value in constants.items():
        given[key] = value
        if key.startswith(SECRET_PREFIX):
            given[key.removeprefix(SECRET_PREFIX)] = value
    if given.get("DOCKER_WORKDIR") in ("", "${DOCKER_WORKDIR}"):
        del given["DOCKER_WORKDIR"]  # the profile's placeholder for the platform's own value
    known = values | given
    values.update((key, expand(value, known)) for key, value in given.items())
    if sum(map(len, values.values())) > ENVIRONMENT_LIMIT:
        raise Invalid(
            "constants",
            f"with their references expanded they have more than {ENVIRONMENT_LIMIT} characters, which no command can "
            "be given; put large values into a bucket",
        )
    return values


@functools.lru_cache(maxsize=1024)
def words(command: str) -> tuple[str, ...]:
    """Split an expanded command by POSIX shell-word rules, without a shell."""
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise Invalid(
            "DOCKER_CMD",
            f"{str(error).lower()} in {command!r}; close the quotation, or escape the mark with \\",
        ) from None
