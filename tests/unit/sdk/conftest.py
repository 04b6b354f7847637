"""A platform in miniature on loopback: enough REST and S3 for the SDK, and a memory of what was asked."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from uuid import uuid4
from xml.etree import ElementTree

import pytest

import qarnot
from qarnot._transport import S3

TOKEN = "tok123"
CREATED = "2026-01-31T12:00:00Z"


@dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def line(self) -> str:
        query = "?" + "&".join(f"{key}={value}" if value else key for key, value in self.query)
        return f"{self.method} {self.path}{query if self.query else ''}"


@dataclass
class Answer:
    """What was answered."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> tuple[bytes, dict[str, str]]:
        if isinstance(self.body, bytes):
            return self.body, self.headers
        if isinstance(self.body, str):
            return self.body.encode(), {"Content-Type": "text/plain; charset=utf-8", **self.headers}
        if self.body is None and self.status == 200:
            return b"", self.headers
        return json.dumps(self.body).encode(), {"Content-Type": "application/json", **self.headers}


def refusal(status: int, message: str) -> Answer:
    return Answer(status, {"message": message})


class Platform:
    """The server's side, as a test sees it."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.s3_requests: list[Request] = []
        self.info: dict[str, Any] = {"email": "user@hearth.test", "maxTask": 100, "taskCount": 3}
        self.settings: dict[str, Any] = {}
        self.things: dict[tuple[str, str], dict[str, Any]] = {}
        self.scripts: dict[str, Iterator[dict[str, Any]]] = {}
        self.prepared: dict[str, list[Answer]] = {}
        self.buckets: dict[str, dict[str, tuple[bytes, str]]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}

    def prepare(self, line: str, *answers: Answer) -> None:
        """Answer requests of this line with these, the last one again and again."""
        self.prepared[line] = list(answers)

    def script(self, uuid: str, *changes: dict[str, Any]) -> None:
        """Change a task at each GET of it, before it is shown."""
        self.scripts[uuid] = iter(changes)

    def lines(self) -> list[str]:
        """The REST requests since the last call."""
        seen = [request.line for request in self.requests]
        self.requests.clear()
        return seen

    def s3_lines(self) -> list[str]:
        """The S3 requests since the last call."""
        seen = [request.line for request in self.s3_requests]
        self.s3_requests.clear()
        return seen

    def bodies(self, line: str) -> list[Any]:
        """The JSON bodies of the REST requests of this line."""
        return [request.json for request in self.requests if request.line == line]

    def content(self, bucket: str) -> dict[str, bytes]:
        """What is in a bucket."""
        return {key: data for key, (data, _) in self.buckets[bucket].items()}

    def rest(self, request: Request) -> Answer:
        self.requests.append(request)
        if (answers := self.prepared.get(request.line)) is not None:
            return answers.pop(0) if len(answers) > 1 else answers[0]
        if request.path == "/settings":
            return Answer(body=self.settings)
        if request.headers.get("Authorization") != TOKEN:
            return Answer(401, {"error": {"message": "Bad authentication token", "code": 401}, "message": "Bad"})
        if request.path == "/info":
            return Answer(body=self.info)
        noun, *rest = request.path.strip("/").split("/")
        if request.method == "POST" and not rest:
            if isinstance(request.json, list):
                return Answer(207, [self._bulk(noun, item) for item in request.json])
            return Answer(body={"uuid": self._add(noun, request.json)})
        if rest and (thing := self.things.get((noun, rest[0]))) is not None:
            if rest[1:]:
                return Answer(body={})
            if request.method == "DELETE":
                del self.things[noun, rest[0]]
                return Answer()
            thing.update(next(self.scripts.get(rest[0], iter(())), {}))
            return Answer(body=thing)
        return refusal(404, f"No such {noun.removesuffix('s')}: {'/'.join(rest)}")

    def _bulk(self, noun: str, item: dict[str, Any]) -> dict[str, Any]:
        if item["name"] == "bad":
            return {"statusCode": 400, "uuid": None, "message": "Invalid task file. Invalid fields: name"}
        return {"statusCode": 200, "uuid": self._add(noun, item), "message": None}

    def _add(self, noun: str, submitted: dict[str, Any]) -> str:
        uuid = str(uuid4())
        self.things[noun, uuid] = {
            "shortname": uuid,
            "errors": [],
            "completedInstances": [],
            "resultsCount": 0,
            "runningInstanceCount": 0,
            "runningCoreCount": 0,
            **submitted,
            "uuid": uuid,
            "state": "Submitted",
            "creationDate": CREATED,
        }
        return uuid

    def s3(self, request: Request) -> Answer:
        self.s3_requests.append(request)
        assert f"Credential={self.info['email']}/" in request.headers["Authorization"]
        bucket, _, key = unquote(request.path.removeprefix("/")).partition("/")
        query = dict(request.query)
        if not bucket:
            names = "".join(f"<Bucket><Name>{name}</Name></Bucket>" for name in sorted(self.buckets))
            return _xml(f"<ListAllMyBucketsResult><Buckets>{names}</Buckets></ListAllMyBucketsResult>")
        if not key and request.method == "PUT":
            self.buckets.setdefault(bucket, {})
            return Answer()
        if bucket not in self.buckets:
            error = f"<Error><Code>NoSuchBucket</Code><BucketName>{bucket}</BucketName></Error>"
            return _xml("" if request.method == "HEAD" else error, 404)
        return self._object(request, bucket, key, query) if key else self._bucket(request, bucket, query)

    def _bucket(self, request: Request, bucket: str, query: dict[str, str]) -> Answer:
        objects = self.buckets[bucket]
        match request.method:
            case "HEAD":
                return Answer()
            case "DELETE":
                assert not objects, "only an empty bucket may be deleted"
                del self.buckets[bucket]
                return Answer(204)
            case "POST":
                for item in ElementTree.fromstring(request.body).iter():
                    if item.tag.endswith("Key"):
                        objects.pop(item.text or "", None)
                return _xml("<DeleteResult/>")
            case _:
                versions = "versions" in query
                found = "".join(
                    f"<{'Version' if versions else 'Contents'}><Key>{quote(key)}</Key><ETag>{etag}</ETag>"
                    f"<Size>{len(data)}</Size><VersionId>null</VersionId>"
                    f"</{'Version' if versions else 'Contents'}>"
                    for key, (data, etag) in sorted(objects.items())
                    if key.startswith(query.get("prefix", ""))
                )
                name = "ListVersionsResult" if versions else "ListBucketResult"
                encoding = "<EncodingType>url</EncodingType>"
                return _xml(f"<{name}>{encoding}<IsTruncated>false</IsTruncated>{found}</{name}>")

    def _object(self, request: Request, bucket: str, key: str, query: dict[str, str]) -> Answer:
        objects = self.buckets[bucket]
        match request.method:
            case "PUT" if source := request.headers.get("x-amz-copy-source"):
                other, _, name = unquote(source).partition("/")
                objects[key] = self.buckets[other][name]
                return _xml(f"<CopyObjectResult><ETag>{objects[key][1]}</ETag></CopyObjectResult>")
            case "PUT" if "uploadId" in query:
                self.uploads[query["uploadId"]][int(query["partNumber"])] = request.body
                return Answer(headers={"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'})
            case "PUT":
                objects[key] = (request.body, f'"{hashlib.md5(request.body).hexdigest()}"')
                return Answer(headers={"ETag": objects[key][1]})
            case "POST" if "uploads" in query:
                upload = str(uuid4())
                self.uploads[upload] = {}
                return _xml(
                    f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
                )
            case "POST":
                parts = [part for _, part in sorted(self.uploads.pop(query["uploadId"]).items())]
                digest = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
                objects[key] = (b"".join(parts), f'"{digest}-{len(parts)}"')
                return _xml("<CompleteMultipartUploadResult/>")
            case "DELETE":
                objects.pop(key, None)
                return Answer(204)
            case _ if key not in objects:
                return _xml("" if request.method == "HEAD" else "<Error><Code>NoSuchKey</Code></Error>", 404)
            case _:
                return self._bytes(request, *objects[key])

    def _bytes(self, request: Request, data: bytes, etag: str) -> Answer:
        headers = {"ETag": etag, "Content-Length": str(len(data))}
        if request.method == "HEAD":
            return Answer(headers=headers)
        if wanted := request.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            end = min(int(last or len(data) - 1), len(data) - 1)
            part = data[int(first) : end + 1]
            headers |= {
                "Content-Length": str(len(part)),
                "Content-Range": f"bytes {first}-{end}/{len(data)}",
            }
            return Answer(206, part, headers)
        return Answer(200, data, headers)


def _xml(text: str, status: int = 200) -> Answer:
    return Answer(status, text.encode(), {"Content-Type": "application/xml"})


def _serve(answer: Callable[[Request], Answer]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_one(self) -> None:
            target = urlsplit(self.path)
            query = parse_qsl(target.query, keep_blank_values=True)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given = answer(Request(self.command, target.path, query, dict(self.headers), body))
            content, headers = given.encoded()
            self.send_response(given.status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers and given.status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_one

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own configuration reaches a test."""
    for name in ("CLIENT_TOKEN", "CLUSTER_URL", "CLUSTER_TIMEOUT", "CLUSTER_UNSAFE", "STORAGE_URL"):
        monkeypatch.delenv(f"QARNOT_{name}", raising=False)
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Servers:
    """The two listeners, kept for the whole session, in front of the platform of the running test."""

    def __init__(self) -> None:
        self.platform = Platform()
        self.rest = _serve(lambda request: self.platform.rest(request))
        self.s3 = _serve(lambda request: self.platform.s3(request))

    def fresh_platform(self) -> Platform:
        self.platform = Platform()
        self.platform.url = f"http://127.0.0.1:{self.rest.server_port}"
        self.platform.settings = {"storage": f"http://127.0.0.1:{self.s3.server_port}"}
        return self.platform

    def close(self) -> None:
        for server in (self.rest, self.s3):
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def storage(servers: Servers) -> S3:
    """One pair of boto3 clients for the session: making them is slow."""
    return S3(f"http://127.0.0.1:{servers.s3.server_port}", "user@hearth.test", TOKEN, True)


@pytest.fixture
def platform(servers: Servers) -> Platform:
    return servers.fresh_platform()


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connection(platform: Platform, storage: S3, clock: Clock) -> qarnot.Connection:
    """A connection whose first two requests are already forgotten."""
    connection = qarnot.Connection(client_token=TOKEN, cluster_url=platform.url, retry_count=0)
    connection._s3 = storage
    connection._now = lambda: clock.now
    connection._sleep = clock.sleep
    platform.requests.clear()
    return connection


@pytest.fixture
def refuse() -> Callable[[int, str], Answer]:
    return refusal


@pytest.fixture
def answer() -> type[Answer]:
    return Answer
