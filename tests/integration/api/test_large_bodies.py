"""Bodies of any size, over a real socket."""

from __future__ import annotations

import asyncio
import resource
import socket
import threading
from collections.abc import Iterator

import httpx
import msgspec
import pytest
import uvicorn

from tests.integration.api.sites import TestSite, a_task

MIB = 1 << 20


class Server(uvicorn.Server):
    """A server that tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@pytest.fixture
def url(site: TestSite) -> Iterator[str]:
    """The address of the door, served by a thread."""
    server = Server(uvicorn.Config(site.door, host="127.0.0.1", port=0, log_level="error"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    assert server.listening.wait(20)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def zeros(size: int) -> Iterator[bytes]:
    chunk = b"0" * MIB
    for _ in range(size // MIB):
        yield chunk


@pytest.mark.parametrize("told", [True, False], ids=["with its length", "in chunks"])
def test_a_body_of_300_megabytes_is_refused_and_never_held(site: TestSite, url: str, told: bool) -> None:
    _, token = asyncio.run(site.account())
    headers = {"Authorization": token, "Content-Type": "application/json"}
    if told:
        headers["Content-Length"] = str(300 * MIB)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with httpx.Client(timeout=60) as client:
        answer = client.post(f"{url}/tasks", content=zeros(300 * MIB), headers=headers)
        assert answer.status_code == 413
        assert answer.json()["message"].startswith("the body is larger than the 64 MB")
        assert client.get(f"{url}/tasks", headers={"Authorization": token}).json() == []
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < 200


def test_many_tasks_in_one_body_are_taken(site: TestSite, url: str) -> None:
    _, token = asyncio.run(site.account())
    body = msgspec.json.encode([a_task(name=f"task {n}", labels={"text": "x" * 2000}) for n in range(2000)])
    assert len(body) > 4 * MIB
    with httpx.Client(timeout=60, headers={"Authorization": token}) as client:
        answer = client.post(f"{url}/tasks", content=body)
        assert answer.status_code == 207
        uuids = [one["uuid"] for one in answer.json()]
        assert len(set(uuids)) == 2000
        assert client.get(f"{url}/tasks/{uuids[1234]}").json()["name"] == "task 1234"
        assert client.get(f"{url}/info").json()["taskCount"] == 2000
