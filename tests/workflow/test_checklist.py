"""Small documents on which other executors of Arazzo have been seen to go wrong, one test each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from loadcheck.workflow.exchange import Request
from tests.workflow.workbench import Bench, Reply, Ride, drive, give_up, workflow

Answer = Callable[[Request], Reply]


def ok(_request: Request) -> Reply:
    return Reply(200, {"n": 5, "arr": [{"id": 1}, {"id": 2}], "text": "Hello", "ok": True})


def run(
    bench: Bench,
    *steps: dict[str, Any],
    inputs: dict[str, Any] | None = None,
    answer: Answer = ok,
    components: Any = None,
    **fields: Any,
) -> Ride:
    given = inputs or {}
    fields.setdefault("inputs", [*given])
    plan = bench.plan(workflow(*steps, **fields), inputs=given, components=components)
    return drive(plan.copy(0, 0, give_up), answer)


def create(payload: Any, **fields: Any) -> dict[str, Any]:
    return {"stepId": "s", "operationId": "create", "requestBody": {"payload": payload}, **fields}


def search(name: str = "s", **fields: Any) -> dict[str, Any]:
    return {"stepId": name, "operationId": "search", **fields}


def holds(bench: Bench, condition: str) -> bool:
    result: bool = run(bench, search(successCriteria=[{"condition": condition}])).result
    return result


def goto(target: str, *conditions: str) -> dict[str, Any]:
    criteria = {"criteria": [{"condition": c} for c in conditions]} if conditions else {}
    return {"name": f"to {target}", "type": "goto", "stepId": target, **criteria}


def test_01_a_whole_value_expression_keeps_its_type(bench: Bench) -> None:
    values = {"n": 5, "f": 1.5, "b": True, "l": [1], "o": {"k": "v"}, "z": None, "s": "5"}
    payload = {name: f"$inputs.{name}" for name in values}
    assert orjson.loads(run(bench, create(payload), inputs=values).requests[0].body) == values


def test_02_an_expression_in_plain_text(bench: Bench) -> None:
    body = run(bench, create({"t": "a {$inputs.x} b"}), inputs={"x": 5}).requests[0].body
    assert orjson.loads(body) == {"t": "a 5 b"}


def test_03_an_expression_in_json_text(bench: Bench) -> None:
    parameter = {"name": "e", "in": "query", "value": '{"type":"{$inputs.x}"}'}
    target = run(bench, search(parameters=[parameter]), inputs={"x": 'q"'}).targets[0]
    assert target.endswith("e=%7B%22type%22%3A%22q%5C%22%22%7D")


def test_04_a_qualified_operation_id(bench: Bench) -> None:
    step = {"stepId": "s", "operationId": "$sourceDescriptions.api.search"}
    assert run(bench, step).targets == ["/v1/things"]


def test_05_and(bench: Bench) -> None:
    assert holds(bench, "$statusCode == 200 && $response.body#/n == 5")
    assert not holds(bench, "$statusCode == 200 && $response.body#/n == 6")


def test_06_or(bench: Bench) -> None:
    assert holds(bench, "$statusCode == 500 || $response.body#/n == 5")
    assert not holds(bench, "$statusCode == 500 || $response.body#/n == 6")


def test_07_and_binds_tighter_than_or(bench: Bench) -> None:
    assert holds(bench, "$statusCode == 200 || $statusCode == 500 && $statusCode == 404")


def test_08_parentheses(bench: Bench) -> None:
    assert not holds(bench, "($statusCode == 200 || $statusCode == 500) && $statusCode == 404")


def test_09_members_by_dot(bench: Bench) -> None:
    assert holds(bench, "$response.body.n == 5")


def test_10_negation(bench: Bench) -> None:
    assert not holds(bench, "!$response.body#/ok")
    assert holds(bench, "!($statusCode == 500)")


def test_11_members_by_dot_and_index(bench: Bench) -> None:
    assert holds(bench, "$response.body.arr[1].id == 2")


def test_12_a_quote_inside_a_string(bench: Bench) -> None:
    condition = [{"condition": "$response.body#/t == 'it''s'"}]
    step = search(successCriteria=condition)
    assert run(bench, step, answer=lambda _: Reply(200, {"t": "it's"})).result


def test_13_strings_compare_without_case(bench: Bench) -> None:
    assert holds(bench, "$response.body#/text == 'hELLO'")


def test_14_a_response_header(bench: Bench) -> None:
    step = search(successCriteria=[{"condition": "$response.header.X-Total == 'a'"}])
    assert run(bench, step, answer=lambda _: Reply(200, headers=[("x-total", "a")])).result


def test_15_a_regular_expression(bench: Bench) -> None:
    criterion = {"type": "regex", "context": "$statusCode", "condition": "^2\\d\\d$"}
    assert run(bench, search(successCriteria=[criterion])).result


def test_16_jsonpath_has_the_true_root(bench: Bench) -> None:
    criterion = {"type": "jsonpath", "context": "$response.body", "condition": "$.n"}
    assert run(bench, search(successCriteria=[criterion])).result
    criterion["condition"] = "$[0]"
    assert not run(bench, search(successCriteria=[criterion])).result


def test_17_what_is_no_xpath_is_refused_before_the_run(bench: Bench) -> None:
    criterion = {"type": "xpath", "context": "$response.body", "condition": "//n["}
    assert "is not an XPath" in str(bench.refused(workflow(search(successCriteria=[criterion]))))


def test_18_the_status_in_the_criteria_of_an_action(bench: Bench) -> None:
    ride = run(
        bench,
        search("a", onSuccess=[goto("c", "$statusCode == 201")]),
        search("b"),
        search("c"),
        answer=lambda _: Reply(201),
    )
    assert len(ride.requests) == 2


def test_19_the_body_in_the_criteria_of_an_action(bench: Bench) -> None:
    ride = run(
        bench,
        search("a", onSuccess=[goto("c", "$response.body#/n == 5")]),
        search("b"),
        search("c"),
    )
    assert len(ride.requests) == 2


def test_20_a_retry_repeats_its_own_step_once_by_default(bench: Bench) -> None:
    retry = {"name": "r", "type": "retry"}
    ride = run(bench, search("a", onFailure=[retry]), search("b"), answer=lambda _: Reply(500))
    assert (ride.targets, ride.result) == (["/v1/things"] * 2, False)


def test_21_retry_after_of_the_answer_overrules_that_of_the_document(bench: Bench) -> None:
    retry = {"name": "r", "type": "retry", "retryAfter": 1}
    answers = iter([Reply(429, headers=[("retry-after", "4")]), Reply(200)])
    ride = run(bench, search(onFailure=[retry]), answer=lambda _: next(answers))
    assert ride.pauses == [4.0]


def test_22_reusable_parameters_with_a_value_of_their_own(bench: Bench) -> None:
    components = {"parameters": {"p": {"name": "p", "in": "query", "value": "1"}}}
    parameters = [{"reference": "$components.parameters.p", "value": "2"}]
    ride = run(bench, search(parameters=parameters), components=components)
    assert ride.targets == ["/v1/things?p=2"]


def test_23_reusable_actions(bench: Bench) -> None:
    components = {"successActions": {"end": {"name": "end", "type": "end"}}}
    actions = [{"reference": "$components.successActions.end"}]
    ride = run(bench, search("a", onSuccess=actions), search("b"), components=components)
    assert len(ride.requests) == 1


def test_24_workflow_level_parameters(bench: Bench) -> None:
    ride = run(bench, search(), parameters=[{"name": "p", "in": "query", "value": "1"}])
    assert ride.targets == ["/v1/things?p=1"]


def test_25_workflow_level_actions(bench: Bench) -> None:
    ride = run(bench, search("a"), search("b"), successActions=[{"name": "end", "type": "end"}])
    assert len(ride.requests) == 1


def test_26_replacements_inside_arrays(bench: Bench) -> None:
    step = create({"l": [{"a": 1}]})
    step["requestBody"]["replacements"] = [{"target": "/l/0/a", "value": "$inputs.x"}]
    assert run(bench, step, inputs={"x": 2}).requests[0].body == b'{"l":[{"a":2}]}'


def test_27_a_pointer_into_an_output(bench: Bench) -> None:
    use = create({"id": "$steps.a.outputs.x#/1/id"})
    ride = run(bench, search("a", outputs={"x": "$response.body#/arr"}), use)
    assert ride.requests[1].body == b'{"id":2}'


def test_28_a_sub_workflow(bench: Bench) -> None:
    inner = {**workflow(search("in"), inputs=["x"]), "workflowId": "inner"}
    call = {"stepId": "c", "workflowId": "inner", "parameters": [{"name": "x", "value": 1}]}
    plan = bench.plan(workflow(call), inner, workflow_id="main")
    assert drive(plan.copy(0, 0, give_up), ok).result


def test_29_a_missing_required_input_is_told_before_anything_is_sent(bench: Bench) -> None:
    schema = {"type": "object", "required": ["x"], "properties": {"x": {"type": "string"}}}
    error = bench.refused(workflow(search(), inputs=schema))
    assert 'the input "x" is required' in str(error)


def test_30_depends_on(bench: Bench) -> None:
    first = {**workflow(search("first")), "workflowId": "first"}
    plan = bench.plan(workflow(search(), dependsOn=["first"]), first, workflow_id="main")
    assert len(drive(plan.copy(0, 0, give_up), ok).requests) == 2


def test_31_the_first_action_that_matches_wins(bench: Bench) -> None:
    actions = [goto("c", "$statusCode == 200"), goto("d", "$statusCode == 200")]
    ride = run(bench, search("a", onSuccess=actions), search("b"), search("c"), search("d"))
    assert len(ride.requests) == 3


def test_32_no_action_that_matches_success_goes_on_failure_ends(bench: Bench) -> None:
    unmet = {"name": "x", "type": "end", "criteria": [{"condition": "$statusCode == 999"}]}
    steps = (search("a", onSuccess=[unmet], onFailure=[unmet]), search("b"))
    assert len(run(bench, *steps).requests) == 2
    failed = run(bench, *steps, answer=lambda _: Reply(500))
    assert (len(failed.requests), failed.result) == (1, False)


def test_33_goto_does_not_come_back(bench: Bench) -> None:
    ride = run(bench, search("a", onSuccess=[goto("c")]), search("b"), search("c"))
    assert len(ride.requests) == 2


def test_34_an_operation_path(bench: Bench) -> None:
    step = {"stepId": "s", "operationPath": "{$sourceDescriptions.api.url}#/paths/~1things/get"}
    assert run(bench, step).targets == ["/v1/things"]


def test_35_a_loop_is_cut(bench: Bench) -> None:
    ride = run(bench, search("a", onSuccess=[goto("a", "$response.body#/n == 5")]), search("b"))
    assert ride.result is False


@pytest.mark.parametrize("text", ["$.store.price", "$[0]", "$5.00", "{$}", "a $ b", "$faker.name"])
def test_payloads_that_only_look_like_expressions_are_sent_as_they_are(
    bench: Bench, text: str
) -> None:
    assert run(bench, create({"t": text})).requests[0].body == orjson.dumps({"t": text})


def test_an_undefined_output_is_told(bench: Bench) -> None:
    error = bench.refused(workflow(search("a"), create("$steps.a.outputs.gone")))
    assert 'the step "a" has no output "gone"' in str(error)
