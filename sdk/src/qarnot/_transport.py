"""The wires of a connection: REST with the token, and S3 with the account's e-mail and token."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Final

import boto3
import httpx
from botocore.config import Config

from hearth_client.errors import HttpError, UnreadableAnswer
from hearth_client.http import DEFAULT_TIMEOUT_SECONDS, HttpClient, Params, read_json, url_path
from hearth_client.retry import RetryPolicy
from qarnot._configuration import Configuration
from qarnot._refusals import Special, exception_for
from qarnot._version import USER_AGENT
from qarnot.exceptions import QarnotGenericException

# Eight files at once, each in up to ten parts.
_CONNECTIONS: Final = 80


class Rest:
    """Asks the platform, and turns its refusals into exceptions of this SDK."""

    def __init__(self, configuration: Configuration, retry_count: int, retry_wait: float) -> None:
        self._client = HttpClient(
            configuration.cluster_url,
            configuration.token,
            timeout_seconds=configuration.cluster_timeout_seconds or DEFAULT_TIMEOUT_SECONDS,
            verify=configuration.cluster_verify,
            retry=RetryPolicy(retry_count, retry_wait),
            user_agent=USER_AGENT,
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Params | None = None,
        special: Special | None = None,
        repeatable: bool | None = None,
        creates: bool = False,
    ) -> httpx.Response:
        """Return the answer; `special` says what some refusals mean here, `creates` that it must be done once."""
        try:
            return self._client.request(method, path, json=json, params=params, repeatable=repeatable, creates=creates)
        except HttpError as error:
            raise exception_for(error, special) from error

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Return the JSON body of the answer."""
        try:
            return read_json(self.call(method, path, **options))
        except UnreadableAnswer as error:
            raise QarnotGenericException(error) from error

    def text(self, method: str, segments: Iterable[object], special: Special | None = None) -> str:
        """Return the answer as text."""
        return self.call(method, url_path(*segments), special=special).text


class S3:
    """Makes boto3's client and resource when they are first needed."""

    def __init__(self, url: str, access_key: str, secret_key: str, verify: bool | str) -> None:
        self._url = url
        self._access_key = access_key
        self._secret_key = secret_key
        self._verify = verify
        self._lock = threading.Lock()
        self._made: tuple[Any, Any] | None = None

    @property
    def client(self) -> Any:
        """The S3 client."""
        return self._make()[0]

    @property
    def resource(self) -> Any:
        """The S3 resource."""
        return self._make()[1]

    def _make(self) -> tuple[Any, Any]:
        with self._lock:
            if self._made is None:
                session = boto3.session.Session(
                    aws_access_key_id=self._access_key, aws_secret_access_key=self._secret_key
                )
                options = {
                    "endpoint_url": self._url,
                    "verify": self._verify,
                    "region_name": session.region_name or "us-east-1",
                    "config": Config(
                        signature_version="s3v4",
                        s3={"addressing_style": "path"},
                        request_checksum_calculation="when_required",
                        response_checksum_validation="when_required",
                        user_agent_extra=USER_AGENT,
                        max_pool_connections=_CONNECTIONS,
                    ),
                }
                self._made = session.client("s3", **options), session.resource("s3", **options)
            return self._made
