"""What the API's documents name, the served description names too (facts: tools/facts)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hearth.api.app import create_routes
from hearth.api.openapi import describe
from tests.integration.api.sites import open_site

FACTS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "reference/facts.json").read_text())
# Built by later issues.
NOT_YET = re.compile(r"[A-Z]+ /(pools|jobs|sanity-checks|carbon/v1/pools)\b")
NOUNS_NOT_YET = {"pools", "jobs"}
EXPECTED = {name: told for name, told in FACTS["openapi"].items() if not NOT_YET.match(name)}


class Served:
    """The served description, by operation."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.schemas = document["components"]["schemas"]
        self.operations = {
            f"{method.upper()} {plain(path)}": told
            for path, operations in document["paths"].items()
            for method, told in operations.items()
        }

    def names(self, told: Any) -> set[str]:
        """Return every property that this part of the description leads to."""
        names: set[str] = set()
        seen: set[str] = set()
        todo = [told]
        while todo:
            part = todo.pop()
            if isinstance(part, list):
                todo.extend(part)
            elif isinstance(part, dict):
                names.update(part.get("properties", {}))
                reference = str(part.get("$ref", "")).rpartition("/")[2]
                if reference and reference not in seen:
                    seen.add(reference)
                    todo.append(self.schemas[reference])
                todo.extend(value for value in part.values() if isinstance(value, dict | list))
        return names

    def takes(self, operation: str) -> set[str]:
        return self.names(self.operations[operation].get("requestBody", {}))

    def answers(self, operation: str) -> set[str]:
        responses = self.operations[operation]["responses"]
        return self.names([told for status, told in responses.items() if status[0] == "2"])

    def parameters(self, operation: str, place: str) -> set[str]:
        told = self.operations[operation].get("parameters", [])
        return {one["name"].lower() for one in told if one["in"] == place}


def plain(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path.rstrip("/") or "/").lower()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    site = open_site(tmp_path_factory.mktemp("site"))
    yield Served(describe(create_routes(site.site)))
    site.site.store.close()


def _names(of: dict[str, list[str]]) -> set[str]:
    return {name for names in of.values() for name in names}


def test_every_operation_of_the_documents_is_served(served: Served):
    wanted = EXPECTED.keys() | {name for name in FACTS["page"]["operations"] if not NOT_YET.match(name)}
    assert sorted(wanted - served.operations.keys()) == []


def test_every_field_that_may_be_sent_is_taken(served: Served):
    missing = {
        name: left for name, told in EXPECTED.items() if (left := sorted(_names(told["takes"]) - served.takes(name)))
    }
    assert missing == {}


def test_every_field_that_may_be_answered_is_described(served: Served):
    missing = {
        name: left
        for name, told in EXPECTED.items()
        if (left := sorted(_names(told["answers"]) - served.answers(name)))
    }
    assert missing == {}


@pytest.mark.parametrize("place", ["query", "header"])
def test_every_parameter_is_described(served: Served, place: str):
    key = {"query": "query", "header": "headers"}[place]
    missing = {
        name: left
        for name, told in EXPECTED.items()
        if (left := sorted({one.lower() for one in told[key]} - served.parameters(name, place)))
    }
    assert missing == {}


@pytest.mark.parametrize("noun", sorted(FACTS["page"]["names"].keys() - NOUNS_NOT_YET))
def test_every_name_of_the_older_page_is_described(served: Served, noun: str):
    described = {
        name
        for operation, told in served.operations.items()
        for name in served.takes(operation)
        | served.answers(operation)
        | {p["name"] for p in told.get("parameters", [])}
    }
    folded = {name.lower() for name in described}
    assert [name for name in FACTS["page"]["names"][noun] if name.lower() not in folded] == []


NUMBER, TEXT, MAYBE = {"type": "integer"}, {"type": "string"}, {"anyOf": [{"type": "string"}, {"type": "null"}]}
# Instances have neither forwards nor private networks so far: their lists are empty, and typed for clients.
NEVER_FILLED = {
    "ActiveForward": {
        "applicationPort": NUMBER,
        "forwarderPort": NUMBER,
        "forwarderHost": TEXT,
        "bindAddress": MAYBE,
    },
    "VpnConnection": {"nodeIPAddressCidr": TEXT, "vpnName": TEXT},
}


