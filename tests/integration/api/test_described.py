"""Whatever fits the API's own description gets an answer that fits it too, and never 5xx."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hearth.api.idempotency import NAME as KEY_HEADER
from hearth.api.outer import READ_ONLY_HEADER
from hearth.api.paths import RESERVED_WORDS
from hearth.wire import agent as wire
from tests.integration.api.sites import TestSite, a_task

EXAMPLES = 40
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# They stay open as long as the task goes on: test_follow reads them.
FOLLOWING = ("/tasks/{ident}/events", "/tasks/{ident}/output")
# What ends or deletes the tasks comes last, so that the others meet them in all their states.
LAST = ("DELETE /tasks/{ident}", "POST /tasks/{ident}/abort")


async def a_lived_in_site(site: TestSite) -> tuple[str, dict[str, list[str]]]:
    """Return a token, and what is there to be named in paths: tasks in each state, their snapshots."""
    _, token = await site.account()
    idents = []
    async with site.client(token) as api:

        async def submit(**changes: Any) -> str:
            answer = await api.post("/tasks", json=a_task(**changes))
            assert answer.status_code == 200, answer.text
            idents.append(answer.json()["uuid"])
            return str(idents[-1])

        await submit(shortname="succeeded", instanceCount=3, resultsBucket="out", labels={"team": "x"}, tags=["t"])
        await site.run(output="1 é\n2 \u2028\n".encode())
        await submit(instanceCount=2, advancedRanges=..., retrySettings={"maxTotalRetries": 1})
        await site.run(exit_code=3, output=b"\xff broken\n")
        await site.run(exit_code=3)
        cancelled = await submit(shortname="cancelled", instanceCount=2)
        assert (await api.post(f"/tasks/{cancelled}/abort")).status_code == 200
        running = await submit(shortname="running", instanceCount=4, resultBucket="out", snapshotBucket="out")
        grants = await site.dispatch(3)
        await site.tell(started=[_started(site, grant, number) for grant in grants for number in grant.numbers])
        snapshot = await api.post(f"/tasks/{running}/snapshot")
        assert snapshot.status_code == 200, snapshot.text
        await submit(instanceCount=..., advancedRanges="3-5,9", hardwareConstraints=[CORES], maxTimeQueueSeconds=60)
        states = {(await api.get(f"/tasks/{ident}")).json()["state"] for ident in idents}
    assert states == {"Success", "Failure", "Cancelled", "PartiallyExecuting", "Submitted"}
    return token, {
        "ident": [*idents, "succeeded", "CANCELLED", "running"],
        "number": ["0", "1", "2", "3"],
        "name": ["docker-batch", snapshot.json()["id"]],
    }


# Filters compare these.
FIELDS = ("name", "tags", "state", "instanceCount", "creationDate", "labels.team", "status.wallTimeSec", "endDate")
# What is refused on most sites, this one too.
ELSEWHERE = {"poolUuid", "jobUuid", "projectUuid", "dependencies", "token", "advancedResourceBuckets"}
SENSIBLE: dict[str, Any] = {
    "name": "generated",
    "profile": "docker-batch",
    "instanceCount": 2,
    "advancedRanges": None,
    "constants": [{"key": "DOCKER_CMD", "value": "true"}],
    "fields": ["uuid", "name", "state"],
    "resourceBuckets": ["out"],
    "hardwareConstraints": [],
    "retrySettings": None,
    "schedulingType": "flex",
    "interval": 60,
    "bucket": "out",
    "maximumResults": 3,
}
CORES = {"discriminator": "MinimumCoreHardwareConstraint", "coreCount": 2}


def _started(site: TestSite, grant: Any, number: int) -> wire.Started:
    return wire.Started(grant.task.id, number, grant.attempt, site.clock.now)


def sensible(body: Any) -> Any:
    """Return a body whose words mean something here; the rest of it is as it was generated."""
    if isinstance(body, list):
        return [sensible(item) for item in body]
    if not isinstance(body, dict):
        return body
    told = {name: sensible(value) for name, value in body.items() if name not in ELSEWHERE}
    if isinstance(told.get("field"), str):
        told["field"] = FIELDS[len(told["field"]) % len(FIELDS)]
    for name in told.keys() & SENSIBLE.keys():
        told[name] = SENSIBLE[name]
    return told


def test_every_request_that_fits_the_description_gets_an_answer_that_fits_it(site: TestSite) -> None:
    token, there = asyncio.run(a_lived_in_site(site))
    schema = schemathesis.openapi.from_asgi("/openapi.json", site.door)
    answers: Counter[int] = Counter()
    wrong: list[str] = []

    def ask(operation: Any) -> None:
        named = {name: st.sampled_from(values) for name, values in there.items() if f"{{{name}}}" in operation.path}
        if named.keys() == {"ident", "name"}:
            named["ident"] = st.just("running")  # whose snapshot it is

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(
            case=operation.as_strategy(),
            of_the_site=st.sampled_from((True, True, False)),
            path=st.fixed_dictionaries(named),
        )
        def one(case: Any, of_the_site: bool, path: dict[str, str]) -> None:
            # Words of the API are other routes.
            assume(str(case.path_parameters.get("ident", "")).strip("/").lower() not in RESERVED_WORDS)
            if of_the_site:
                case.path_parameters = {**case.path_parameters, **path}
                for header in (READ_ONLY_HEADER, KEY_HEADER):
                    case.headers.pop(header, None)
                case.body = sensible(case.body)
            answer = case.call(headers={"Authorization": token})
            answers[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)
            assert answer.status_code < 400 or isinstance(answer.json()["message"], str)

        try:
            one()
        except Exception as error:
            wrong.append(f"{operation.label}: {error!r}"[:3000])

    found = [found.ok() for found in schema.get_all_operations()]
    operations = [operation for operation in found if operation.path not in FOLLOWING]
    for operation in sorted(operations, key=lambda one: (*(one.label == last for last in LAST), one.label)):
        ask(operation)
    assert wrong == []
    assert len(found) == len(operations) + len(FOLLOWING)
    assert len(operations) >= 39
    assert {200, 207, 400, 404} <= set(answers)
