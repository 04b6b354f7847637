"""A REST client of the platform: token, base URL, timeouts, TLS, retries, errors with their message."""

from __future__ import annotations

import contextlib
import functools
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx
import msgspec

from hearth_client.errors import ConnectionFailed, HttpError, TimedOut, UnreadableAnswer, error_message
from hearth_client.retry import RETRIED_STATUSES, RetryPolicy, asked_pause

Params = Mapping[str, Any] | Sequence[tuple[str, Any]]

USER_AGENT: Final = "hearth-client/0.1.0"
DEFAULT_TIMEOUT_SECONDS: Final = 60.0
IDEMPOTENCY_KEY: Final = "Idempotency-Key"

# A second copy of these does no harm. Others are sent again only when the first surely was not received.
_REPEATABLE_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
# Servers close connections that were idle for some seconds; ours are given up before, so that no request
# meets one that is just being closed.
_LIMITS: Final = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=2.0)
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def url_path(*segments: object) -> str:
    """Return a path of escaped segments: `url_path("tasks", "a/b")` is `/tasks/a%2Fb`."""
    return "".join("/" + quote(str(segment), safe="") for segment in segments)


def read_json(response: httpx.Response) -> Any:
    """Return the JSON body of an answer, None when it has no body."""
    if not response.content:
        return None
    try:
        return msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeError):
        raise UnreadableAnswer(str(response.request.url), response.text) from None


class HttpClient:
    """Sends requests with the account's token and retries what may be retried.

    `verify` is True (the system's certificates), False (none are checked) or the path of a
    certificate file or folder. Safe for use by several threads.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        timeout_seconds: float | None = DEFAULT_TIMEOUT_SECONDS,
        verify: bool | str | Path = True,
        retry: RetryPolicy | None = None,
        user_agent: str = USER_AGENT,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not base_url.lower().startswith(("http://", "https://")):
            raise ValueError(f"the URL {base_url!r} should begin with http:// or https://")
        self.base_url = base_url.rstrip("/")
        self.retry = RetryPolicy() if retry is None else retry
        self._sleep = sleep
        headers = {"Accept": "*/*", "User-Agent": user_agent}
        if token:
            headers["Authorization"] = token
        self._client = httpx.Client(
            headers=headers,
            timeout=timeout_seconds,
            verify=_certificates(verify),
            follow_redirects=True,
            transport=transport,
            limits=_LIMITS,
        )

    def url(self, path: str) -> str:
        """Return the whole URL of a path, however many slashes meet where they join."""
        return self.base_url + "/" + path.lstrip("/")

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        creates: bool = False,
    ) -> httpx.Response:
        """Return the 2xx answer, or raise `HttpError` or `ConnectionFailed` after the last attempt.

        Statuses 429, 500, 502, 503 and 504 and failures to connect are retried for every method. A
        connection that broke after the request was sent is retried when `repeatable`, by default
        for GET, HEAD, PUT and DELETE. With `creates` the request has a key of its own, by which the
        server carries it out once however often it is sent, so it is repeatable too.
        """
        if creates:
            headers = {IDEMPOTENCY_KEY: str(uuid.uuid4()), **(headers or {})}
        request = self._client.build_request(
            method,
            self.url(path),
            content=None if json is None else msgspec.json.encode(json),
            params=_parameters(params),
            headers={**({} if json is None else {"Content-Type": "application/json"}), **(headers or {})},
        )
        may_repeat = method.upper() in _REPEATABLE_METHODS if repeatable is None else repeatable
        may_repeat = may_repeat or creates
        pauses = self.retry.pauses()
        while True:
            pause = next(pauses, None)
            try:
                response = self._client.send(request)
            except httpx.TransportError as failure:
                if pause is None or not (may_repeat or isinstance(failure, _NEVER_SENT)):
                    raise _connection_failed(str(request.url), failure) from failure
                self._sleep(pause)
                continue
            if response.is_success:
                return response
            if pause is None or response.status_code not in RETRIED_STATUSES:
                raise http_error(response)
            self._sleep(max(pause, asked_pause(response.headers.get("Retry-After"))))

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        read_timeout_seconds: float | None = None,
    ) -> Iterator[httpx.Response]:
        """Send a request once and give its answer, whatever its status, while its body is still coming."""
        timeout = httpx.Timeout(self._client.timeout.connect, read=read_timeout_seconds)
        with self._client.stream(
            method, self.url(path), params=_parameters(params), headers=dict(headers or {}), timeout=timeout
        ) as answer:
            yield answer

    def get(self, path: str, *, params: Params | None = None) -> Any:
        """GET and return the JSON body."""
        return read_json(self.request("GET", path, params=params))

    def get_text(self, path: str) -> str:
        """GET and return the body as text."""
        return self.request("GET", path).text

    def post(self, path: str, json: Any = None, *, repeatable: bool = False, creates: bool = False) -> Any:
        """POST and return the JSON body."""
        return read_json(self.request("POST", path, json=json, repeatable=repeatable, creates=creates))

    def put(self, path: str, json: Any = None) -> Any:
        """PUT and return the JSON body."""
        return read_json(self.request("PUT", path, json=json))

    def patch(self, path: str, json: Any = None, *, repeatable: bool = False) -> Any:
        """PATCH and return the JSON body."""
        return read_json(self.request("PATCH", path, json=json, repeatable=repeatable))

    def delete(self, path: str, *, params: Params | None = None) -> Any:
        """DELETE and return the JSON body."""
        return read_json(self.request("DELETE", path, params=params))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def http_error(response: httpx.Response) -> HttpError:
    """Return the error that an answer outside 2xx stands for."""
    reason = response.reason_phrase or f"HTTP status {response.status_code}"
    message, body = error_message(response.text, reason)
    return HttpError(response.status_code, message, body, response.headers)


def _connection_failed(url: str, failure: httpx.TransportError) -> ConnectionFailed:
    kind = TimedOut if isinstance(failure, httpx.TimeoutException) else ConnectionFailed
    return kind(url, str(failure) or type(failure).__name__)


@functools.cache
def _usual_certificates() -> ssl.SSLContext:
    # Reading them takes tens of milliseconds, so all clients of a process share them.
    return httpx.create_ssl_context()


def _certificates(verify: bool | str | Path) -> ssl.SSLContext | bool:
    if isinstance(verify, bool):
        return _usual_certificates() if verify else False
    path = Path(verify)
    if not path.exists():
        raise FileNotFoundError(f"the certificate file {str(path)!r} does not exist")
    return ssl.create_default_context(
        cafile=None if path.is_dir() else str(path), capath=str(path) if path.is_dir() else None
    )


def _parameters(params: Params | None) -> list[tuple[str, str | int | float | bool | None]] | None:
    """Return the query as pairs, without those that have no value."""
    if params is None:
        return None
    pairs = params.items() if isinstance(params, Mapping) else params
    return [(name, value) for name, value in pairs if value is not None]
