"""What cannot be is refused with a sentence that says so, and nothing that was there before suffers."""

import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.services.account import Account, Json, a_task
from tests.services.platform import Platform

MEGABYTE = 1 << 20
SCOPE = "20260101/us-east-1/s3/aws4_request"


@pytest.fixture(scope="module")
def kept(shared_platform: Platform) -> Iterator[tuple[Account, str]]:
    """A finished task that must be the same after all that this module does."""
    user = shared_platform.account()
    uuid = user.run("echo kept", name="kept", resultBucket="kept-results", shell=True)["uuid"]
    user.make_bucket("kept-bucket", file="kept")
    before = task_of(user, uuid)
    pid = shared_platform.pid("server")
    yield user, uuid
    assert shared_platform.pid("server") == pid, "the server has died of something"
    assert task_of(user, uuid) == before
    assert user.stdout(uuid) == "0> kept\n"
    assert user.files("kept-bucket") == {"file": "kept"}
    again = user.run("echo still at work")
    assert user.stdout(again["uuid"]) == "0> still at work\n"


def task_of(user: Account, uuid: str) -> Json:
    """Return a task, without the time at which it is told."""
    task = user.task(uuid)
    task["status"]["timestamp"] = task["status"]["runningInstancesInfo"]["timestamp"] = None
    return task


