"""A recorder around a client: each request, each answer, and when."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx

from hearth.domain.ranges import EMPTY, RangeSet
from tests.services.account import Account

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ONE_TASK = re.compile(r"^/tasks/([^/]+)$")
NEVER = "0001-01-01T00:00:00Z"  # how the contract writes a time that has not come
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Completed:
    """An instance that ended, as a task shows it."""

    state: str
    attempts: int
    results: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskShown:
    """What one answer says of a task; only what the laws are about."""

    uuid: str
    state: str
    numbers: RangeSet
    end_date: str | None = None
    progress: float = 0.0
    running: int = 0
    results_count: int = 0
    succeeded: RangeSet = EMPTY
    failed: RangeSet = EMPTY  # failed, and not cancelled
    cancelled: RangeSet = EMPTY
    executed: RangeSet = EMPTY
    not_well: RangeSet = EMPTY  # failed or cancelled
    started: RangeSet = EMPTY
    completed: tuple[tuple[int, Completed], ...] = ()


@dataclass(slots=True)
class Exchange:
    """One request, and what was answered."""

    account: str
    method: str
    path: str  # without version prefix and query
    sent: int  # microseconds of the wall clock, as all times here
    query: str = ""
    body: Any = None
    key: str = ""  # Idempotency-Key
    heard: int | None = None  # None: no answer came
    status: int = 0
    told: Any = None  # TaskShown, decoded JSON or text
    mentions: frozenset[str] = NOTHING  # uuids anywhere in the answer
    headers: Mapping[str, str] = field(default_factory=dict)  # those of this platform's own

    @property
    def went_well(self) -> bool:
        """Whether it was answered, and done."""
        return self.heard is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Shown:
    """All that a bucket showed at one time."""

    account: str
    bucket: str
    sent: int
    heard: int
    files: Mapping[str, str]


class Record:
    """Everything that the watched clients asked and were told, in the order of asking."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.shown: list[Shown] = []
        self._shared: dict[Any, Any] = {}  # polls say the same again and again: it is kept once

    @staticmethod
    def now() -> int:
        """Return the time as it is written down."""
        return time.time_ns() // 1000

    def watch(self, account: Account) -> Account:
        """Write down what this client asks and is told from now on."""

        def asked(request: httpx.Request) -> None:
            exchange = Exchange(
                account.email,
                request.method,
                _plain_path(request.url.path),
                self.now(),
                request.url.query.decode(),
                _decoded(request.headers.get("content-type", ""), request.content),
                request.headers.get("idempotency-key", ""),
            )
            request.extensions["exchange"] = exchange
            self.exchanges.append(exchange)

        def told(response: httpx.Response) -> None:
            exchange: Exchange = response.request.extensions["exchange"]
            exchange.status = response.status_code
            if "event-stream" in response.headers.get("content-type", ""):
                return  # it has no end that could be waited for
            response.read()
            exchange.heard = self.now()
            exchange.headers = {name: value for name, value in response.headers.items() if name.startswith("hearth-")}
            exchange.mentions = self._share(frozenset(UUID.findall(response.text)))
            exchange.told = _decoded(response.headers.get("content-type", ""), response.content)
            is_task = (
                isinstance(exchange.told, dict) and {"uuid", "status", "completedInstances"} <= exchange.told.keys()
            )
            if is_task and exchange.method == "GET" and _ONE_TASK.match(exchange.path):
                exchange.told = self._share(self._task(exchange.told))

        account.api.event_hooks = {"request": [asked], "response": [told]}
        return account

    def show(self, account: str, bucket: str, sent: int, files: Mapping[str, str]) -> None:
        """Write down what a bucket showed."""
        self.shown.append(Shown(account, bucket, sent, self.now(), dict(files)))

    def _task(self, told: Any) -> TaskShown:
        completed = (
            (
                done["instanceId"],
                self._share(
                    Completed(done["state"], done["executionAttemptCount"], tuple(map(_key_of, done["results"])))
                ),
            )
            for done in told["completedInstances"]
        )
        return task_shown(told, tuple(self._share(each) for each in completed))

    def _share(self, value: Any) -> Any:
        return self._shared.setdefault(value, value)


def task_shown(told: Mapping[str, Any], completed: tuple[tuple[int, Completed], ...] = ()) -> TaskShown:
    """Read the answer to GET /tasks/{uuid}."""
    status = told["status"]
    ranges = told.get("advancedRanges")
    return TaskShown(
        uuid=told["uuid"],
        state=told["state"],
        numbers=RangeSet.parse(ranges) if ranges else RangeSet.count(told["instanceCount"]),
        end_date=None if told["endDate"] in (None, NEVER) else told["endDate"],
        progress=told["progress"],
        running=told["runningInstanceCount"],
        results_count=told["resultsCount"],
        succeeded=RangeSet.parse(status["succeededRange"]),
        failed=RangeSet.parse(status["failedOnlyRange"]),
        cancelled=RangeSet.parse(status["cancelledRange"]),
        executed=RangeSet.parse(status["executedRange"]),
        not_well=RangeSet.parse(status["failedRange"]),
        started=RangeSet.parse(status["startedOnceRange"]),
        completed=completed,
    )


def _is_task(told: Any) -> bool:
    return isinstance(told, dict) and {"uuid", "status", "completedInstances"} <= told.keys()


def _key_of(uri: str) -> str:
    return uri.partition("://")[2].partition("/")[2]  # the host may change: a server may come back at another port


def _plain_path(path: str) -> str:
    return re.sub(r"^/v1(\.0)?(?=/)", "", unquote(path))


def _decoded(content_type: str, content: bytes) -> Any:
    if "json" in content_type and content:
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            return content.decode(errors="replace")
    return content.decode(errors="replace")
