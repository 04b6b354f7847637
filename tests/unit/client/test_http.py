"""The REST client: what it sends, what it retries, what it raises."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from hearth_client.errors import ConnectionFailed, HttpError, TimedOut, UnreadableAnswer
from hearth_client.http import HttpClient, url_path
from hearth_client.retry import RetryPolicy


class Server:
    """Gives prepared answers one after the other, the last for ever, and keeps the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers: Iterator[httpx.Response | Exception] = iter(answers)
        self.last: httpx.Response | Exception = httpx.Response(200)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.last = next(self.answers, self.last)
        if isinstance(self.last, Exception):
            raise self.last
        return self.last

    def client(self, base_url: str = "http://server.test", **options: object) -> HttpClient:
        return HttpClient(
            base_url,
            "the-token",
            transport=httpx.MockTransport(self),
            sleep=self.pauses.append,
            **options,  # type: ignore[arg-type]
        )


def test_the_token_travels_bare_and_a_body_as_json():
    server = Server(httpx.Response(200, json={"uuid": "u"}))
    assert server.client(user_agent="tests/1").post("/tasks", {"name": "é"}) == {"uuid": "u"}
    (request,) = server.requests
    assert request.headers["Authorization"] == "the-token"
    assert request.headers["User-Agent"] == "tests/1"
    assert request.headers["Accept"] == "*/*"
    assert request.headers["Content-Type"] == "application/json"
    assert request.content == '{"name":"é"}'.encode()


def test_a_request_without_a_body_has_no_content_type():
    server = Server(httpx.Response(200))
    assert server.client().post("/tasks/u/abort") is None
    assert "Content-Type" not in server.requests[0].headers
    assert server.requests[0].headers["Content-Length"] == "0"


def test_every_method_has_its_shorthand():
    server = Server(httpx.Response(200, json=1))
    with server.client() as client:
        answers = [client.get("/x"), client.put("/x", {}), client.patch("/x"), client.delete("/x")]
        assert (answers, client.get_text("/x")) == ([1, 1, 1, 1], "1")
    assert [request.method for request in server.requests] == ["GET", "PUT", "PATCH", "DELETE", "GET"]
    with pytest.raises(RuntimeError):
        client.get("/x")


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://server.test", "http://server.test/tasks"),
        ("http://server.test/", "http://server.test/tasks"),
        ("http://server.test/v1/", "http://server.test/v1/tasks"),
    ],
)
def test_slashes_never_double_where_url_and_path_meet(base, url):
    server = Server(httpx.Response(200))
    server.client(base).get("/tasks")
    assert str(server.requests[0].url) == url


def test_path_segments_are_escaped():
    assert url_path("tasks", "a/b c", "stdout", 3) == "/tasks/a%2Fb%20c/stdout/3"


def test_a_parameter_without_a_value_is_left_out():
    server = Server(httpx.Response(200))
    server.client().get("/x", params={"limit": 5, "offset": None})
    assert server.requests[0].url.query == b"limit=5"


def test_a_url_without_a_scheme_is_refused():
    with pytest.raises(ValueError, match=r"'server\.test' should begin with http"):
        HttpClient("server.test", "t")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again_after_growing_pauses(status):
    server = Server(*[httpx.Response(status)] * 3, httpx.Response(200, json=[]))
    client = server.client(retry=RetryPolicy(count=5, wait_seconds=0.5))
    assert client.post("/tasks", {}) == []
    assert server.pauses == [0.5, 1.0, 2.0]


def test_the_last_refusal_is_raised_after_count_retries():
    server = Server(httpx.Response(503, json={"message": "busy"}))
    with pytest.raises(HttpError, match="503: busy"):
        server.client(retry=RetryPolicy(count=2)).get("/x")
    assert len(server.requests) == 3
    assert server.pauses == [1.0, 2.0]


def test_a_server_that_names_a_pause_is_given_it():
    server = Server(httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(200))
    server.client().get("/x")
    assert server.pauses == [7.0]


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 501])
def test_other_refusals_are_not_repeated(status):
    server = Server(httpx.Response(status, json={"message": "no"}))
    with pytest.raises(HttpError) as caught:
        server.client().get("/x")
    assert (caught.value.status, len(server.requests)) == (status, 1)