def refused(answer: httpx.Response, status: int, *words: str) -> str:
    """Check that an answer is a refusal that has these words in it; return its sentence."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    message = answer.json()["message"]
    assert isinstance(message, str)
    for word in words:
        assert word.lower() in message.lower()
    return message


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"name": 7}, 400, ["name"]),
        ({"name": ""}, 400, ["name"]),
        ({"name": None}, 400, ["name"]),
        ({"name": "n" * 3000}, 400, ["name", "2048"]),
        ({"name": "nul\0"}, 400, ["name"]),
        ({"profile": "no-such-profile"}, 400, ["profile", "no-such-profile"]),
        ({"profile": None}, 400, ["profile"]),
        ({"profile": "../../etc/passwd"}, 400, ["profile"]),
        ({"profile": ["docker-batch"]}, 400, ["profile"]),
        ({"resourceBuckets": ["no-such-bucket"]}, 404, ["No such bucket: no-such-bucket"]),
        ({"resourceBuckets": "text"}, 400, ["resourceBuckets"]),
        ({"resourceBuckets": [f"b{n}" for n in range(101)]}, 400, ["100"]),
        ({"instanceCount": 2, "advancedRanges": "1-3"}, 400, ["instanceCount", "advancedRanges"]),
        ({"instanceCount": None}, 400, ["instanceCount"]),
        ({"instanceCount": 0}, 400, ["instanceCount"]),
        ({"instanceCount": -1}, 400, ["instanceCount"]),
        ({"instanceCount": 1.5}, 400, ["instanceCount"]),
        ({"instanceCount": "many"}, 400, ["instanceCount"]),
        ({"instanceCount": 10**12}, 400, ["instanceCount"]),
        ({"instanceCount": 10**30}, 400, ["instanceCount"]),
        ({"constants": "DOCKER_CMD"}, 400, ["constants"]),
        ({"constants": [{"key": "A", "value": None}]}, 400, ["constants"]),
        ({"constants": [{"key": None, "value": "a"}]}, 400, ["constants"]),
        ({"constants": [{"key": "not a name", "value": "a"}]}, 400, ["constants"]),
        ({"constants": [{"key": "A", "value": "v" * 2049}]}, 400, ["constants", "2048"]),
        ({"constants": [{"key": f"K{n}", "value": ""} for n in range(151)]}, 400, ["150"]),
        ({"constants": [{"key": "DOCKER_CMD", "value": {"deep": 1}}]}, 400, ["constants"]),
        ({"tags": "tag"}, 400, ["tags"]),
        ({"tags": [f"t{n}" for n in range(11)]}, 400, ["tags", "10"]),
        ({"tags": ["t" * 600]}, 400, ["tags"]),
        ({"shortname": "-no"}, 400, ["shortname"]),
        ({"shortname": "no_underscore"}, 400, ["shortname"]),
        ({"retrySettings": {"maxTotalRetries": -1}}, 400, ["retr"]),
        ({"retrySettings": 5}, 400, ["retrySettings"]),
        ({"completionTimeToLive": "soon"}, 400, ["completionTimeToLive"]),
        ({"maxTimeQueueSeconds": -5}, 400, ["maxTimeQueueSeconds"]),
        ({"resultsWhitelist": "("}, 400, ["resultsWhitelist"]),
        ({"resultsBlacklist": "r" * 2049}, 400, ["resultsBlacklist"]),
        ({"resultBucket": "a/b"}, 400, ["resultBucket"]),
        ({"schedulingType": "sometimes"}, 400, ["schedulingType"]),
        ({"labels": ["a"]}, 400, ["labels"]),
        ({"poolUuid": "11111111-1111-4111-8111-111111111111", "profile": None}, 400, ["pool"]),
        ({"jobUuid": "11111111-1111-4111-8111-111111111111"}, 400, ["job"]),
        ({"dependencies": {"dependsOn": "x"}}, 400, ["depend"]),
        ({"hardwareConstraints": [{"discriminator": "NoSuchConstraint"}]}, 400, ["hardwareConstraint"]),
    ],
)
def test_a_task_that_cannot_be_is_refused_by_the_field(
    kept: tuple[Account, str], fields: dict[str, Any], status: int, words: list[str]
) -> None:
    user, _ = kept
    body = a_task("true")
    body.update(fields)
    refused(user.post("/tasks", body), status, *words)


@pytest.mark.parametrize(
    "ranges",
    ["5-2", "a-b", "1-", "-1", "1,,2", "1;2", "99999999999999999999", "0-4294967295", "0-2147483648", "1-2-3", "½"],
)
def test_ranges_that_are_none_are_refused(kept: tuple[Account, str], ranges: str) -> None:
    user, _ = kept
    refused(user.post("/tasks", a_task("true", advancedRanges=ranges)), 400, "advancedRanges")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b'{"name": "cut',
        b"null",
        b"7",
        b'"text"',
        b'{"name": "\xff\xfe"}',
        b'{"name": "\\ud800", "profile": "docker-batch", "instanceCount": 1}',
        b"[" * 100_000,
        b'{"name":' * 50_000,
        b'{"instanceCount": ' + b"9" * 5_000 + b"}",
        gzip.compress(b'{"name": "packed"}'),
    ],
)
def test_a_body_that_is_no_submission_is_refused(kept: tuple[Account, str], body: bytes) -> None:
    user, _ = kept
    answer = user.api.post("/tasks", content=body, headers={"Content-Type": "application/json"})
    refused(answer, 400)


def test_of_a_bulk_only_what_is_wrong_is_refused(kept: tuple[Account, str]) -> None:
    user, _ = kept
    bodies = [a_task("true", name=f"bulk {n}") for n in range(3)] + [a_task("true", profile="none")]
    answer = user.post("/tasks", bodies)
    assert answer.status_code == 207
    told = answer.json()
    assert [one["statusCode"] for one in told] == [200, 200, 200, 400]
    assert told[3]["uuid"] is None
    assert "none" in told[3]["message"]
    for one in told[:3]:
        assert user.await_end(one["uuid"])["state"] == "Success"


@pytest.mark.parametrize("body", [[[]], [7], [None], ["text"]])
def test_what_is_no_task_in_a_bulk_is_refused_in_its_place(kept: tuple[Account, str], body: Any) -> None:
    user, _ = kept
    answer = user.post("/tasks", body)
    assert answer.status_code == 207
    assert [one["statusCode"] for one in answer.json()] == [400]


def test_an_unknown_field_is_ignored_and_named(kept: tuple[Account, str]) -> None:
    user, _ = kept
    answer = user.post("/tasks", a_task("true", instanceCont=4, resultBuckets=["x"]))
    assert answer.status_code == 200
    warning = answer.headers["Warning"]
    assert "instanceCont" in warning
    assert "instanceCount" in warning


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/tasks/no-such-task", 404),
        ("GET", "/tasks/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/tasks/%00", 404),
        ("GET", "/profiles/none", 404),
        ("GET", "/nowhere", 404),
        ("DELETE", "/tasks", 405),
        ("PUT", "/profiles", 405),
        ("POST", "/tasks/no-such-task/abort", 404),
    ],
)
def test_a_path_that_leads_nowhere_gets_a_message(
    kept: tuple[Account, str], method: str, path: str, status: int
) -> None:
    user, _ = kept
    refused(user.api.request(method, path), status)


@pytest.mark.parametrize(
    "body",
    [
        {"filter": {"operator": "Equal", "field": "NoSuchField", "value": 1}},
        {"filter": {"operator": "Near", "field": "Name", "value": "x"}},
        {"filter": {"operator": "And", "filters": "x"}},
        {"filter": {"operator": "Like", "field": "Name", "value": "("}},
        {"token": "no token of ours"},
        {"maximumResults": -1},
        {"maximumResults": "all"},
        {"orderBy": "weather"},
    ],
)
def test_a_page_that_cannot_be_is_refused(kept: tuple[Account, str], body: dict[str, Any]) -> None:
    user, _ = kept
    refused(user.post("/tasks/paginate", body), 400)


# Large bodies -------------------------------------------------------------------------------------------


def memory(pid: int) -> int:
    """Return how much memory a process ever held at once, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_300_megabytes_is_refused_without_being_held(
    shared_platform: Platform, kept: tuple[Account, str], announced: bool
) -> None:
    before = memory(shared_platform.pid("server"))
    host, port = shared_platform.api_url.removeprefix("http://").split(":")
    head = f"POST /tasks HTTP/1.1\r\nHost: {host}\r\nAuthorization: {shared_platform.token}\r\n"
    head += "Content-Type: application/json\r\n"
    head += f"Content-Length: {300 * MEGABYTE}\r\n\r\n" if announced else "Transfer-Encoding: chunked\r\n\r\n"
    block = b" " * MEGABYTE
    piece = block if announced else b"%x\r\n%s\r\n" % (len(block), block)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode())
        for _ in range(300):
            try:
                connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break  # it has answered and hung up, as it may
        answer = b""
        try:
            while block := connection.recv(65536):
                answer += block
                if b"\r\n\r\n" in answer and b"message" in answer:
                    break
        except ConnectionResetError:
            pass
    if answer:  # the answer may be lost when the server hangs up in the middle of what it was sent
        assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 "))
        assert b"message" in answer
    assert memory(shared_platform.pid("server")) - before < 150 * MEGABYTE
    assert kept[0].api.get("/info").status_code == 200


