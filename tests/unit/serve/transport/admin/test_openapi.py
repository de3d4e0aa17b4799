"""The description is a valid one, and says all there is of the routes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest

from serve.gateway.details import Details
from serve.gateway.overview import make_overview
from serve.monitoring.metrics import ServerMetrics
from serve.transport.admin.endpoints import Endpoint
from serve.transport.admin.guard import Access
from serve.transport.admin.openapi import openapi_document
from serve.transport.admin.server import admin_endpoints
from tests.support.http import FakePlane
from tests.support.operations import LINE, REPORT, STATE, FakeOperations


@pytest.fixture(scope="module")
def endpoints() -> list[Endpoint]:
    overview = make_overview("s", True, [], ServerMetrics(), {}, None)
    return admin_endpoints(
        FakePlane(), bytes, lambda: overview, lambda name: Details(name=name), FakeOperations()
    )


@pytest.fixture(scope="module")
def document(endpoints: list[Endpoint]) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(
        msgspec.json.encode(openapi_document(endpoints, "1.2", asks_for_keys=False))
    )
    return described


def everything(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from everything(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from everything(inner)


def test_every_reference_leads_somewhere(document):
    references = [each["$ref"] for each in everything(document) if "$ref" in each]
    assert references
    for reference in references:
        at: Any = document
        root, *steps = reference.split("/")
        assert root == "#"
        for step in steps:
            at = at[step]


def test_every_endpoint_is_described(document, endpoints):
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert described == {(each.method, each.path) for each in endpoints}


def test_every_variable_of_a_path_is_a_parameter(document):
    for path, item in document["paths"].items():
        for operation in item.values():
            named = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_operations_have_names_of_their_own(document):
    names = [op["operationId"] for item in document["paths"].values() for op in item.values()]
    assert len(set(names)) == len(names)


def test_schemas_are_valid_and_describe_what_is_answered(document):
    for name, instance in [("ModelTraffic", REPORT), ("ModelState", STATE), ("Audit", LINE)]:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.Draft202012Validator.check_schema(document["components"]["schemas"][name])
        jsonschema.validate(json.loads(msgspec.json.encode(instance)), schema)


@pytest.mark.parametrize(
    ("name", "body", "good"),
    [
        ("SetSplitBody", {"split": {"stable": 95, "canary": 5}, "why": "a try"}, True),
        ("SetSplitBody", {"split": {"stable": "most"}}, False),
        ("SetSplitBody", {"splits": {}}, False),
        ("SetLabelBody", {"version": 4}, True),
        ("SetLabelBody", {"version": 4, "label": "in the path"}, False),
        ("StartRolloutBody", {"to": 4, "steps": [1, 100], "hold_s": 60}, True),
        ("StartRolloutBody", {"steps": [1, 100]}, False),
        ("RollbackBody", {}, True),
    ],
)
def test_bodies_are_described_as_they_are_taken(document, name, body, good):
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    assert jsonschema.Draft202012Validator(schema).is_valid(body) is good


def test_keys_are_asked_for_where_there_are_some(endpoints):
    for asks in (True, False):
        described = openapi_document(endpoints, "1", asks_for_keys=asks)
        for each in endpoints:
            security = described["paths"][each.path][each.method.lower()]["security"]
            expected = [] if each.access is Access.OPEN else [{"key": []}] + [{}] * (not asks)
            assert security == expected