def test_a_server_that_cannot_be_reached_is_tried_again_for_every_method():
    server = Server(httpx.ConnectError("refused"), httpx.Response(200, json={"uuid": "u"}))
    assert server.client().post("/tasks", {}) == {"uuid": "u"}


def test_a_broken_connection_repeats_what_does_no_harm_twice():
    server = Server(httpx.RemoteProtocolError("closed"), httpx.Response(200, json=1))
    assert server.client().get("/x") == 1
    server = Server(httpx.ReadError("reset"), httpx.Response(200, json=1))
    assert server.client().post("/tasks/paginate", {}, repeatable=True) == 1


def test_a_submission_is_not_repeated_when_the_server_may_have_taken_it():
    server = Server(httpx.RemoteProtocolError("closed"), httpx.Response(200))
    with pytest.raises(ConnectionFailed):
        server.client().post("/tasks", {})
    assert len(server.requests) == 1


def test_what_creates_has_one_key_for_all_its_copies_and_another_for_the_next_request():
    server = Server(httpx.RemoteProtocolError("closed"), httpx.Response(503), httpx.Response(200, json={"uuid": "u"}))
    client = server.client()
    assert client.post("/tasks", {}, creates=True) == {"uuid": "u"}
    assert client.post("/tasks", {}, creates=True) == {"uuid": "u"}
    keys = [request.headers["Idempotency-Key"] for request in server.requests]
    assert len(keys) == 4 and keys[0] == keys[1] == keys[2] != keys[3]
    assert len(keys[0]) == 36
    client.post("/tasks/paginate", {})
    assert "Idempotency-Key" not in server.requests[-1].headers


def test_no_answer_is_a_connection_error_of_python_too():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        client = HttpClient(url, "t", retry=RetryPolicy(count=0))
        with pytest.raises(ConnectionError, match=f"no answer from {url}/x"):
            client.get("/x")


def test_no_answer_in_time_is_a_timeout_error_too():
    server = Server(httpx.ReadTimeout("slow"))
    with pytest.raises(TimedOut) as caught:
        server.client(retry=RetryPolicy(count=0)).get("/x")
    assert isinstance(caught.value, TimeoutError)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(400, json={"message": "bad name"}), "bad name"),
        (httpx.Response(400, json={"Message": "bad name"}), "bad name"),
        (httpx.Response(400, json={"error": "bad"}), "bad"),
        (httpx.Response(401, json={"error": {"message": "Bad token", "code": 401}}), "Bad token"),
        (httpx.Response(400, json="as text"), "as text"),
        (httpx.Response(502, text="<html>gateway</html>"), "<html>gateway</html>"),
        (httpx.Response(404), "Not Found"),
        (httpx.Response(400, json={}), "Bad Request"),
        (httpx.Response(400, json={"message": None, "title": "t"}), '{"message":null,"title":"t"}'),
    ],
)
def test_the_message_is_found_in_whatever_body_there_is(answer, message):
    server = Server(answer)
    with pytest.raises(HttpError) as caught:
        server.client(retry=RetryPolicy(count=0)).get("/x")
    assert caught.value.message == message


def test_the_body_stays_with_the_error():
    server = Server(httpx.Response(400, json={"message": "no", "errors": {"name": ["empty"]}}))
    with pytest.raises(HttpError) as caught:
        server.client().get("/x")
    assert caught.value.body == {"message": "no", "errors": {"name": ["empty"]}}


def test_an_answer_that_should_be_json_and_is_not_says_so():
    server = Server(httpx.Response(200, text="hello"))
    with pytest.raises(UnreadableAnswer, match="should be JSON, but is 'hello'"):
        server.client().get("/x")


def test_redirects_are_followed():
    server = Server(httpx.Response(307, headers={"Location": "/there"}), httpx.Response(200, json=1))
    assert server.client().get("/here") == 1
    assert [request.url.path for request in server.requests] == ["/here", "/there"]


def test_a_certificate_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pem"):
        HttpClient("https://server.test", "t", verify=tmp_path / "none.pem")


@pytest.mark.parametrize("policy", [{"count": -1}, {"wait_seconds": -0.1}])
def test_a_senseless_retry_policy_is_refused(policy):
    with pytest.raises(ValueError, match="must be 0 or more"):
        RetryPolicy(**policy)
