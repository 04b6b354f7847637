"""Why a task waits (`GET /tasks/{id}/why`): beyond the contract."""

from __future__ import annotations

from hearth_client.messages.base import Answer


class WaitReason(Answer):
    """A reason that holds now; `code` never changes its meaning, `numbers` are those in the sentence."""

    code: str
    message: str
    instances: str  # ranges
    numbers: dict[str, float | str]
    since: str


class PastWait(Answer):
    """How long a reason lasted, all in all."""

    code: str
    seconds: float


class Why(Answer):
    """Why a task, or one of its instances, waits, and why it waited."""

    uuid: str
    state: str
    message: str
    reasons: list[WaitReason]
    past: list[PastWait]
    instance: int | None = None
