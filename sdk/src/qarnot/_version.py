"""The version of the documented surface, and how this SDK names itself to servers."""

from __future__ import annotations

from typing import Final

__version__: Final = "v2.23.0"
USER_AGENT: Final = f"qarnot-sdk-python/{__version__} hearth-sdk/0.1.0"
