"""The errors of this SDK.

QarnotException
├── QarnotGenericException               anything without an error of its own; see its message
├── BucketStorageUnavailableException    the platform offers no storage
├── UnauthorizedException                the token is wrong, or does not allow this
├── MissingProfileException, MissingTaskException, MissingTaskInstanceException,
│   MissingBucketException, MissingPoolException, MissingPoolInstanceException,
│   MissingProjectException              what was named does not exist
├── MaxTaskException, MaxPoolException   the account may not have more of these
└── NotEnoughCreditsException            the account cannot pay for this
MissingJobException, MaxJobException, SecretNotFoundException, SecretConflictException
                                         the same for jobs and secrets, outside the tree as documented
"""

from __future__ import annotations

__all__ = [
    "BucketStorageUnavailableException",
    "MaxJobException",
    "MaxPoolException",
    "MaxTaskException",
    "MissingBucketException",
    "MissingJobException",
    "MissingPoolException",
    "MissingPoolInstanceException",
    "MissingProfileException",
    "MissingProjectException",
    "MissingTaskException",
    "MissingTaskInstanceException",
    "NotEnoughCreditsException",
    "QarnotException",
    "QarnotGenericException",
    "SecretConflictException",
    "SecretNotFoundException",
    "UnauthorizedException",
]


class QarnotException(Exception):
    """Any error of the platform or of this SDK."""


class QarnotGenericException(QarnotException):
    """An error that has no class of its own; the message says what it is."""

    def __init__(self, msg: object) -> None:
        super().__init__(f"Error: {msg}")


class BucketStorageUnavailableException(QarnotException):
    """The platform offers no bucket storage."""


class UnauthorizedException(QarnotException):
    """The token is not valid, or does not allow this."""


class MissingProfileException(QarnotException):
    """There is no such profile."""


class MissingTaskException(QarnotException):
    """There is no such task."""


class MissingTaskInstanceException(QarnotException):
    """The task has no such instance."""


class MissingBucketException(QarnotException):
    """There is no such bucket."""


class MissingPoolException(QarnotException):
    """There is no such pool."""


class MissingPoolInstanceException(QarnotException):
    """The pool has no such instance."""


class MissingProjectException(QarnotException):
    """There is no such project."""


class MaxTaskException(QarnotException):
    """The account has as many tasks as it may have."""


class MaxPoolException(QarnotException):
    """The account has as many pools as it may have."""


class NotEnoughCreditsException(QarnotException):
    """The account has not enough credits."""


class MissingJobException(Exception):
    """There is no such job."""


class MaxJobException(Exception):
    """The account has as many jobs as it may have."""


class SecretNotFoundException(Exception):
    """There is no such secret."""


class SecretConflictException(Exception):
    """There is already a secret of this name."""
