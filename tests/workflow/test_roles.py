"""Which steps each copy runs, what they depend on, and queries of the others."""

from __future__ import annotations

from typing import Any

import pytest

from loadcheck.errors import WorkflowError
from loadcheck.scenario.model import Edit
from loadcheck.workflow.exchange import Request
from loadcheck.workflow.runtime.plan import Plan, Role
from tests.workflow.workbench import Bench, Reply, drive, give_up, workflow


def step(name: str, *uses: str, **fields: Any) -> dict[str, Any]:
    parameters = [{"name": "step", "in": "query", "value": name}]
    parameters += [
        {"name": f"p{index}", "in": "query", "value": use} for index, use in enumerate(uses)
    ]
    return {"stepId": name, "operationId": "search", "parameters": parameters, **fields}


INPUTS = {"user": "$copy.userId", "run": "$run.id", "fixed": "x"}


def planned(bench: Bench, *steps: dict[str, Any], **settings: Any) -> Plan:
    return bench.plan(workflow(*steps, inputs=[*INPUTS]), inputs=INPUTS, **settings)


def roles(plan: Plan) -> str:
    return "".join("C" if step.role is Role.COPY else "o" for step in plan.steps)


def names(requests: list[Request]) -> list[str]:
    return [request.target.partition("step=")[2].partition("&")[0] for request in requests]


TOKEN = {"outputs": {"token": "$response.body#/token"}}
ID = {"outputs": {"id": "$response.body#/id"}}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([step("a", "$inputs.user"), step("b", "$inputs.run")], "Co"),
        ([step("a", "$inputs.fixed"), step("b", "$inputs.user"), step("c")], "CCo"),
        ([step("a", "x-{$inputs.user}"), step("b"), step("c"), step("d")], "Cooo"),
        ([step("a", "$inputs.user", **ID), step("b", "$steps.a.outputs.id")], "CC"),
        (
            [
                step("a", "$inputs.user", **ID),
                step("b", "$steps.a.outputs.id", **ID),
                step("c", "$inputs.run"),
                step("d", "$steps.b.outputs.id"),
                step("e"),
            ],
            "CCCCo",
        ),
        (
            [
                step("login", **TOKEN),
                step("a", "$inputs.user"),
                step("q", "$steps.login.outputs.token"),
            ],
            "CCo",
        ),
        ([step("a", "$inputs.run"), step("b", "$inputs.fixed")], "CC"),
    ],
)
def test_roles(bench: Bench, steps: list[dict[str, Any]], expected: str) -> None:
    plan = planned(bench, *steps)
    assert roles(plan) == expected
    ride = drive(plan.copy(0, 0, give_up), lambda _: Reply(200, {"id": 1, "token": "t"}))
    assert len(ride.requests) == expected.count("C")
    each = planned(bench, *steps, query="each")
    assert roles(each) == "C" * len(steps)
    ride = drive(each.copy(0, 0, give_up), lambda _: Reply(200, {"id": 1, "token": "t"}))
    assert len(ride.requests) == len(steps)


def test_the_overlay_makes_a_step_per_copy(bench: Bench) -> None:
    plan = planned(bench, step("a"), step("b"), overlay=[Edit("a", "header.X", "$copy.number")])
    assert roles(plan) == "Co"


def test_where_no_request_differs_every_step_is_run_and_that_is_said(bench: Bench) -> None:
    plan = planned(bench, step("a"))
    assert "no request differs from copy to copy" in plan.warnings[0].message


def test_what_steps_depend_on(bench: Bench) -> None:
    plan = planned(
        bench,
        step("a", "$inputs.user", "$inputs.run", **ID),
        step("b", "$steps.a.outputs.id"),
        step("c", "$inputs.run"),
        step("d"),
        overlay=[Edit("d", "query.t", "$target.apiKey"), Edit("a", "query.n", "$copy.time")],
    )
    assert [set(step.uses) for step in plan.steps] == [
        {"$copy.userId", "$copy.time", "$run.id"},
        {"$copy.userId", "$copy.time", "$run.id"},
        {"$run.id"},
        {"$target.apiKey"},
    ]
    assert [step.dependent for step in plan.steps] == [False, True, False, False]
    first = plan.steps[0]
    assert (first.method, str(first.origin), first.path) == (
        "GET",
        "http://things.test",
        "/v1/things",
    )