def test_a_refused_body_of_a_polite_client_is_told_and_its_connection_goes_on(
    shared_platform: Platform, kept: tuple[Account, str]
) -> None:
    body = json.dumps(a_task("true", name="n" * (2 * MEGABYTE))).encode()
    with httpx.Client(base_url=shared_platform.api_url, headers={"Authorization": shared_platform.token}) as client:
        refused(client.post("/tasks", content=body), 400, "name")
        assert client.get("/info").status_code == 200


# Storage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=me@localhost",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=zz",
        "AWS4-HMAC-SHA256 Credential=me@localhost/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature="
        + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=me@localhost/never/us-east-1/s3/aws4_request, SignedHeaders=, Signature=",
        "AWS me@localhost:signature",
        "Bearer token",
        "\xff",
        "A" * 8000,
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/kept-bucket/file"), ("PUT", "/kept-bucket/new")])
def test_a_malformed_signature_is_refused(
    shared_platform: Platform, kept: tuple[Account, str], method: str, path: str, authorization: str
) -> None:
    headers = {"Authorization": authorization.encode("latin-1"), "x-amz-date": "20260101T000000Z"}
    answer = httpx.request(method, shared_platform.storage_url + path, headers=headers, trust_env=False)  # type: ignore[arg-type]
    assert answer.status_code in (400, 403)
    assert "<Code>" in answer.text
    assert "<Message>" in answer.text


def test_nothing_of_the_storage_is_open_to_strangers(shared_platform: Platform, kept: tuple[Account, str]) -> None:
    for path in ("/", "/kept-bucket", "/kept-bucket/file", "/kept-results"):
        for method in ("GET", "HEAD", "PUT", "DELETE", "POST"):
            answer = httpx.request(method, shared_platform.storage_url + path, trust_env=False)
            assert answer.status_code == 403, f"{method} {path}: {answer.status_code}"


def test_the_agents_door_takes_no_users_token(shared_platform: Platform, kept: tuple[Account, str]) -> None:
    for path, method in (("sync", "POST"), ("report", "POST"), ("resources/1", "GET"), ("results/1/0/1", "PUT")):
        for token in (shared_platform.token, f"Bearer {shared_platform.token}", "Bearer x", ""):
            answer = httpx.request(
                method,
                f"{shared_platform.api_url}/agent/v1/{path}",
                headers={"Authorization": token} if token else {},
                content=b"x" if method != "GET" else None,
                trust_env=False,
            )
            assert answer.status_code == 401
