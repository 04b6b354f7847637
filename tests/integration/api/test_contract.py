"""What the API's documents name, the served description names too (facts: tools/facts)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hearth.api.app import create_routes
from hearth.api.openapi import describe
from tests.integration.api.sites import TestSite

FACTS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "reference/facts.json").read_text())
# Built by later issues.
NOT_YET = re.compile(r"[A-Z]+ /(pools|jobs|sanity-checks|carbon)\b")
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


@pytest.fixture
def served(site: TestSite) -> Served:
    return Served(describe(create_routes(site.site)))


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