def test_a_goto_into_an_observer_ends_the_copys_part(bench: Bench) -> None:
    go = {"onSuccess": [{"name": "go", "type": "goto", "stepId": "c"}]}
    plan = planned(bench, step("a", "$inputs.user", **go), step("b", "$inputs.user"), step("c"))
    ride = drive(plan.copy(0, 0, give_up), lambda _: Reply())
    assert (names(ride.requests), ride.result) == (["a"], True)


def test_a_called_workflow_belongs_to_whoever_calls_it(bench: Bench) -> None:
    def call(name: str, target: str, value: str) -> dict[str, Any]:
        parameters = [{"name": "in", "value": value}]
        return {"stepId": name, "workflowId": target, "parameters": parameters}

    def sub(name: str) -> dict[str, Any]:
        return {**workflow(step(f"{name}1", "$inputs.in"), inputs=["in"]), "workflowId": name}

    plan = bench.plan(
        workflow(
            call("a", "x", "$inputs.user"), call("b", "y", "$inputs.run"), inputs=["user", "run"]
        ),
        sub("x"),
        sub("y"),
        workflow_id="main",
        inputs={"user": "$copy.userId", "run": "$run.id"},
    )
    assert [(step.step_id, step.role, set(step.uses)) for step in plan.steps] == [
        ("x1", Role.COPY, {"$copy.userId"}),
        ("y1", Role.OBSERVER, {"$run.id"}),
    ]
    query = plan.query("y1", values={"n": "$response.body#/n"})
    ride = drive(query.run(1), lambda _: Reply(200, {"n": 5}))
    assert ride.targets == ["/v1/things?step=y1&p0=run0run0run0"]
    assert ride.result.values == {"n": 5}


def test_a_query_runs_what_it_needs_first(bench: Bench) -> None:
    plan = planned(
        bench,
        step("login", **TOKEN),
        step("other"),
        step("a", "$inputs.user", "$steps.login.outputs.token"),
        step("q", "$steps.login.outputs.token", "$inputs.run"),
    )
    query = plan.query("q", values={"n": "$response.body#/n"})
    ride = drive(query.run(1), lambda _: Reply(200, {"token": "t", "n": 5}))
    assert names(ride.requests) == ["login", "q"]
    assert ride.targets[1].endswith("p0=t&p1=run0run0run0")
    assert (ride.result.success, ride.result.values) == (True, {"n": 5})
    refused = drive(query.run(1), lambda _: Reply(403))
    assert (refused.result.success, refused.result.values) == (False, {"n": None})
    assert names(refused.requests) == ["login"]
    assert refused.result.exchange is refused.exchanges[0]


def test_a_query_whose_first_steps_give_nothing_is_a_failed_one(bench: Bench) -> None:
    plan = planned(
        bench,
        step("login", **TOKEN),
        step("a", "$inputs.user"),
        step("q", "$steps.login.outputs.token"),
    )
    query = plan.query("q", values={"n": "$response.body#/n"})
    ride = drive(query.run(1), lambda _: Reply(200, {}))
    assert (ride.result.success, ride.result.values) == (False, {"n": None})
    assert ride.result.exchange is ride.exchanges[0]
    assert ride.exchanges[0].reason == "$steps.login.outputs.token has no value"


def test_a_query_needs_what_its_edits_and_its_body_need(bench: Bench) -> None:
    body = {"requestBody": {"payload": {"t": "$steps.two.outputs.id"}}, "operationId": "create"}
    plan = planned(
        bench,
        step("one", **TOKEN),
        step("two", **ID),
        step("a", "$inputs.user"),
        {**step("q"), **body},
    )
    query = plan.query("q", edits=[Edit("", "header.T", "$steps.one.outputs.token")], values={})
    ride = drive(query.run(1), lambda _: Reply(200, {"token": "t", "id": 5}))
    assert names(ride.requests) == ["one", "two", "q"]
    assert ride.requests[2].body == b'{"t":5}'
    assert dict(ride.requests[2].headers)["T"] == "t"


