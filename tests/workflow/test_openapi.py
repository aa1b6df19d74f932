"""OpenAPI descriptions: references, servers, operations that are not what they should be."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from loadcheck.documents.document import Document
from loadcheck.workflow.description.openapi import OpenApiDescription
from tests.workflow.workbench import OPENAPI, Bench, Reply, drive, give_up, workflow

READ = {
    "stepId": "s",
    "operationId": "read",
    "parameters": [{"name": "id", "in": "path", "value": ["a", "b"]}],
}


def target(bench: Bench, step: dict[str, Any]) -> str:
    plan = bench.plan(workflow(step))
    return drive(plan.copy(0, 0, give_up), lambda _: Reply()).targets[0]


def test_references_within_the_document(bench: Bench) -> None:
    bench.openapi = copy.deepcopy(OPENAPI)
    parameter = {"name": "id", "in": "path", "required": True, "style": "label"}
    bench.openapi["components"] = {
        "parameters": {"a/b": {"$ref": "#/components/parameters/id%20x"}, "id x": parameter},
        "pathItems": {"thing": bench.openapi["paths"]["/things/{id}"]},
    }
    item = bench.openapi["components"]["pathItems"]["thing"]
    item["get"]["parameters"] = [{"$ref": "#/components/parameters/a~1b"}]
    bench.openapi["paths"]["/things/{id}"] = {"$ref": "#/components/pathItems/thing"}
    assert target(bench, READ) == "/v1/things/.a,b"


def test_references_to_other_files(bench: Bench) -> None:
    bench.openapi = copy.deepcopy(OPENAPI)
    item = bench.openapi["paths"]["/things/{id}"]
    item["get"]["parameters"] = [{"$ref": "../shared.yml#/id"}]
    (bench.folder / "paths").mkdir()
    bench.write("paths/thing.json", item)
    bench.write("shared.yml", "id: {name: id, in: path, required: true, style: matrix}\n")
    bench.openapi["paths"]["/things/{id}"] = {"$ref": "paths/thing.json"}
    assert target(bench, READ) == "/v1/things/;id=a,b"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("#/nowhere", "leads nowhere"),
        ("#nowhere", "leads nowhere"),
        ("gone.json#/x", "gone.json: cannot be read"),
        ("#/paths/~1things~1{id}", "round in a circle"),
    ],
)
def test_references_that_lead_nowhere(bench: Bench, reference: str, says: str) -> None:
    bench.openapi = copy.deepcopy(OPENAPI)
    bench.openapi["paths"]["/things/{id}"] = {"$ref": reference}
    by_path = {
        "stepId": "s",
        "operationPath": "{$sourceDescriptions.api.url}#/paths/~1things~1{id}/get",
    }
    assert says in str(bench.refused(workflow(by_path)))
    assert target(bench, {"stepId": "s", "operationId": "search"}) == "/v1/things"


def test_an_operation_id_of_several_operations(bench: Bench) -> None:
    bench.openapi = copy.deepcopy(OPENAPI)
    bench.openapi["paths"]["/lines"]["post"]["operationId"] = "search"
    error = bench.refused(workflow({"stepId": "s", "operationId": "search"}))
    assert "several operations have the operationId" in str(error)


@pytest.mark.parametrize("level", ["operation", "path"])
def test_servers_of_an_operation_or_a_path(bench: Bench, level: str) -> None:
    bench.openapi = copy.deepcopy(OPENAPI)
    item = bench.openapi["paths"]["/things"]
    holder = item["get"] if level == "operation" else item
    holder["servers"] = [{"url": "http://other.test/x"}]
    plan = bench.plan(workflow({"stepId": "s", "operationId": "search"}))
    assert str(plan.steps[0].origin) == "http://other.test"
    assert plan.steps[0].path == "/x/things"


@pytest.mark.parametrize("version", ["3.0.4", "3.1.1", "3.2.0"])
def test_versions(bench: Bench, version: str) -> None:
    bench.openapi = {**OPENAPI, "openapi": version}
    assert target(bench, {"stepId": "s", "operationId": "search"}) == "/v1/things"


@pytest.mark.parametrize("version", ["2.0", "4.0.0", 3.1, None])
def test_versions_that_are_not_known(bench: Bench, version: Any) -> None:
    bench.openapi = {**OPENAPI, "openapi": version}
    error = bench.refused(workflow({"stepId": "s", "operationId": "search"}))
    assert "is not an OpenAPI 3.0.x, 3.1.x or 3.2.x document" in str(error)


@pytest.mark.parametrize(
    "paths", [None, [], {"/things": None}, {"/things": []}, {"/things": {"get": 5}}]
)
def test_a_description_without_operations(bench: Bench, paths: Any) -> None:
    bench.openapi = {**OPENAPI, "paths": paths}
    error = bench.refused(workflow({"stepId": "s", "operationId": "search"}))
    assert 'there is no operation "search"' in str(error)


@pytest.mark.parametrize("within", [False, True])
def test_what_an_answer_lacks_is_known_of_every_method(*, within: bool) -> None:
    schema = {"type": "object", "properties": {"users": {"type": "integer"}}}
    content = {"application/json": {"schema": schema}}
    operation = {"responses": {"200": {"description": "counted", "content": content}}}
    item = {"additionalOperations": {"COUNT": operation}} if within else {"COUNT": operation}
    root = {**OPENAPI, "paths": {"/things": item}}
    document = Document(name="api.json", location="api.json", root=root)
    described = OpenApiDescription(document, lambda *_: pytest.fail("nothing is read"))
    counted = described.at("/things", "COUNT")
    assert counted.lacks(["users"]) is None
    assert counted.lacks(["people"]) == ["users"]
