"""Whatever is wrong: an answer with a message, and nothing half done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.api.sites import TestSite, a_task, open_site

UUID = "9c5b94b1-35ad-49bb-b118-8e8fc24abf80"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestSite]:
    """One site for all: each test has an account of its own."""
    opened = open_site(tmp_path_factory.mktemp("site"))
    yield opened
    opened.site.store.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name: is missing: give the task a name"),
        ({"name": ...}, "name: is missing: give the task a name"),
        ({"name": "n" * 2049}, "name: has 2049 characters, at most 2048 are possible"),
        ({"name": "a\0b"}, "name: may not have the character NUL in it"),
        ({"shortname": "-a"}, "shortname: '-a' should be letters, digits and '-'"),
        ({"shortname": "a_b"}, "shortname: 'a_b' should be"),
        ({"shortname": "a-"}, "shortname: 'a-' should be"),
        ({"shortname": "Search"}, "shortname: 'Search' is a word of the API"),
        ({"profile": ...}, "profile: is missing"),
        ({"profile": "nope"}, "profile: there is no profile 'nope'; there are docker-batch, docker-network, ubuntu"),
        ({"poolUuid": UUID}, "profile: a task in a pool has the pool's profile"),
        ({"poolUuid": UUID, "profile": None}, f"poolUuid: No such pool: {UUID}"),
        ({"jobUuid": UUID}, f"jobUuid: No such job: {UUID}"),
        ({"projectUuid": UUID}, f"projectUuid: No such project: {UUID}"),
        ({"instanceCount": ...}, "instanceCount: is missing: give either instanceCount or advancedRanges"),
        ({"instanceCount": 0}, "instanceCount: 0 is too few"),
        ({"instanceCount": -3}, "instanceCount: -3 is too few"),
        ({"instanceCount": "abc"}, 'instanceCount: expected a number, got "abc"'),
        ({"instanceCount": 10_000_001}, "instanceCount: 10000001 instances are more than the 10000000"),
        ({"instanceCount": 10**40}, "instanceCount: "),
        ({"advancedRanges": "1-3"}, "instanceCount: give either instanceCount or advancedRanges, not both"),
        ({"instanceCount": 0, "advancedRanges": "5-2"}, "advancedRanges: '5-2' ends before it begins; write 2-5"),
        ({"instanceCount": 0, "advancedRanges": "1-x"}, "advancedRanges: '1-x' is not a number or a range"),
        ({"instanceCount": 0, "advancedRanges": "-1"}, "advancedRanges: '-1' is not a number or a range"),
        ({"instanceCount": 0, "advancedRanges": "0-10000000"}, "advancedRanges: 10000001 instances are more than"),
        ({"instanceCount": 0, "advancedRanges": "1,2147483648"}, "advancedRanges: 2147483648 is above 2147483647"),
        ({"instanceCount": 0, "advancedRanges": "1," * 200_000 + "1"}, "advancedRanges: has 400001 characters"),
        ({"constants": [{"key": "a b", "value": "x"}]}, "constants[0].key: 'a b' should be letters"),
        ({"constants": [{"key": "a", "value": None}]}, "constants[0].value: may not be null"),
        ({"constants": [{"key": "a", "value": "v" * 2049}]}, "constants[0].value: has 2049 characters"),
        ({"constants": [{"key": f"k{n}", "value": ""} for n in range(151)]}, "constants: there are 151, at most 150"),
        ({"tags": [f"t{n}" for n in range(11)]}, "tags: there are 11, at most 10 are possible"),
        ({"tags": ["t" * 512]}, "tags[0]: has 512 characters, at most 511"),
        ({"tags": [None]}, "tags[0]: expected text, got null"),
        ({"resourceBuckets": ["a/b"]}, "resourceBuckets[0]: 'a/b' is not the name of a bucket"),
        ({"resultsWhitelist": "("}, "resultsWhitelist: '(' is not a regular expression"),
        ({"resultsBlacklist": "(a{999}){999}"}, "resultsBlacklist: its counted repetitions come to 998001 together"),
        ({"snapshotBlacklist": "x" * 2049}, "snapshotBlacklist: has 2049 characters"),
        ({"completionTimeToLive": "tomorrow"}, "completionTimeToLive: 'tomorrow' is not a time span"),
        ({"schedulingType": "fast"}, "schedulingType: 'fast' is none of flex, onDemand, reserved"),
        ({"maxTimeQueueSeconds": -1}, "maxTimeQueueSeconds: -1 is not between 0 and"),
        ({"retrySettings": {"maxTotalRetries": -1}}, "retrySettings.maxTotalRetries: -1 is not between"),
        (
            {"retrySettings": {"maxPerInstanceRetries": 1}, "maxRetriesPerInstance": 2},
            "maxRetriesPerInstance: is the older way to say it: give it or retrySettings, not both",
        ),
        ({"hardwareConstraints": [{"discriminator": "Fast"}]}, "hardwareConstraints[0].discriminator: 'Fast' is none"),
        (
            {"hardwareConstraints": [{"discriminator": "MinimumCoreHardwareConstraint"}]},
            "hardwareConstraints[0].coreCount: is missing: MinimumCoreHardwareConstraint needs it",
        ),
        ({"dependencies": {"dependsOn": [UUID]}}, "dependencies: only tasks of a job"),
    ],
)
async def test_a_submission_that_is_wrong_is_refused_with_its_field(
    api: httpx.AsyncClient, changes: dict[str, Any], message: str
) -> None:
    answer = await api.post("/tasks", json=a_task(**changes))
    assert answer.status_code == 400
    told = answer.json()
    assert told["message"].startswith(message)
    field = message.split(":")[0]
    assert told["title"] == "The request is not valid"
    assert list(told["errors"]) == [field]
    assert (await api.get("/tasks/summaries")).json() == []


async def test_a_missing_bucket_is_404_and_no_other_mistake_is(api: httpx.AsyncClient) -> None:
    answer = await api.post("/tasks", json=a_task(resourceBuckets=["nowhere"]))
    assert (answer.status_code, answer.json()["message"]) == (404, "No such bucket: nowhere")


async def test_too_many_tasks_are_told_in_the_words_that_clients_know(site: TestSite) -> None:
    _, token = await site.account(max_tasks=2)
    async with site.client(token) as api:
        answer = await api.post("/tasks", json=[a_task()] * 3)
        assert [one["statusCode"] for one in answer.json()] == [200, 200, 403]
        refused = await api.post("/tasks", json=a_task())
    assert refused.status_code == 403
    assert "maximum number of tasks reached" in refused.json()["message"].lower()


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nowhere", 404, "No such route: GET /nowhere"),
        ("GET", "/jobs/", 404, "No such route: GET /jobs"),
        ("GET", "/v1/pools", 404, "No such route: GET /pools"),
        ("GET", "/tasks/search", 405, "GET is not possible on /tasks/search; possible: "),
        ("PATCH", "/tasks", 405, "PATCH is not possible on /tasks"),
        ("GET", "/tasks/nope", 404, "No such task: nope"),
        ("GET", "/tasks/nope/stdout", 404, "No such task: nope"),
        ("POST", "/tasks/nope/abort", 404, "No such task: nope"),
        ("DELETE", "/tasks/nope", 404, "No such task: nope"),
        ("GET", "/profiles/nope", 404, "No such profile: nope"),
    ],
)
async def test_what_is_not_there_is_told_as_json(
    api: httpx.AsyncClient, method: str, path: str, status: int, message: str
) -> None:
    answer = await api.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["message"].startswith(message)


@pytest.mark.parametrize("path", ["/tasks", "/tasks/paginate", "/tasks/search", "/tasks/summaries/paginate"])
@pytest.mark.parametrize("body", [b"{", b"nonsense", b"[[", b"\xff", b"[1, 2", b'"text"', b"7", b"null"])
async def test_what_is_no_json_or_no_object_is_400(api: httpx.AsyncClient, path: str, body: bytes) -> None:
    answer = await api.post(path, content=body)
    assert answer.status_code == 400
    assert answer.json()["message"]


async def test_a_list_with_things_that_are_no_tasks_refuses_those_alone(api: httpx.AsyncClient) -> None:
    answer = await api.post("/tasks", json=[1, None, a_task(), "x", [], {}])
    assert [one["statusCode"] for one in answer.json()] == [400, 400, 200, 400, 400, 400]


async def test_unknown_fields_are_ignored_and_named_in_a_warning(api: httpx.AsyncClient) -> None:
    one = await api.post("/tasks", json=a_task(instanceCuont=3))
    many = await api.post("/tasks", json=[a_task(Tagz=[]), a_task(Tagz=[]), a_task()])
    page = await api.post("/tasks/paginate", json={"maximumResult": 5})
    fine = await api.post("/tasks", json={key[0].upper() + key[1:]: value for key, value in a_task().items()})
    assert one.headers["warning"].startswith("199 - \"unknown field 'instanceCuont' was ignored; did you mean 'insta")
    assert many.headers["warning"] == "199 - \"unknown field 'Tagz' was ignored; did you mean 'tags'?\""
    assert "did you mean 'maximumResults'" in page.headers["warning"]
    assert (fine.status_code, "warning" in fine.headers) == (200, False)


async def test_numbers_and_booleans_become_the_text_of_constants(api: httpx.AsyncClient) -> None:
    constants = [{"key": "A", "value": 26}, {"key": "B", "value": True}, {"key": "C", "value": 0.5}]
    uuid = (await api.post("/tasks", json=a_task(constants=constants))).json()["uuid"]
    shown = (await api.get(f"/tasks/{uuid}")).json()["constants"]
    assert shown == [{"key": "A", "value": "26"}, {"key": "B", "value": "true"}, {"key": "C", "value": "0.5"}]


async def test_what_breaks_inside_is_told_without_its_reasons(
    site: TestSite, api: httpx.AsyncClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> list[str]:
        raise RuntimeError("the reason")

    monkeypatch.setattr(site.site.profiles, "names", broken)
    answer = await api.get("/profiles")
    assert (answer.status_code, list(answer.json())) == (500, ["message"])
    assert "the reason" not in answer.text
    logged = "".join(capsys.readouterr())
    assert "the reason" in logged
    assert api.headers["authorization"] not in logged


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [("why", "instance", "abc"), ("why", "instance", ""), ("instances", "limit", "1.5"), ("instances", "after", "x")],
)
async def test_a_parameter_that_is_no_number_is_named(api: httpx.AsyncClient, path: str, name: str, value: str) -> None:
    uuid = (await api.post("/tasks", json=a_task())).json()["uuid"]
    answer = await api.get(f"/tasks/{uuid}/{path}", params={name: value})
    reason = f"expected a whole number, got '{value}'"
    assert (answer.status_code, answer.json()["message"]) == (400, f"{name}: {reason}")
    assert answer.json()["errors"] == {name: [reason]}


@pytest.mark.parametrize("after", [-5, 2**31, 10**30])
@pytest.mark.parametrize("state", ["", "Success"])
async def test_pages_of_instances_begin_anywhere(api: httpx.AsyncClient, after: int, state: str) -> None:
    uuid = (await api.post("/tasks", json=a_task())).json()["uuid"]
    answer = await api.get(f"/tasks/{uuid}/instances", params={"after": after, "state": state})
    assert (answer.status_code, answer.json()["data"]) == (200, [])