BODY = {"data": {"rows": [[{"value": 7}], [{"value": 8}]]}, "text": "x", "null": None}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$response.body#/data/rows/0/0/value", 7),
        ("$response.body#/data/rows", BODY["data"]["rows"]),  # type: ignore[index]
        ("$response.header.x-total", "12"),
        ("$statusCode", 200),
        ("$response.body#/absent", None),
        ("$response.body#/null", None),
        ("$.data.rows[0][0].value", 7),
        ("$.data.rows[*][0].value", [7, 8]),
        ("$['data']['rows'][-1][0]['value']", 8),
        ("$.data.rows[?@[0].value > 7][0].value", 8),
        ("$.absent", None),
        ("$steps.q.outputs.first", 7),
        ("$outputs.first", 7),
        ("$run.id", "run0run0run0"),
    ],
)
def test_values_of_a_query(bench: Bench, expression: str, value: Any) -> None:
    outputs = {"outputs": {"first": "$response.body#/data/rows/0/0/value"}}
    plan = planned(bench, step("a", "$inputs.user"), step("q", **outputs))
    query = plan.query("q", values={"v": expression})
    ride = drive(query.run(1), lambda _: Reply(200, BODY, headers=[("x-total", "12")]))
    assert ride.result.values == {"v": value}


def test_an_answer_that_is_no_json_gives_nothing(bench: Bench) -> None:
    plan = planned(bench, step("a", "$inputs.user"), step("q"))
    query = plan.query("q", values={"a": "$response.body#/n", "b": "$.n", "c": "$response.body"})
    ride = drive(query.run(1), lambda _: Reply(200, b"no json"))
    assert ride.result.values == {"a": None, "b": None, "c": "no json"}


def test_edits_of_a_query_come_after_the_overlay_and_change_no_other(bench: Bench) -> None:
    plan = planned(
        bench,
        step("a", "$inputs.user"),
        step("q", '{"type":"t"}'),
        overlay=[Edit("q", "query.p0#/filters/-", "$run.id"), Edit("q", "query.m", "one")],
    )
    edits = [Edit("", "query.p0#/filters/-", "n-{$query.number}"), Edit("", "query.m", "two")]
    query = plan.query("q", edits=edits, values={})
    target = drive(query.run(41), lambda _: Reply()).targets[0]
    assert "%22run0run0run0%22%2C%22n-41%22" in target
    assert "m=two" in target
    plain = drive(plan.query("q", values={}).run(1), lambda _: Reply()).targets[0]
    assert "n-" not in plain
    assert "m=one" in plain


@pytest.mark.parametrize(
    ("step_id", "edits", "values", "says"),
    [
        ("p", [], {}, 'there is no step "p" that sends a request'),
        ("a", [], {}, "depends on the copy by $copy.userId"),
        ("q", [], {"n": "$response.bdy#/n"}, "unknown part"),
        ("q", [], {"n": "$.a[?]"}, "is not a JSONPath"),
        ("q", [], {"n": "$steps.q.outputs.zzz"}, "has no output"),
        ("q", [Edit("", "query.step#/x", 1)], {}, "not JSON text"),
    ],
)
def test_a_query_that_cannot_be_asked(
    bench: Bench, step_id: str, edits: list[Edit], values: dict[str, str], says: str
) -> None:
    plan = planned(bench, step("a", "$inputs.user"), step("q"))
    with pytest.raises(WorkflowError) as caught:
        plan.query(step_id, edits=edits, values=values)
    assert says in str(caught.value)


def test_a_query_is_judged_by_the_steps_criteria(bench: Bench) -> None:
    criteria = {"successCriteria": [{"condition": "$response.body#/ok == true"}]}
    plan = planned(bench, step("a", "$inputs.user"), step("q", **criteria))
    query = plan.query("q", values={"n": "$response.body#/n"})
    ride = drive(query.run(1), lambda _: Reply(200, {"ok": False, "n": 1}))
    assert (ride.result.success, ride.result.values) == (False, {"n": None})
    assert ride.result.exchange.reason == "$response.body#/ok == true does not hold"


def test_extra_criteria_of_the_scenario(bench: Bench) -> None:
    plan = planned(
        bench, step("a", "$inputs.user"), criteria={"a": ["$response.body#/n == $inputs.fixed"]}
    )
    assert drive(plan.copy(0, 0, give_up), lambda _: Reply(200, {"n": "x"})).result is True
    ride = drive(plan.copy(0, 0, give_up), lambda _: Reply(200, {"n": "y"}))
    assert ride.exchanges[0].reason == "$response.body#/n == $inputs.fixed does not hold"
    error = None
    try:
        planned(bench, step("a"), criteria={"a": ["$nope == 1"]})
    except WorkflowError as caught:
        error = caught
    assert "$nope" in str(error)
