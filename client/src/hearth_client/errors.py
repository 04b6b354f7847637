"""What may go wrong between a client and the platform.

ClientError
├── HttpError          an answer that is not 2xx
├── UnreadableAnswer   a 2xx answer whose body is not what it should be
└── ConnectionFailed   no answer at all (also an OSError, as `except ConnectionError` expects)
    └── TimedOut       no answer in time
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class ClientError(Exception):
    """Any failure of a request to the platform."""


class HttpError(ClientError):
    """The platform answered, and refused."""

    def __init__(self, status: int, message: str, body: Any = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.body = body
        self.headers = dict(headers or {})


class UnreadableAnswer(ClientError):
    """The platform answered 2xx with a body that cannot be read as JSON."""

    def __init__(self, url: str, text: str) -> None:
        super().__init__(f"the answer of {url} should be JSON, but is {text[:200]!r}")
        self.url = url
        self.text = text


class ConnectionFailed(ClientError, ConnectionError):
    """No answer came: the server was not reached, or the connection broke."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no answer from {url}: {reason}")
        self.url = url
        self.reason = reason


class TimedOut(ConnectionFailed, TimeoutError):
    """No answer came within the time that was allowed."""


def error_message(text: str, reason: str) -> tuple[str, Any]:
    """Return the message of an error body, and the body as far as it could be read.

    The message is the body's `message`, else its `error` (text, or an object with a `message`),
    else the text itself, else `reason`.
    """
    try:
        body = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return text.strip() or reason, text
    if isinstance(body, dict):
        folded = {str(key).lower(): value for key, value in body.items()}
        for candidate in (folded.get("message"), folded.get("error")):
            if isinstance(candidate, dict):
                candidate = candidate.get("message")
            if isinstance(candidate, str) and candidate:
                return candidate, body
    if isinstance(body, str) and body:
        return body, body
    return (text.strip() if body else "") or reason, body
