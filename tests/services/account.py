"""Somebody who uses a platform over HTTP and S3, as tests arrange and check things."""

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

import boto3
import httpx
from botocore.config import Config

from tests.services.process import await_true

FINAL = ("Success", "Failure", "Cancelled")
Json = dict[str, Any]


class Account:
    """One account of a platform."""

    def __init__(
        self, api_url: str, storage_url: str, email: str, token: str, *, told_by: Callable[[], str] = str
    ) -> None:
        """`told_by` gives what is shown when something does not come."""
        self.email = email
        self.token = token
        self._storage_url = storage_url
        self._told_by = told_by
        self.api = httpx.Client(base_url=api_url, headers={"Authorization": token}, timeout=30, trust_env=False)

    @cached_property
    def s3(self) -> Any:
        """A boto3 client of the storage."""
        return boto3.client(
            "s3",
            endpoint_url=self._storage_url,
            aws_access_key_id=self.email,
            aws_secret_access_key=self.token,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
        )

    # Tasks -------------------------------------------------------------------------------------------

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Send a request that changes something."""
        return self.api.post(path, json=body, **more) if body is not None else self.api.post(path, **more)

    def submit(self, command: str, **fields: Any) -> str:
        """Submit a task of one instance, unless `fields` say otherwise; return its uuid."""
        answer = self.post("/tasks", a_task(command, **fields))
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        return str(answer.json()["uuid"])

    def task(self, uuid: str) -> Json:
        """Return a task."""
        answer = self.api.get(f"/tasks/{uuid}")
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        found: Json = answer.json()
        return found

    def await_task(self, uuid: str, condition: Callable[[Json], bool], what: str, seconds: float = 40) -> Json:
        """Wait until a task is as wanted; return it. A server that is away meanwhile is waited for."""
        last: Json = {}

        def holds() -> bool:
            nonlocal last
            try:
                last = self.task(uuid)
            except httpx.TransportError:
                return False
            return condition(last)

        try:
            await_true(holds, what=what, seconds=seconds)
        except TimeoutError as late:
            raise TimeoutError(f"{late}\n{json.dumps(last, indent=1)[:6000]}\n{self._told_by()}") from None
        return last

    def await_state(self, uuid: str, *states: str, seconds: float = 40) -> Json:
        """Wait until a task is in one of some states; return it."""
        return self.await_task(uuid, lambda task: task["state"] in states, f"{uuid} is {' or '.join(states)}", seconds)

    def await_end(self, uuid: str, seconds: float = 40) -> Json:
        """Wait until a task is over; return it."""
        return self.await_state(uuid, *FINAL, seconds=seconds)

    def run(self, command: str, seconds: float = 40, **fields: Any) -> Json:
        """Submit a task, wait for its end, and return it."""
        return self.await_end(self.submit(command, **fields), seconds)

    def stdout(self, uuid: str, number: int | None = None) -> str:
        """Return the whole output of a task, or of one instance."""
        return self._output(uuid, "stdout", number)

    def stderr(self, uuid: str, number: int | None = None) -> str:
        """Return the whole error output of a task, or of one instance."""
        return self._output(uuid, "stderr", number)

    def _output(self, uuid: str, stream: str, number: int | None) -> str:
        path = f"/tasks/{uuid}/{stream}" + ("" if number is None else f"/{number}")
        answer = self.api.get(path, headers={"Accept": "*/*"})
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        return answer.text

    def await_stdout(self, uuid: str, text: str, seconds: float = 30) -> str:
        """Wait until a text is in the output of a task; return the output."""
        self._wait(lambda: text in self.stdout(uuid), f"{text!r} is in the output of {uuid}", seconds)
        return self.stdout(uuid)

    def _wait(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        try:
            await_true(condition, what=what, seconds=seconds)
        except TimeoutError as late:
            raise TimeoutError(f"{late}\n{self._told_by()}") from None

    # Buckets -----------------------------------------------------------------------------------------

    def make_bucket(self, name: str, **files: str | bytes) -> str:
        """Make a bucket with files in it; `__` in a name stands for a dot."""
        self.s3.create_bucket(Bucket=name)
        self.put(name, {key.replace("__", "."): content for key, content in files.items()})
        return name

    def put(self, bucket: str, files: dict[str, str | bytes]) -> None:
        """Store files in a bucket."""
        for key, content in files.items():
            self.s3.put_object(Bucket=bucket, Key=key, Body=content)

    def keys(self, bucket: str) -> list[str]:
        """Return the keys of a bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def files(self, bucket: str) -> dict[str, str]:
        """Return all that is in a bucket, as text."""
        return {key: self.file(bucket, key) for key in self.keys(bucket)}

    def file(self, bucket: str, key: str) -> str:
        """Return one object, as text."""
        body: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body.decode()


def a_task(command: str, **fields: Any) -> Json:
    """Return a submission of a task of one instance; `constants` is a mapping here, `shell=True` asks for one."""
    constants = {"DOCKER_CMD": command, **fields.pop("constants", {})}
    if fields.pop("shell", False):
        constants["DOCKER_CMD"] = "sh -c 'eval \"$SCRIPT\"'"
        constants["SCRIPT"] = command
    task: Json = {"name": "a task", "profile": "docker-batch", **fields}
    task["constants"] = [{"key": key, "value": value} for key, value in constants.items()]
    if "instanceCount" not in task and "advancedRanges" not in task:
        task["instanceCount"] = 1
    return task
