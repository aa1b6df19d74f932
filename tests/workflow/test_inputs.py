"""Inputs: their schema, defaults, expressions of our own, and secrets."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from loadcheck.errors import WorkflowError
from loadcheck.scenario.model import Edit
from loadcheck.workflow.compile import lint
from loadcheck.workflow.description.inputs import InputSchema
from tests.workflow.workbench import Bench, Reply, drive, give_up, workflow

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["user"],
    "properties": {
        "user": {"type": "string", "minLength": 5},
        "day": {"type": "string", "pattern": "^[0-9]{8}$"},
        "count": {"type": "integer", "minimum": 1, "default": 3},
        "tags": {"type": "array", "items": {"$ref": "#/components/inputs/tag"}},
        "kind": {"enum": ["a", "b"]},
    },
}
COMPONENTS = {"inputs": {"tag": {"type": "string", "maxLength": 2}, "whole": SCHEMA}}


def step(payload: Any = "$inputs.user") -> dict[str, Any]:
    return {"stepId": "s", "operationId": "create", "requestBody": {"payload": {"p": payload}}}


def sent(bench: Bench, payload: Any, inputs: dict[str, Any], schema: Any = SCHEMA) -> Any:
    plan = bench.plan(workflow(step(payload), inputs=schema), inputs=inputs, components=COMPONENTS)
    request = drive(plan.copy(5, 77, give_up), lambda _: Reply()).requests[0]
    return orjson.loads(request.body).get("p")


@pytest.mark.parametrize("schema", [SCHEMA, {"$ref": "#/components/inputs/whole"}])
def test_defaults_are_applied(bench: Bench, schema: Any) -> None:
    assert sent(bench, "$inputs.count", {"user": "anna-1"}, schema) == 3
    assert sent(bench, "$inputs.count", {"user": "anna-1", "count": 9}, schema) == 9


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, 'the input "user" is required and has no value'),
        ({"user": "x"}, "is too short"),
        ({"user": 5}, "is not of type 'string'"),
        ({"user": None}, "is not of type 'string'"),
        ({"user": "anna-1", "day": "1 May"}, "does not match"),
        ({"user": "anna-1", "count": 0}, "less than the minimum"),
        ({"user": "anna-1", "count": "3"}, "is not of type 'integer'"),
        ({"user": "anna-1", "tags": ["ok", "long"]}, "is too long"),
        ({"user": "anna-1", "kind": "c"}, "is not one of"),
        ({"user": "$copy.number"}, "is not of type 'string'"),
        ({"user": "$copy.userid"}, 'did you mean "userId"?'),
        ({"user": "$target.nothing"}, 'the target supplies no "nothing"'),
        ({"user": "{$copy.userId"}, "closes"),
    ],
)
def test_inputs_that_do_not_fit(bench: Bench, inputs: dict[str, Any], says: str) -> None:
    error = bench.refused(workflow(step(), inputs=SCHEMA), inputs=inputs, components=COMPONENTS)
    assert says in str(error)
    assert len(error.problems) == 1  # one cause, one message
    assert error.problems[0].line
    assert error.problems[0].key.startswith("/workflows/0/inputs")


def test_an_input_that_is_missing_is_told_once(bench: Bench) -> None:
    flow = workflow(step("for {$inputs.user}"), inputs=SCHEMA)
    for inputs, says in (({}, "is required"), ({"usr": "anna-1"}, 'did you mean "user"?')):
        error = bench.refused(flow, inputs=inputs, components=COMPONENTS)
        assert says in str(error)
        assert len(error.problems) == 1, error


def test_an_optional_input_inside_a_text_is_asked_for(bench: Bench) -> None:
    flow = workflow(step("for {$inputs.day}"), inputs=SCHEMA)
    error = bench.refused(flow, inputs={"user": "anna-1"}, components=COMPONENTS)
    assert error.problems[0].remedy == "give it one in the scenario: [inputs] day = …"


def test_an_input_that_is_not_declared_is_told_where_it_is_given(bench: Bench) -> None:
    inputs = {"user": "anna-1", "knd": "a"}
    error = bench.refused(workflow(step(), inputs=SCHEMA), inputs=inputs, components=COMPONENTS)
    assert error.problems[0].key == "inputs.knd"
    assert not error.problems[0].file
    assert 'did you mean "kind"?' in str(error)


def test_all_of_them_are_told_at_once(bench: Bench) -> None:
    error = bench.refused(
        workflow(step("$inputs.nope"), inputs=SCHEMA),
        inputs={"count": 0, "kind": "c", "more": 1},
        components=COMPONENTS,
        overlay=[Edit("x", "body#/a", 1)],
    )
    assert len(error.problems) == 6


def test_a_schema_that_is_none(bench: Bench) -> None:
    schema = {"type": "object", "properties": {"user": {"type": "text"}}}
    error = bench.refused(workflow(step(), inputs=schema), inputs={"user": "anna"})
    assert "no valid JSON Schema" in str(error)


def _placed(schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}}


@pytest.mark.parametrize("reference", ["#/nowhere", "#x", "other.json", "$components.inputs.a"])
def test_a_reference_of_a_schema_that_leads_nowhere(bench: Bench, reference: str) -> None:
    document = bench.document(workflow(step("x"), inputs=_placed({"$ref": reference})))
    (problem,) = lint(document)
    assert f'the reference "{reference}" leads nowhere' in str(problem)
    assert problem.key == "/workflows/0/inputs/properties/a/$ref"


def test_references_of_a_schema_start_from_the_document_or_from_the_schema(bench: Bench) -> None:
    number = {"type": "integer"}
    schema = {**_placed({"$ref": "#/$defs/n"}), "$defs": {"n": number}}
    error = bench.refused(workflow(step("x"), inputs=schema), inputs={"a": "x"})
    assert "is not of type 'integer'" in str(error)


def test_a_pattern_that_is_none_is_told(bench: Bench) -> None:
    document = bench.document(
        workflow(step("x"), inputs=_placed({"type": "string", "pattern": "("}))
    )
    (problem,) = lint(document)
    assert "no valid JSON Schema: '(' is not a 'regex'" in str(problem)
    assert problem.key == "/workflows/0/inputs/properties/a/pattern"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("$copy.userId", "lc-run0run0run0-0000005"),
        ("$copy.insertId", "run0run0run0-5"),
        ("$copy.number", 5),
        ("$copy.time", 77),
        ("$copy.isoTime", "1970-01-01T00:00:00.077Z"),
        ("$copy.userUuid", "f308642c-5f97-4f2d-a9c9-4fc10aca15d3"),
        ("$copy.insertUuid", "8a69b4f8-a091-424c-90e3-95d3865bd628"),
        ("$run.id", "run0run0run0"),
        ("$run.startDay", "20260101"),
        ("$run.endDay", "20260103"),
        ("$run.startDate", "2026-01-01"),
        ("$run.endDate", "2026-01-03"),
        ("$target.apiKey", "key-of-the-target"),
        ("u-{$copy.number}@{$run.id}", "u-5@run0run0run0"),
        ({"deep": ["$copy.number", {"x": "{$copy.time}!"}]}, {"deep": [5, {"x": "77!"}]}),
        ("$5.00", "$5.00"),
        (None, None),
    ],
)
def test_expressions_of_our_own(bench: Bench, value: Any, expected: Any) -> None:
    plan = bench.plan(workflow(step("$inputs.v"), inputs=["v"]), inputs={"v": value})
    request = drive(plan.copy(5, 77, give_up), lambda _: Reply()).requests[0]
    assert orjson.loads(request.body) == {"p": expected}


def test_a_member_of_an_input_by_pointer_and_inside_text(bench: Bench) -> None:
    inputs = {"o": {"a": {"b": "$copy.number"}}, "s": "u-{$copy.number}"}
    payload = ["$inputs.o#/a/b", "$inputs.o#/a", "x{$inputs.o#/a/b}", "<{$inputs.s}>", "$inputs.o"]
    plan = bench.plan(workflow(step(payload), inputs=["o", "s"]), inputs=inputs)
    request = drive(plan.copy(5, 77, give_up), lambda _: Reply()).requests[0]
    assert orjson.loads(request.body)["p"] == [5, {"b": 5}, "x5", "<u-5>", {"a": {"b": 5}}]


def test_a_secret_is_no_expression_and_appears_in_no_problem(bench: Bench) -> None:
    secret = "$copy.userId"
    plan = bench.plan(
        workflow(step("$inputs.v"), inputs=["v"]),
        inputs={"v": secret},
        secrets=frozenset({secret}),
    )
    request = drive(plan.copy(5, 77, give_up), lambda _: Reply()).requests[0]
    assert orjson.loads(request.body) == {"p": secret}


@pytest.mark.parametrize("secret", ["hunter2hunter2", 'q"uote', "line\nbreak"])
def test_no_problem_shows_a_secret(bench: Bench, secret: str) -> None:
    schema = {"type": "object", "properties": {"v": {"type": "string", "maxLength": 3}}}
    settings: dict[str, Any] = {"inputs": {"v": secret}, "secrets": frozenset({secret})}
    error = bench.refused(workflow(step("$inputs.v"), inputs=schema), **settings)
    assert "too long" in str(error)
    shown = str(error) + repr(error.problems)
    assert secret not in shown
    assert repr(secret)[1:-1] not in shown
    header = {"name": "X", "in": "header", "value": "$inputs.v"}
    broken = {"stepId": "s", "operationId": "nope", "parameters": [header]}
    assert secret not in str(bench.refused(workflow(broken, inputs=["v"]), **settings))


def test_what_the_target_supplies_is_secret(bench: Bench) -> None:
    schema = {"type": "object", "properties": {"v": {"type": "string", "maxLength": 3}}}
    error = bench.refused(
        workflow(step("$inputs.v"), inputs=schema), inputs={"v": "$target.apiKey"}
    )
    assert "key-of-the-target" not in str(error)


def test_which_workflow(bench: Bench) -> None:
    other = {**workflow(step("b")), "workflowId": "other"}
    with pytest.raises(WorkflowError, match="several workflows; say which one is meant"):
        bench.plan(workflow(step("a")), other)
    with pytest.raises(WorkflowError, match='did you mean "other"'):
        bench.plan(workflow(step("a")), other, workflow_id="ohter")
    assert bench.plan(workflow(step("a")), other, workflow_id="other").workflow_id == "other"


def test_references_that_multiply_end(bench: Bench) -> None:
    schema = {"type": "object", "properties": {"u": {}, "a": {"$ref": "#"}, "b": {"$ref": "#"}}}
    step = {"stepId": "s", "operationId": "search"}
    plan = bench.plan(workflow(step) | {"inputs": schema}, inputs={"u": "$copy.userId"})
    assert plan.steps


def test_a_password_is_one_wherever_its_schema_says_so() -> None:
    secret = {"type": "string", "format": "password"}
    schema = {
        "type": "object",
        "properties": {
            "plain": {"type": "string"},
            "direct": secret,
            "composed": {"allOf": [{"type": "string"}, secret]},
            "referred": {"$ref": "#/components/inputs/secret"},
        },
    }
    found = InputSchema(schema, {"components": {"inputs": {"secret": secret}}})
    assert found.secret == {"direct", "composed", "referred"}
