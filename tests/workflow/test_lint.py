"""The linter: every problem at once, each with its line, its path and the section that rules it."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import loadcheck
from loadcheck.documents.document import parse_pointer
from loadcheck.errors import Problem
from loadcheck.workflow.compile import lint
from tests.workflow.workbench import OPENAPI, Bench

LIBRARY = Path(loadcheck.__file__).parent / "library"

GOOD: dict[str, Any] = {
    "arazzo": "1.0.1",
    "info": {"title": "Good", "version": "1", "x-anything": 1},
    "sourceDescriptions": [{"name": "api", "url": "api.json", "type": "openapi"}],
    "workflows": [
        {
            "workflowId": "w",
            "summary": "s",
            "description": "d",
            "inputs": {"type": "object", "properties": {"a": {"type": "string"}}},
            "parameters": [{"name": "p", "in": "query", "value": "$inputs.a"}],
            "successActions": [{"reference": "$components.successActions.stop"}],
            "failureActions": [{"name": "again", "type": "retry", "retryAfter": 1}],
            "steps": [
                {
                    "stepId": "one",
                    "description": "d",
                    "operationId": "search",
                    "parameters": [{"reference": "$components.parameters.q"}],
                    "successCriteria": [{"condition": "$statusCode == 200", "type": "simple"}],
                    "onSuccess": [
                        {
                            "name": "go",
                            "type": "goto",
                            "stepId": "two",
                            "criteria": [{"condition": "$response.body#/n > 1"}],
                        },
                        {"name": "else", "type": "end"},
                    ],
                    "onFailure": [{"name": "r", "type": "retry", "retryLimit": 2, "stepId": "one"}],
                    "outputs": {"x": "$response.body#/x"},
                },
                {
                    "stepId": "two",
                    "operationPath": "{$sourceDescriptions.api.url}#/paths/~1things/post",
                    "requestBody": {
                        "contentType": "application/json",
                        "payload": {"a": "$steps.one.outputs.x"},
                        "replacements": [{"target": "/b", "value": 1}],
                    },
                },
                {"stepId": "three", "workflowId": "v", "parameters": [{"name": "b", "value": 1}]},
            ],
            "outputs": {"y": "$steps.one.outputs.x"},
        },
        {
            "workflowId": "v",
            "inputs": {"$ref": "#/components/inputs/shared"},
            "steps": [{"stepId": "one", "operationId": "search"}],
        },
    ],
    "components": {
        "inputs": {"shared": {"type": "object", "properties": {"b": {"type": "integer"}}}},
        "parameters": {"q": {"name": "q", "in": "query", "value": "v"}},
        "successActions": {
            "stop": {
                "name": "stop",
                "type": "end",
                "criteria": [{"condition": "$statusCode == 204"}],
            }
        },
        "failureActions": {"fail": {"name": "fail", "type": "end"}},
    },
    "x-more": {"free": True},
}


def linted(bench: Bench, document: Any, **options: Any) -> tuple[Problem, ...]:
    bench.write("api.json", bench.openapi)
    path = bench.write("doc.json", document)
    return lint(path, name="doc.json", **options)


def test_a_good_document_has_no_problem(bench: Bench) -> None:
    assert linted(bench, GOOD, strict=True) == ()


@pytest.mark.parametrize(
    "path", sorted(LIBRARY.glob("*/workflow.yml")), ids=lambda p: p.parent.name
)
def test_the_shipped_documents_have_none(path: Path) -> None:
    assert lint(path, strict=True) == ()


STEP = "/workflows/0/steps/0"

FAULTS: list[tuple[Any, ...]] = [
    (
        f"{STEP}/outputs/o",
        "$outputs[0].id",
        f"{STEP}/outputs/o",
        '"$outputs[0].id" is not a runtime expression; expected one such as $response.body#/id',
        "Step Object",
    ),
    (
        f"{STEP}/outputs/o",
        "a text",
        f"{STEP}/outputs/o",
        '"a text" is not a runtime expression',
        "Step Object",
    ),
    (
        "/workflows/0/inputs/properties/a/default",
        5,
        "/workflows/0/inputs/properties/a/default",
        "the default does not fit: 5 is not of type 'string'",
        "Workflow Object",
    ),
    # pointer of the change, new value (... deletes), where it is told, what it says, section
    ("/arazzo", "2.0.0", "/arazzo", "expected 1.0.x", "Arazzo Specification Object"),
    ("/arazzo", ..., "", '"arazzo" is missing', "Arazzo Specification Object"),
    ("/info", ..., "", '"info" is missing', "Arazzo Specification Object"),
    ("/info/title", ..., "/info", '"title" is missing', "Info Object"),
    ("/info/version", 1.0, "/info/version", "put it in quotes", "Info Object"),
    ("/workflow", [], "/workflow", 'did you mean "workflows"?', "Arazzo Specification Object"),
    ("/workflows", {}, "/workflows", "expected an array", "Arazzo Specification Object"),
    ("/workflows", [], "/workflows", "is empty", "Arazzo Specification Object"),
    ("/sourceDescriptions", [], "/sourceDescriptions", "is empty", "Arazzo Specification Object"),
    (
        "/sourceDescriptions/0/name",
        "a b",
        "/sourceDescriptions/0/name",
        "is not a name",
        "Source Description Object",
    ),
    (
        "/sourceDescriptions/0/type",
        "asyncapi",
        "/sourceDescriptions/0/type",
        '"type" cannot be',
        "Source Description Object",
    ),
    (
        "/sourceDescriptions/0/url",
        "gone.json",
        "/sourceDescriptions/0/url",
        "cannot be read",
        "Source Description Object",
    ),
    (
        "/sourceDescriptions/0/url",
        "http://x.test/",
        "/sourceDescriptions/0/url",
        "not on this machine",
        "Source Description Object",
    ),
    (
        "/sourceDescriptions/0/url",
        "doc.json",
        "/sourceDescriptions/0/url",
        "not an OpenAPI",
        "Source Description Object",
    ),
    ("/workflows/0/workflowId", ..., "/workflows/0", '"workflowId" is missing', "Workflow Object"),
    (
        "/workflows/0/workflowId",
        "v",
        "/workflows/1/workflowId",
        "duplicate workflow",
        "Workflow Object",
    ),
    ("/workflows/0/steps", ..., "/workflows/0", '"steps" is missing', "Workflow Object"),
    ("/workflows/0/steps", [], "/workflows/0/steps", "is empty", "Workflow Object"),
    ("/workflows/0/steps/0", "x", STEP, "expected an object, found a string", "Step Object"),
    (
        "/workflows/0/dependsOn",
        ["gone"],
        "/workflows/0/dependsOn/0",
        'no workflow "gone"',
        "Workflow Object",
    ),
    (
        "/workflows/0/dependsOn",
        ["w"],
        "/workflows/0/dependsOn",
        "round in a circle",
        "Workflow Object",
    ),
    (
        "/workflows/0/inputs/properties/a/type",
        "text",
        "/workflows/0/inputs/properties/a/type",
        "no valid JSON Schema",
        "Workflow Object",
    ),
    (
        "/workflows/0/outputs/y",
        "$steps.one.outputs.z",
        "/workflows/0/outputs/y",
        'has no output "z"',
        "Runtime Expressions",
    ),
    (
        "/workflows/0/outputs/y",
        5,
        "/workflows/0/outputs/y",
        "is a runtime expression",
        "Workflow Object",
    ),
    (
        "/workflows/0/outputs/a b",
        "$url",
        "/workflows/0/outputs/a b",
        "is not an output name",
        "Workflow Object",
    ),
    (f"{STEP}/stepId", ..., STEP, '"stepId" is missing', "Step Object"),
    (f"{STEP}/stepId", "two", "/workflows/0/steps/1/stepId", "duplicate step", "Step Object"),
    (f"{STEP}/onsuccess", [], f"{STEP}/onsuccess", 'did you mean "onSuccess"?', "Step Object"),
    (
        f"{STEP}/operationId",
        "serach",
        f"{STEP}/operationId",
        'did you mean "search"?',
        "Step Object",
    ),
    (
        f"{STEP}/operationId",
        "$sourceDescriptions.ap.search",
        f"{STEP}/operationId",
        'did you mean "api"?',
        "Step Object",
    ),
    (
        f"{STEP}/operationId",
        "$sourceDescriptions.api.find",
        f"{STEP}/operationId",
        'has no operation "find"',
        "Step Object",
    ),
    (f"{STEP}/operationId", ..., STEP, "found none", "Step Object"),
    (f"{STEP}/workflowId", "v", STEP, "found operationId and workflowId", "Step Object"),
    (
        f"{STEP}/parameters/0/reference",
        "$components.parameters.r",
        f"{STEP}/parameters/0/reference",
        "leads nowhere",
        "Reusable Object",
    ),
    (
        f"{STEP}/parameters/0/reference",
        "$components.inputs.q",
        f"{STEP}/parameters/0/reference",
        "is not a reference",
        "Reusable Object",
    ),
    (
        f"{STEP}/parameters/0",
        {"name": "x", "value": 1},
        f"{STEP}/parameters/0",
        '"in" is missing',
        "Parameter Object",
    ),
    (
        f"{STEP}/parameters/0",
        {"name": "x", "in": "body", "value": 1},
        f"{STEP}/parameters/0/in",
        '"in" cannot be',
        "Parameter Object",
    ),
    (
        f"{STEP}/parameters/0",
        {"name": "x", "in": "query"},
        f"{STEP}/parameters/0",
        '"value" is missing',
        "Parameter Object",
    ),
    (
        f"{STEP}/parameters/0",
        {"name": "x", "in": "query", "value": "$inputs.b"},
        f"{STEP}/parameters/0/value",
        'has no input "b"',
        "Runtime Expressions",
    ),
    (
        f"{STEP}/successCriteria/0/condition",
        "$statusCode = 200",
        f"{STEP}/successCriteria/0/condition",
        'equality is "=="',
        "Criterion Object",
    ),
    (
        f"{STEP}/successCriteria/0/type",
        "xpath",
        f"{STEP}/successCriteria/0",
        "a criterion of type xpath has no context",
        "Criterion Object",
    ),
    (
        f"{STEP}/onSuccess/0/stepId",
        "tow",
        f"{STEP}/onSuccess/0/stepId",
        'did you mean "two"?',
        "Success Action Object",
    ),
    (
        f"{STEP}/onSuccess/0/stepId",
        ...,
        f"{STEP}/onSuccess/0",
        "neither stepId nor workflowId",
        "Success Action Object",
    ),
    (
        f"{STEP}/onSuccess/0/workflowId",
        "v",
        f"{STEP}/onSuccess/0",
        "not both",
        "Success Action Object",
    ),
    (
        f"{STEP}/onSuccess/0/type",
        "retry",
        f"{STEP}/onSuccess/0/type",
        '"type" cannot be',
        "Success Action Object",
    ),
    (
        f"{STEP}/onSuccess/0/criteria",
        [],
        f"{STEP}/onSuccess/0/criteria",
        "is empty",
        "Success Action Object",
    ),
    (
        f"{STEP}/onSuccess/0/retryAfter",
        1,
        f"{STEP}/onSuccess/0/retryAfter",
        "unknown field",
        "Success Action Object",
    ),
    (
        f"{STEP}/onSuccess/1/stepId",
        "two",
        f"{STEP}/onSuccess/1",
        "an end goes nowhere",
        "Success Action Object",
    ),
    (
        f"{STEP}/onFailure/0/retryLimit",
        -1,
        f"{STEP}/onFailure/0/retryLimit",
        "0 or more",
        "Failure Action Object",
    ),
    (
        f"{STEP}/onFailure/0/retryAfter",
        "soon",
        f"{STEP}/onFailure/0/retryAfter",
        "expected a number",
        "Failure Action Object",
    ),
    (
        f"{STEP}/onFailure/0/retryLimit",
        1.5,
        f"{STEP}/onFailure/0/retryLimit",
        "a whole number",
        "Failure Action Object",
    ),
    (
        f"{STEP}/outputs/x",
        "$response.bod#/x",
        f"{STEP}/outputs/x",
        "unknown part of $response",
        "Runtime Expressions",
    ),
    (
        f"{STEP}/outputs/x",
        "$response.body.x",
        f"{STEP}/outputs/x",
        'write "$response.body#/x"',
        "Runtime Expressions",
    ),
    (f"{STEP}/outputs", [], f"{STEP}/outputs", "expected an object", "Step Object"),
    (
        "/workflows/0/steps/1/operationPath",
        "/things",
        "/workflows/0/steps/1/operationPath",
        "not a reference to an operation",
        "Step Object",
    ),
    (
        "/workflows/0/steps/1/operationPath",
        "{$sourceDescriptions.api.url}#/paths/~1thing/post",
        "/workflows/0/steps/1/operationPath",
        'did you mean "POST /things"?',
        "Step Object",
    ),
    (
        "/workflows/0/steps/1/operationPath",
        "$sourceDescriptions.api#/paths/~1things/post",
        "/workflows/0/steps/1/operationPath",
        'write "{$sourceDescriptions.api.url}#',
        "Step Object",
    ),
    (
        "/workflows/0/steps/1/requestBody/replacements/0/target",
        "b",
        "/workflows/0/steps/1/requestBody/replacements/0/target",
        "not a JSON Pointer",
        "Payload Replacement Object",
    ),
    (
        "/workflows/0/steps/1/requestBody/replacements/0/value",
        ...,
        "/workflows/0/steps/1/requestBody/replacements/0",
        '"value" is missing',
        "Payload Replacement Object",
    ),
    (
        "/workflows/0/steps/1/requestBody/payload/a",
        "a {$inputs.a",
        "/workflows/0/steps/1/requestBody/payload/a",
        "closes",
        "Runtime Expressions",
    ),
    (
        "/workflows/0/steps/1/requestBody/payload/a",
        "$copy.userId",
        "/workflows/0/steps/1/requestBody/payload/a",
        "belongs in the scenario",
        "Runtime Expressions",
    ),
    (
        "/workflows/0/steps/2/workflowId",
        "u",
        "/workflows/0/steps/2/workflowId",
        'no workflow "u"',
        "Step Object",
    ),
    (
        "/workflows/0/steps/2/parameters/0/name",
        "c",
        "/workflows/0/steps/2",
        'no input "c"',
        "Workflow Object",
    ),
    (
        "/workflows/0/steps/2/parameters/0/value",
        "x",
        "/workflows/0/steps/2",
        "not of type 'integer'",
        "Workflow Object",
    ),
    (
        "/components/parameters/q/name",
        ...,
        "/components/parameters/q",
        '"name" is missing',
        "Parameter Object",
    ),
    (
        "/components/failureActions/fail/type",
        "stop",
        "/components/failureActions/fail/type",
        '"type" cannot be "stop"',
        "Failure Action Object",
    ),
    ("/components/schemas", {}, "/components/schemas", "unknown field", "Components Object"),
    (f"{STEP}/timeout", 9, f"{STEP}/timeout", "it needs arazzo: 1.1.0", "Step Object"),
    ("/$self", "a", "/$self", "it needs arazzo: 1.1.0", "Arazzo Specification Object"),
    (
        "/sourceDescriptions/0/type",
        "asyncapi",
        "/sourceDescriptions/0/type",
        "it needs arazzo: 1.1.0",
        "Source Description Object",
    ),
    (
        "/workflows/0/parameters/0/in",
        "querystring",
        "/workflows/0/parameters/0/in",
        "it needs arazzo: 1.1.0",
        "Parameter Object",
    ),
    (
        f"{STEP}/onSuccess/0/parameters",
        [],
        f"{STEP}/onSuccess/0/parameters",
        "it needs arazzo: 1.1.0",
        "Success Action Object",
    ),
]


def changed(pointer: str, value: Any, document: Any = GOOD) -> Any:
    document = copy.deepcopy(document)
    *above, last = parse_pointer(pointer)
    holder: Any = document
    for token in above:
        holder = holder[int(token)] if isinstance(holder, list) else holder[token]
    key: Any = int(last) if isinstance(holder, list) else last
    if value is ...:
        del holder[key]
    else:
        holder[key] = value
    return document


@pytest.mark.parametrize(("pointer", "value", "where", "says", "section"), FAULTS)
def test_every_fault_is_told_in_its_place(
    bench: Bench, pointer: str, value: Any, where: str, says: str, section: str
) -> None:
    problems = linted(bench, changed(pointer, value))
    found = [problem for problem in problems if problem.key == where and says in str(problem)]
    assert found, "\n".join(map(str, problems))
    assert found[0].section == section
    assert found[0].file == "doc.json"
    assert found[0].line


@pytest.mark.parametrize(
    "pointer",
    ["/workflows/0/workflowId", f"{STEP}/stepId", "/sourceDescriptions/0/name"],
)
def test_what_a_name_only_should_be_is_a_warning(bench: Bench, pointer: str) -> None:
    problems = linted(bench, changed(pointer, "a.b"))
    (found,) = [problem for problem in problems if problem.key == pointer]
    assert found.severity == "warning"
    assert "it should match [A-Za-z0-9_" in found.remedy


def test_all_faults_are_told_at_once(bench: Bench) -> None:
    document = changed(f"{STEP}/operationId", "serach")
    document["workflows"][0]["steps"][0]["successCriteria"][0]["condition"] = "$statusCode = 200"
    document["workflows"][0]["steps"][1]["requestBody"]["payload"]["a"] = "$inputs.nope"
    document["workflows"][1]["steps"][0]["operationId"] = "gone"
    document["components"]["failureActions"]["fail"]["type"] = "stop"
    document["sourceDescription"] = []
    keys = {problem.key for problem in linted(bench, document)}
    assert keys >= {
        f"{STEP}/operationId",
        f"{STEP}/successCriteria/0/condition",
        "/workflows/0/steps/1/requestBody/payload/a",
        "/workflows/1/steps/0/operationId",
        "/components/failureActions/fail/type",
        "/sourceDescription",
    }


@pytest.mark.parametrize("text", ["", "- 1\n", "just text\n", "5\n", "null\n"])
def test_a_document_that_is_no_object(bench: Bench, text: str) -> None:
    (problem,) = linted(bench, text)
    assert "expected an object" in problem.message


def pointers(value: Any, above: str = "") -> list[str]:
    """The place of every value below the root."""
    members: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    places = [f"{above}/{escaped(str(name))}" for name, _ in members]
    inner = [pointers(member, place) for place, (_, member) in zip(places, members, strict=True)]
    return places + [place for found in inner for place in found]


def escaped(token: str) -> str:
    return token.replace("~", "~0").replace("/", "~1")


ODD: list[Any] = [
    *(None, True, -1, 1.5, 10**15, "", "x", "\0", "/", "~", "#/x", "(", "'", [], [1], [[]], {}),
    *("$", "{$", "$inputs", "$inputs.a#/b", "{$inputs.a}", "$steps.x", "$url", "$nothing.x"),
    *("$response.header.", "$response.body#/~2", "$components.x", "$statusCode ==", "$[?"),
    *({"a": 1}, {"$ref": "#"}, {"$ref": "x"}, {"reference": 5}, {"type": 5}, {"in": {}}),
    *({"reference": "$components.parameters.x"}, {"type": "jsonpath", "version": 1}),
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(pointers(GOOD)), st.sampled_from([..., *ODD])),
        min_size=1,
        max_size=3,
    )
)
def test_nothing_that_stands_in_a_document_breaks_the_linter(
    bench: Bench, changes: list[tuple[str, Any]]
) -> None:
    document = GOOD
    for pointer, value in changes:
        # what an earlier change took away cannot be changed any more
        with contextlib.suppress(KeyError, IndexError, TypeError, ValueError):
            document = changed(pointer, value, document)
    for problem in linted(bench, document):
        assert str(problem)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(pointer=st.sampled_from(pointers(OPENAPI)), value=st.sampled_from([..., *ODD]))
def test_nothing_that_stands_in_a_description_breaks_the_linter(
    bench: Bench, pointer: str, value: Any
) -> None:
    bench.openapi = changed(pointer, value, OPENAPI)
    for problem in linted(bench, GOOD):
        assert str(problem)


def test_an_openapi_description_is_no_workflow(bench: Bench) -> None:
    (problem,) = linted(bench, {"openapi": "3.1.0", "info": {}, "paths": {}})
    assert "an OpenAPI description, not an Arazzo document" in str(problem)


def test_the_lines_of_a_yaml_document(bench: Bench) -> None:
    text = """\
