"""Regular expressions that choose files by their path: what they may cost before they are used."""

from __future__ import annotations

import math
import re
from typing import Final

# `{n}` writes its part out n times, in memory, while the expression is compiled.
REPETITIONS_LIMIT: Final = 100_000

_COUNTED: Final = re.compile(r"\{(\d+)(?:,\d*)?\}")


def why_too_large(text: str) -> str:
    """Return a sentence when compiling this expression could take all memory, else ""."""
    repetitions = math.prod(max(1, int(count)) for count in _COUNTED.findall(text))
    if repetitions <= REPETITIONS_LIMIT:
        return ""
    return (
        f"its counted repetitions come to {repetitions if repetitions < 10**12 else 'over 10^12'} together, at most "
        f"{REPETITIONS_LIMIT} are possible; write * or + for some of them"
    )
