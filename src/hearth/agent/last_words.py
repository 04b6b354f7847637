"""The end of what a failed run wrote to stderr: what its user wants to read first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from hearth.domain.command import SECRET_PREFIX

MOST_BYTES = 500
SECRET_SHOWN = b"[SECRET]"


def last_words(stderr: Path, constants: Mapping[str, str]) -> str:
    """Return the last whole lines of a spool file, without the secrets among the task's constants."""
    secrets = [value.encode() for key, value in constants.items() if key.startswith(SECRET_PREFIX) and value]
    margin = max(map(len, secrets), default=0)  # a secret that is cut in two would not be found
    try:
        with stderr.open("rb") as file:
            begin = max(0, file.seek(0, 2) - MOST_BYTES - margin)
            file.seek(begin)
            data = file.read(MOST_BYTES + margin)
    except OSError:
        return ""
    start = margin if begin else 0
    if secrets:
        secret = re.compile(b"|".join(re.escape(each) for each in sorted(secrets, key=len, reverse=True)))
        for found in secret.finditer(data):
            if found.start() < start < found.end():
                start = found.end()
        data = secret.sub(SECRET_SHOWN, data[start:])
    if begin:
        _, newline, whole = data.partition(b"\n")
        data = whole if newline and whole else data
    return data.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}").rstrip()
