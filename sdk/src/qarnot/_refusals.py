"""Which exception each refusal of the platform becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hearth_client.errors import HttpError
from qarnot.exceptions import (
    MissingBucketException,
    NotEnoughCreditsException,
    QarnotGenericException,
    UnauthorizedException,
)

Special = Mapping[int, Callable[[str], Exception]]


def exception_for(error: HttpError, special: Special | None = None) -> Exception:
    """Return the exception of an answer: what `special` says of its status, else the usual one."""
    if special and error.status in special:
        return special[error.status](error.message)
    if error.status in (401, 403):
        return UnauthorizedException(error.message)
    return QarnotGenericException(error.message)


def submission(noun: str, too_many: Callable[[str], Exception], missing: Callable[[str], Exception]) -> Special:
    """Return what refusals of a submitted task, pool or job mean."""

    def forbidden(message: str) -> Exception:
        if f"maximum number of {noun}s reached" in message.lower():
            return too_many(message)
        return UnauthorizedException(message)

    def payment(message: str) -> Exception:
        # The same status says that the account's offer does not hold the hardware asked for.
        if noun == "task" and "hardware constraint" in message.lower():
            return QarnotGenericException(message)
        return NotEnoughCreditsException(message)

    return {402: payment, 403: forbidden, 404: missing}


def no_such_bucket(message: str) -> Exception:
    """Return the error of a bucket that does not exist."""
    return MissingBucketException(message)