@pytest.mark.parametrize("schema", NEVER_FILLED)
def test_lists_that_are_always_empty_have_their_types(served: Served, schema: str):
    assert served.schemas[schema]["properties"] == NEVER_FILLED[schema]


# What may be refused, beside 401, 403 and 500, where a client must tell one from another.
REFUSALS = {
    "GET /": set(),
    "GET /tasks": set(),
    "GET /tasks/{}": {"404"},
    "POST /tasks": {"400", "402", "404", "409", "413", "422"},
    "POST /tasks/{}/retry": {"400", "402", "404", "409", "413", "422"},
    "PUT /tasks/{}": {"400", "404", "413"},
    "PATCH /tasks/{}": {"400", "404"},
    "DELETE /tasks/{}": {"404"},
    "POST /tasks/{}/abort": {"404"},
    "POST /tasks/{}/snapshot": {"400", "404", "409", "413", "422"},
    "GET /tasks/{}/stdout": {"400", "404"},
    "GET /tasks/{}/output": {"400", "404", "429"},
    "GET /tasks/{}/why": {"400", "404"},
}


@pytest.mark.parametrize("operation", REFUSALS)
def test_refusals_are_described_with_their_body(served: Served, operation: str):
    answers = served.operations[operation]["responses"]
    refusals = {status: told["content"] for status, told in answers.items() if status >= "400"}
    assert set(refusals) == REFUSALS[operation] | {"401", "403", "500"}
    body = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    assert refusals == dict.fromkeys(refusals, body)
    assert served.schemas["Error"]["required"] == ["message"]


# Headers of answers, and of requests beside those of the documents.
HEADERS = {
    "POST /tasks": ({"Location", "Warning"}, {"idempotency-key"}),
    "POST /tasks/{}/clone": ({"Location", "Warning"}, {"idempotency-key"}),
    "POST /tasks/{}/restart": ({"Location"}, {"idempotency-key"}),
    "POST /tasks/{}/snapshot": ({"Warning"}, {"idempotency-key"}),
    "GET /tasks": ({"Hearth-Truncated"}, set()),
    "GET /tasks/{}": ({"Hearth-Completed-Instances-Total"}, set()),
    "GET /tasks/{}/stdout/{}": ({"Hearth-Output-Offset", "Hearth-Output-Dropped"}, set()),
    "POST /tasks/{}/stderr": ({"Hearth-Output-Offset", "Hearth-Output-Dropped"}, set()),
    "GET /tasks/{}/events": (set(), {"last-event-id"}),
}


@pytest.mark.parametrize("operation", HEADERS)
def test_headers_beyond_the_documents_are_described(served: Served, operation: str):
    answered, asked = HEADERS[operation]
    assert set(served.operations[operation]["responses"]["200"]["headers"]) == answered
    assert served.parameters(operation, "header") - {"qarnotreadonlyrequestforaccount"} == asked


@pytest.mark.parametrize(
    ("operation", "names"),
    [
        ("GET /tasks/{}/stdout", {"since"}),
        ("GET /tasks/{}/stderr/{}", {"since", "attempt"}),
        ("GET /tasks/{}/output", {"stream", "instance", "from"}),
        ("GET /tasks/{}/events", {"from"}),
        ("GET /tasks/{}/instances", {"after", "limit", "state"}),
        ("GET /tasks/{}/why", {"instance"}),
    ],
)
def test_parameters_beyond_the_documents_are_described(served: Served, operation: str, names: set[str]):
    assert served.parameters(operation, "query") == names


def test_what_is_no_json_is_described(served: Served):
    def kinds(operation: str) -> set[str]:
        return set(served.operations[operation]["responses"]["200"].get("content", {}))

    assert kinds("GET /tasks/{}/stdout") == {"text/plain", "application/json"}
    assert kinds("GET /tasks/{}/output") == kinds("GET /tasks/{}/events") == {"text/event-stream"}
    assert kinds("DELETE /tasks/{}") == kinds("GET /") == set()