arazzo: 1.0.1
info: {title: T, version: '1'}
sourceDescriptions:
- name: api
  url: api.json
workflows:
- workflowId: w
  steps:
  - stepId: a
    operationId: gone
    outputs:
      x: $response.bdy
"""
    problems = linted(bench, text)
    assert [(problem.line, problem.key) for problem in problems] == [
        (10, "/workflows/0/steps/0/operationId"),
        (12, "/workflows/0/steps/0/outputs/x"),
    ]
    assert str(problems[0]).startswith("doc.json:10: /workflows/0/steps/0/operationId: ")
    assert str(problems[0]).endswith("[Step Object]")


def test_a_source_description_can_be_mapped_and_fetched(bench: Bench) -> None:
    mapped = bench.write("elsewhere.json", bench.openapi)
    document = changed("/sourceDescriptions/0/url", "https://x.test/api.json")
    assert linted(bench, document, sources={"api": str(mapped)}) == ()
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return mapped.read_bytes()

    assert linted(bench, document, fetch=fetch) == ()
    assert asked == ["https://x.test/api.json"]

    def refuse(_url: str) -> bytes:
        raise ConnectionRefusedError("connection refused")

    (problem,) = linted(bench, document, fetch=refuse)
    assert "cannot be fetched: connection refused" in problem.message
    (unknown, *_) = linted(bench, GOOD, sources={"apo": str(mapped)})
    assert 'did you mean "api"?' in unknown.remedy


def test_a_broken_description_names_its_own_line(bench: Bench) -> None:
    bench.write("api.json", bench.openapi)
    bench.write("broken.yml", "openapi: 3.1.0\npaths: [\n")
    path = bench.write("doc.json", changed("/sourceDescriptions/0/url", "broken.yml"))
    (problem, *_) = lint(path, name="doc.json")
    assert "broken.yml:3: no valid YAML" in problem.message
    assert problem.key == "/sourceDescriptions/0/url"
