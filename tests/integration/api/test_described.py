"""Whatever fits the API's own description gets an answer: never 5xx, and every refusal has a message."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from tests.integration.api.sites import TestSite

EXAMPLES = 12


def test_every_request_that_fits_the_description_gets_an_answer(site: TestSite) -> None:
    _, token = asyncio.run(site.account())
    schema = schemathesis.openapi.from_asgi("/openapi.json", site.door)
    answers: Counter[int] = Counter()

    def ask(operation: Any) -> None:
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(case=operation.as_strategy())
        def one(case: Any) -> None:
            answer = case.call(headers={"Authorization": token})
            answers[answer.status_code] += 1
            assert answer.status_code < 500, (case.body, answer.text)
            assert answer.status_code < 400 or isinstance(answer.json()["message"], str)

        one()

    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:
        ask(operation)
    assert len(operations) >= 24
    assert {200, 400, 404} <= set(answers)
