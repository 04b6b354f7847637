"""What can be refused, and why.

HearthError
├── Invalid             400  the request is wrong; `field` says where
├── HardwareRefused     402
├── NotAllowed          403
│   └── QuotaExceeded   403
├── Missing             404
├── Conflict            409
│   ├── TransitionRefused
│   ├── StaleLease
│   └── KeyReused       422
├── TooMany             429
└── Unavailable         503

Each carries a message for people; doors map the kind to their own status.
"""

from __future__ import annotations


class HearthError(Exception):
    """Something was refused."""

    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(HearthError):
    """The request is wrong; `field` names what to change, in the wire's spelling."""

    status = 400

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.reason = message


class HardwareRefused(HearthError):
    """No node of this site has, or ever had, what is asked for by name."""

    status = 402

    def __init__(self, what: str, name: str) -> None:
        super().__init__(
            f"hardware constraint not allowed: no node of this site has the {what} '{name[:200]}'; "
            "GET /hardware-constraints lists what there is, and the site may map names with specification_aliases"
        )
        self.what = what
        self.name = name


class NotAllowed(HearthError):
    """The caller may not do that."""

    status = 403


class QuotaExceeded(NotAllowed):
    """It would be more than the account may have."""


class Missing(HearthError):
    """There is no such thing, or it is somebody else's."""

    status = 404

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"No such {kind}: {name}")
        self.kind = kind
        self.name = name


class Conflict(HearthError):
    """It does not go together with what is there already."""

    status = 409


class TransitionRefused(Conflict):
    """The event does not fit the state."""


class KeyReused(Conflict):
    """A key that stands for one request was given to another one."""

    status = 422

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Idempotency-Key: '{key}' was given to another request of yours; "
            "give each request a key of its own, and repeat a request as it was"
        )
        self.key = key


class StaleLease(Conflict):
    """The words of an attempt that is no longer the current one."""

    def __init__(self, task_id: int, number: int, attempt: int, current: int) -> None:
        super().__init__(f"attempt {attempt} of instance {number} of task {task_id} is over: {current} is current")
        self.task_id = task_id
        self.number = number
        self.attempt = attempt
        self.current = current


class TooMany(HearthError):
    """So many at once are not given; fewer, or later."""

    status = 429


class Unavailable(HearthError):
    """Not now; the same request may succeed later."""

    status = 503
