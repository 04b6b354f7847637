"""Objects that live on the platform, and keep their copy here fresh."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Final

from hearth_client.http import url_path
from qarnot._refusals import Special

if TYPE_CHECKING:
    from qarnot.connection import Connection

UNSUBMITTED = "UnSubmitted"
DELETED = "Deleted"

# What a summary says of its object; all else needs the whole object.
_IN_SUMMARIES: Final = frozenset(
    {
        "_name",
        "_shortname",
        "_profile",
        "_instancecount",
        "_state",
        "_previous_state",
        "_state_transition_time",
        "_previous_state_transition_time",
        "_creation_date",
        "_last_modified",
        "_end_date",
        "_execution_time",
        "_wall_time",
        "_progress",
        "_running_core_count",
        "_running_instance_count",
        "_queued_or_running_task_instances_count",
    }
)


def live(attribute: str, doc: str) -> Any:
    """Return a read-only property for what the platform changes: it is asked again when the copy is old."""

    def get(self: Live) -> Any:
        self._freshen(attribute)
        return getattr(self, attribute)

    return property(get, doc=doc)


def fixed(attribute: str, doc: str, *, check: Callable[[Any], Any] = lambda value: value) -> Any:
    """Return a property that may be set until the object is submitted."""

    def get(self: Live) -> Any:
        if attribute not in _IN_SUMMARIES:
            self._complete()
        return getattr(self, attribute)

    def put(self: Live, value: Any) -> None:
        self._refuse_after_submission()
        setattr(self, attribute, check(value))

    return property(get, put, doc=doc)


def changeable(attribute: str, doc: str) -> Any:
    """Return a property that may be set at any time, and is sent by `commit`."""

    def get(self: Live) -> Any:
        self._complete()
        return getattr(self, attribute)

    def put(self: Live, value: Any) -> None:
        self._complete()
        self._pause_auto_update()
        setattr(self, attribute, value)

    return property(get, put, doc=doc)


class Live:
    """A task, pool or job: made here, then submitted, then followed."""

    _noun: ClassVar[str]
    _missing: ClassVar[type[Exception]]

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._uuid: str | None = None
        self._state = UNSUBMITTED
        self._is_summary = False
        self._auto_update = True
        self._auto_update_after_commit = True
        self._update_cache_time: float = 5
        self._updated_at: float | None = None
        # What the platform last said of the values that may be changed here until `commit`.
        self._agreed: dict[str, Any] = {}

    @property
    def uuid(self) -> str | None:
        """The id that the platform gave, None before submission."""
        return self._uuid

    @property
    def auto_update(self) -> bool:
        """Do properties ask the platform again when the copy is old? True by default."""
        return self._auto_update

    @auto_update.setter
    def auto_update(self, value: bool) -> None:
        self._auto_update = self._auto_update_after_commit = value

    @property
    def update_cache_time(self) -> float:
        """The seconds for which a copy counts as fresh, 5 by default."""
        return self._update_cache_time

    @update_cache_time.setter
    def update_cache_time(self, value: float) -> None:
        self._update_cache_time = value

    def update(self, flushcache: bool = False) -> None:
        """Ask the platform for the object's present values, if the copy is old or `flushcache` is set.

        With `flushcache`, changes that were not committed are given up.
        """
        if self._uuid is None:
            return
        age = None if self._updated_at is None else self._connection._now() - self._updated_at
        if flushcache or age is None or age >= self._update_cache_time:
            self._fetch(keep_changes=not flushcache)

    def _fetch(self, *, keep_changes: bool) -> None:
        json = self._ask("GET")
        if not keep_changes:
            self._agreed.clear()
        self._absorb(json)
        self._is_summary = False
        self._updated_at = self._connection._now()

    def _ask(
        self,
        method: str,
        *segments: object,
        json: Any = None,
        special: Special | None = None,
        repeatable: bool | None = None,
    ) -> Any:
        """Send a request about this object, and return the JSON answer."""
        path = url_path(f"{self._noun}s", self._uuid, *segments)
        refusals: Special = {404: self._missing, **(special or {})}
        return self._connection._json(method, path, json=json, special=refusals, repeatable=repeatable)

    def _absorb(self, json: dict[str, Any]) -> None:
        """Take over the values of an answer."""
        self._uuid = json.get("uuid", self._uuid)
        self._state = json.get("state") or self._state

    def _take(self, attribute: str, fresh: Any) -> None:
        """Take over one value, unless it was changed here and not yet committed."""
        if attribute not in self._agreed or getattr(self, attribute) == self._agreed[attribute]:
            setattr(self, attribute, fresh)
        self._agreed[attribute] = copy(fresh)

    def _freshen(self, attribute: str | None = None) -> None:
        if self._is_summary and attribute not in _IN_SUMMARIES:
            self._complete()
        elif self._auto_update:
            self.update()

    def _complete(self) -> None:
        """Replace a summary by the whole object."""
        if self._is_summary:
            self._fetch(keep_changes=True)

    def _pause_auto_update(self) -> None:
        if self._uuid is not None and self._auto_update:
            self._auto_update = False
            self._auto_update_after_commit = True

    def _changes_sent(self) -> None:
        for attribute in self._agreed:
            self._agreed[attribute] = copy(getattr(self, attribute))
        self._auto_update = self._auto_update_after_commit

    def _refuse_after_submission(self) -> None:
        if self._uuid is not None:
            raise AttributeError(f"this can't be set on a submitted {self._noun}")

    def _require_submitted(self, action: str) -> str:
        if self._uuid is None:
            raise self._missing(f"{action} needs a submitted {self._noun}, and {self!r} is not")
        return self._uuid


def uuid_of(other: Live | None) -> str | None:
    """Return the uuid of an object that another one names, which must be submitted before it."""
    return None if other is None else other._require_submitted("what is submitted into it")
