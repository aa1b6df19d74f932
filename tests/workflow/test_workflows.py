"""Workflows that call each other, depend on each other, and stand in other documents."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from loadcheck.errors import WorkflowError
from loadcheck.scenario.model import Edit
from loadcheck.workflow.exchange import Request
from tests.workflow.workbench import Bench, Reply, drive, give_up, workflow


def request_step(name: str, **fields: Any) -> dict[str, Any]:
    parameters = [{"name": "step", "in": "query", "value": name}, *fields.pop("parameters", ())]
    return {"stepId": name, "operationId": "search", "parameters": parameters, **fields}


def called(workflow_id: str, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**workflow(*steps, **fields), "workflowId": workflow_id}


def echo(request: Request) -> Reply:
    """Answer with the query of the request as an object."""
    pairs = request.target.partition("?")[2].split("&")
    return Reply(200, dict(pair.split("=", 1) for pair in pairs if pair))


def steps_of(requests: list[Request]) -> list[str]:
    return [request.target.partition("step=")[2].partition("&")[0] for request in requests]


LOGIN = called(
    "login",
    request_step(
        "post",
        parameters=[
            {"name": "user", "in": "query", "value": "$inputs.user"},
            {"name": "mode", "in": "query", "value": "$inputs.mode"},
            {"name": "extra", "in": "query", "value": "$inputs.extra"},
        ],
        outputs={"user": "$response.body#/user", "whole": "$response.body"},
    ),
    inputs={
        "type": "object",
        "required": ["user"],
        "properties": {
            "user": {"type": "string", "minLength": 3},
            "mode": {"type": "string", "default": "fast"},
            "extra": {"type": "string"},
        },
    },
    outputs={"token": "$steps.post.outputs.user", "all": "$steps.post.outputs.whole"},
)


def test_a_called_workflow_has_inputs_and_outputs_of_its_own(bench: Bench) -> None:
    call = {
        "stepId": "sign-in",
        "workflowId": "login",
        "parameters": [{"name": "user", "value": "u-{$inputs.me}"}],
        "successCriteria": [{"condition": "$outputs.token == 'u-anna'"}],
        "outputs": {"token": "$outputs.token", "mode": "$outputs.all#/mode"},
    }
    use = request_step(
        "use",
        parameters=[
            {"name": "t", "in": "query", "value": "$steps.sign-in.outputs.token"},
            {"name": "m", "in": "query", "value": "$steps.sign-in.outputs.mode"},
            {"name": "w", "in": "query", "value": "$workflows.login.outputs.token"},
            {"name": "i", "in": "query", "value": "$workflows.login.inputs.mode"},
            {"name": "all", "in": "query", "value": "$steps.sign-in.outputs.all#/step"},
        ],
    )
    plan = bench.plan(
        workflow(call, use, inputs=["me"]), LOGIN, workflow_id="main", inputs={"me": "anna"}
    )
    ride = drive(plan.copy(0, 0, give_up), echo)
    assert ride.result is True
    assert ride.targets == [
        "/v1/things?step=post&user=u-anna&mode=fast",
        "/v1/things?step=use&t=u-anna&m=fast&w=u-anna&i=fast&all=post",
    ]
    assert [step.step_id for step in plan.steps] == ["post", "use"]


def test_a_call_that_fails_fails_the_step(bench: Bench) -> None:
    call = {
        "stepId": "sign-in",
        "workflowId": "login",
        "parameters": [{"name": "user", "value": "anna"}],
    }
    plan = bench.plan(workflow(call, request_step("use")), LOGIN, workflow_id="main")
    ride = drive(plan.copy(0, 0, give_up), lambda _: Reply(500))
    assert (ride.result, steps_of(ride.requests)) == (False, ["post"])


def test_a_call_can_be_retried_and_gone_on_from(bench: Bench) -> None:
    call = {
        "stepId": "sign-in",
        "workflowId": "login",
        "parameters": [{"name": "user", "value": "anna"}],
        "onFailure": [
            {"name": "again", "type": "retry", "retryAfter": 1, "retryLimit": 1},
            {"name": "else", "type": "goto", "stepId": "other"},
        ],
    }
    plan = bench.plan(
        workflow(call, request_step("use"), request_step("other")), LOGIN, workflow_id="main"
    )
    ride = drive(plan.copy(0, 0, give_up), lambda r: Reply(500 if "step=post" in r.target else 200))
    assert (ride.result, ride.pauses) == (True, [1.0])
    assert steps_of(ride.requests) == ["post", "post", "other"]


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ([], 'the input "user" is required'),
        ([{"name": "user", "value": "ab"}], "too short"),
        ([{"name": "user", "value": 5}], "not of type 'string'"),
        (
            [{"name": "user", "value": "anna"}, {"name": "mod", "value": "x"}],
            'did you mean "mode"?',
        ),
    ],
)
def test_the_inputs_of_a_call_are_checked_before_the_run(
    bench: Bench, parameters: list[dict[str, Any]], says: str
) -> None:
    call = {"stepId": "s", "workflowId": "login", "parameters": parameters}
    assert says in str(bench.refused(workflow(call), LOGIN, workflow_id="main"))


@pytest.mark.parametrize(
    ("value", "sent", "why"),
    [
        ("anna", True, ""),
        ("ab", False, "does not fit its schema"),
        (5, False, "does not fit its schema"),
        (None, False, "does not fit its schema"),
        (..., False, 'the input "user" of workflow "login" has no value'),
    ],
)
def test_inputs_that_a_copy_brings_are_checked_before_anything_is_sent(
    bench: Bench, value: Any, sent: bool, why: str
) -> None:
    first = request_step("first", outputs={"u": "$response.body#/u"})
    call = {
        "stepId": "s",
        "workflowId": "login",
        "parameters": [{"name": "user", "value": "$steps.first.outputs.u"}],
    }
    plan = bench.plan(workflow(first, call), LOGIN, workflow_id="main")
    body = {} if value is ... else {"u": value}
    ride = drive(plan.copy(0, 0, give_up), lambda _: Reply(200, body))
    assert (ride.result, len(ride.requests)) == (sent, 2 if sent else 1)
    assert why in "".join(plan.unsendable)


def test_an_optional_input_without_a_value_is_left_out_wherever_it_stands(bench: Bench) -> None:
    inner = called(
        "inner",
        {
            "stepId": "send",
            "operationId": "create",
            "parameters": [
                {"name": "q", "in": "query", "value": "$inputs.a"},
                {"name": "X-A", "in": "header", "value": "$inputs.a"},
                {"name": "c", "in": "cookie", "value": "$inputs.a"},
            ],
            "requestBody": {"payload": {"a": "$inputs.a", "list": ["$inputs.a", 1], "k": 2}},
        },
        inputs=["a"],
    )
    first = request_step("first", outputs={"u": "$response.body#/u"})
    call = {
        "stepId": "s",
        "workflowId": "inner",
        "parameters": [{"name": "a", "value": "$steps.first.outputs.u"}],
    }
    plan = bench.plan(workflow(first, call), inner, workflow_id="main")
    with_value = drive(plan.copy(0, 0, give_up), lambda _: Reply(200, {"u": "x"})).requests[1]
    assert with_value.target == "/v1/things?q=x"
    assert orjson.loads(with_value.body) == {"a": "x", "list": ["x", 1], "k": 2}
    assert dict(with_value.headers)["Cookie"] == "c=x"
    without = drive(plan.copy(0, 0, give_up), lambda _: Reply(200, {})).requests[1]
    assert without.target == "/v1/things"
    assert orjson.loads(without.body) == {"list": [1], "k": 2}
    assert {"X-A", "Cookie"}.isdisjoint(dict(without.headers))


def test_what_a_workflow_depends_on_runs_first_and_once(bench: Bench) -> None:
    prepare = called(
        "prepare",
        request_step(
            "prep",
            parameters=[{"name": "u", "in": "query", "value": "$inputs.user"}],
            outputs={"x": "$response.body#/u"},
        ),
        inputs=["user"],
        outputs={"x": "$steps.prep.outputs.x"},
    )
    other = called("other", request_step("oth"), dependsOn=["prepare"])
    main = workflow(
        request_step(
            "use",
            parameters=[{"name": "x", "in": "query", "value": "$workflows.prepare.outputs.x"}],
        ),
        dependsOn=["prepare", "other"],
    )
    plan = bench.plan(main, prepare, other, workflow_id="main", inputs={"user": "$copy.userId"})
    ride = drive(plan.copy(3, 0, give_up), echo)
    assert steps_of(ride.requests) == ["prep", "oth", "use"]
    assert ride.targets[2].endswith("x=lc-run0run0run0-0000003")
    assert [step.step_id for step in plan.steps] == ["prep", "oth", "use"]
    failed = drive(plan.copy(3, 0, give_up), lambda _: Reply(500))
    assert (failed.result, len(failed.requests)) == (False, 1)


def test_goto_another_workflow_is_one_way(bench: Bench) -> None:
    go = {"name": "go", "type": "goto", "workflowId": "other"}
    other = called(
        "other",
        request_step("oth", parameters=[{"name": "u", "in": "query", "value": "$inputs.user"}]),
        inputs=["user"],
    )
    main = workflow(request_step("a", onSuccess=[go]), request_step("b"), inputs=["user"])
    plan = bench.plan(main, other, workflow_id="main", inputs={"user": "$copy.userId"})
    ride = drive(plan.copy(0, 0, give_up), echo)
    assert (steps_of(ride.requests), ride.result) == (["a", "oth"], True)
    assert ride.targets[1].endswith("u=lc-run0run0run0-0000000")


def test_a_retry_may_run_a_workflow_first(bench: Bench) -> None:
    retry = {"name": "r", "type": "retry", "workflowId": "fix"}
    main = workflow(request_step("a", onFailure=[retry]))
    plan = bench.plan(main, called("fix", request_step("fixing")), workflow_id="main")
    replies = iter([Reply(500), Reply(200), Reply(200)])
    ride = drive(plan.copy(0, 0, give_up), lambda _: next(replies))
    assert (steps_of(ride.requests), ride.result) == (["a", "fixing", "a"], True)


def test_recursion_with_an_exit_runs_and_is_bounded(bench: Bench) -> None:
    down = called(
        "down",
        request_step(
            "count",
            parameters=[{"name": "n", "in": "query", "value": "$inputs.n"}],
            outputs={"next": "$response.body#/next"},
            onSuccess=[
                {
                    "name": "done",
                    "type": "end",
                    "criteria": [{"condition": "$response.body#/next == 0"}],
                }
            ],
        ),
        {
            "stepId": "again",
            "workflowId": "down",
            "parameters": [{"name": "n", "value": "$steps.count.outputs.next"}],
        },
        inputs=["n"],
    )
    plan = bench.plan(down, inputs={"n": 3})

    def count(request: Request) -> Reply:
        return Reply(200, {"next": int(request.target.partition("n=")[2]) - 1})

    ride = drive(plan.copy(0, 0, give_up), count)
    assert [target.partition("n=")[2] for target in ride.targets] == ["3", "2", "1"]
    assert ride.result is True
    endless = drive(plan.copy(0, 0, give_up), lambda _: Reply(200, {"next": 1}))
    assert endless.result is False
    assert "too deeply" in "".join(plan.unsendable)


@pytest.mark.parametrize(
    "workflows",
    [
        [workflow({"stepId": "a", "workflowId": "main"})],
        [
            workflow({"stepId": "a", "workflowId": "other"}),
            called("other", {"stepId": "b", "workflowId": "main"}),
        ],
        [
            workflow(
                request_step("a", onSuccess=[{"name": "x", "type": "goto", "workflowId": "other"}])
            ),
            called(
                "other",
                request_step("b", onSuccess=[{"name": "x", "type": "goto", "workflowId": "main"}]),
            ),
        ],
    ],
)
def test_recursion_without_an_exit_is_refused(
    bench: Bench, workflows: list[dict[str, Any]]
) -> None:
    assert "can never end" in str(bench.refused(*workflows, workflow_id="main"))


def test_a_circle_of_dependencies_is_refused(bench: Bench) -> None:
    error = bench.refused(
        workflow(request_step("a"), dependsOn=["b"]),
        called("b", request_step("b"), dependsOn=["c"]),
        called("c", request_step("c"), dependsOn=["main"]),
        workflow_id="main",
    )
    (problem,) = error.problems
    assert "dependsOn goes round in a circle: main → b → c → main" in str(problem)


def test_workflows_of_another_document(bench: Bench) -> None:
    bench.document(LOGIN, called("same", request_step("post")), name="shared.json")
    path = bench.document(
        workflow(
            {
                "stepId": "one",
                "workflowId": "$sourceDescriptions.shared.login",
                "parameters": [{"name": "user", "value": "anna"}],
                "outputs": {"t": "$outputs.token"},
            },
            {"stepId": "two", "workflowId": "same"},
            {
                "stepId": "three",
                "operationId": "$sourceDescriptions.api.search",
                "parameters": [{"name": "t", "in": "query", "value": "$steps.one.outputs.t"}],
            },
        ),
        sources=[
            {"name": "api", "url": "api.json", "type": "openapi"},
            {"name": "shared", "url": "shared.json", "type": "arazzo"},
        ],
    )
    plan = bench.compile(path)
    ride = drive(plan.copy(0, 0, give_up), echo)
    assert ride.targets == [
        "/v1/things?step=post&user=anna&mode=fast",
        "/v1/things?step=post",
        "/v1/things?t=anna",
    ]
    assert [step.step_id for step in plan.steps] == ["post", "shared.same.post", "three"]


def test_documents_that_refer_to_each_other_are_read_once(bench: Bench) -> None:
    sources = [{"name": "api", "url": "api.json"}, {"name": "b", "url": "b.json", "type": "arazzo"}]
    back = [
        {"name": "api", "url": "api.json"},
        {"name": "a", "url": "workflow.json", "type": "arazzo"},
    ]
    bench.document(called("there", request_step("x")), sources=back, name="b.json")
    path = bench.document(workflow({"stepId": "s", "workflowId": "there"}), sources=sources)
    assert [step.step_id for step in bench.compile(path).steps] == ["x"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere", 'there is no workflow "nowhere"'),
        ("$sourceDescriptions.oops.x", 'there is no source description "oops"'),
        ("$sourceDescriptions.api.x", "not an Arazzo document"),
        ("mian", 'did you mean "main"?'),
    ],
)
def test_a_workflow_that_is_not_there(bench: Bench, name: str, says: str) -> None:
    assert says in str(bench.refused(workflow({"stepId": "s", "workflowId": name})))


def test_spellings_of_published_documents_are_understood_with_a_warning(bench: Bench) -> None:
    bench.document(called("same", request_step("post")), name="shared.json")
    path = bench.document(
        workflow(
            {"stepId": "a", "operationId": "api.search"},
            {"stepId": "b", "workflowId": "$sourceDescriptions.shared.workflows.same"},
        ),
        sources=[
            {"name": "api", "url": "api.json"},
            {"name": "shared", "url": "shared.json", "type": "arazzo"},
        ],
    )
    plan = bench.compile(path)
    remedies = [warning.remedy for warning in plan.warnings]
    assert [remedy for remedy in remedies if remedy.startswith("write")] == [
        'write "$sourceDescriptions.api.search"',
        'write "$sourceDescriptions.shared.same"',
    ]
    assert len(drive(plan.copy(0, 0, give_up), echo).requests) == 2
    with pytest.raises(WorkflowError, match="part too many"):
        bench.compile(path, strict=True)
    nowhere = bench.document(workflow({"stepId": "a", "operationId": "api.serch"}))
    with pytest.raises(WorkflowError, match='did you mean "search"'):
        bench.compile(nowhere)


def test_several_sources_of_operations(bench: Bench) -> None:
    sources = [{"name": "api", "url": "api.json"}, {"name": "two", "url": "api.json"}]
    steps: list[dict[str, Any]] = [
        {"stepId": "a", "operationId": "$sourceDescriptions.two.search"},
        {
            "stepId": "b",
            "operationPath": "{$sourceDescriptions.api.url}#/paths/~1things~1%7Bid%7D/get",
            "parameters": [{"name": "id", "in": "path", "value": "x"}],
        },
    ]
    path = bench.document(workflow(*steps), sources=sources)
    plan = bench.compile(path, servers={"two": "http://two.test"})
    ride = drive(plan.copy(0, 0, give_up), echo)
    assert [request.url for request in ride.requests] == [
        "http://two.test/things",
        "http://things.test/v1/things/x",
    ]
    ambiguous = bench.document(workflow({"stepId": "a", "operationId": "search"}), sources=sources)
    with pytest.raises(WorkflowError, match="in several source descriptions: api, two"):
        bench.compile(ambiguous)


def test_request_and_source_expressions(bench: Bench) -> None:
    one: dict[str, Any] = {
        "stepId": "one",
        "operationId": "read",
        "parameters": [
            {"name": "id", "in": "path", "value": "a b"},
            {"name": "q", "in": "query", "value": "1&2"},
            {"name": "X-H", "in": "header", "value": "h"},
        ],
        "outputs": {
            "url": "$url",
            "method": "$method",
            "status": "$statusCode",
            "path": "$request.path.id",
            "query": "$request.query.q",
            "header": "$request.header.x-h",
            "response": "$response.header.X-R",
            "source": "$sourceDescriptions.api.url",
        },
    }
    names = list(one["outputs"])
    two = {
        "stepId": "two",
        "operationId": "create",
        "requestBody": {"payload": {name: f"$steps.one.outputs.{name}" for name in names}},
        "outputs": {"body": "$request.body#/method", "all": "$request.body"},
    }
    three = {
        "stepId": "three",
        "operationId": "create",
        "requestBody": {"payload": ["$steps.two.outputs.body", "$steps.two.outputs.all#/status"]},
    }
    plan = bench.plan(workflow(one, two, three))
    ride = drive(plan.copy(0, 0, give_up), lambda _: Reply(201, headers=[("x-r", "r")]))
    assert orjson.loads(ride.requests[1].body) == {
        "url": "http://things.test/v1/things/a%20b?q=1%262",
        "method": "GET",
        "status": 201,
        "path": "a b",
        "query": "1&2",
        "header": "h",
        "response": "r",
        "source": "api.json",
    }
    assert orjson.loads(ride.requests[2].body) == ["GET", 201]


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_an_output_may_be_made_of_another_of_its_step(bench: Bench, names: str) -> None:
    outputs = {"a": "$response.body#/x", "b": "$steps.one.outputs.a#/y"}
    one = request_step("one", outputs={name: outputs[name] for name in names})
    body = {"payload": [f"$steps.one.outputs.{name}" for name in names]}
    two = {"stepId": "two", "operationId": "create", "requestBody": body}
    plan = bench.plan(workflow(one, two))
    ride = drive(plan.copy(0, 0, give_up), lambda _: Reply(200, {"x": {"y": 5}}))
    assert sorted(orjson.loads(ride.requests[1].body), key=str) == [5, {"y": 5}]


def test_an_answer_is_not_known_before_it_is_there(bench: Bench) -> None:
    step = request_step(
        "a", parameters=[{"name": "x", "in": "query", "value": "$response.body#/x"}]
    )
    assert "before the step has been answered" in str(bench.refused(workflow(step)))


def test_an_output_that_gives_nothing_stops_the_copy(bench: Bench) -> None:
    plan = bench.plan(
        workflow(
            request_step("a", outputs={"id": "$response.body#/id"}),
            request_step(
                "b", parameters=[{"name": "x", "in": "query", "value": "$steps.a.outputs.id"}]
            ),
        ),
    )
    ride = drive(plan.copy(0, 0, give_up), lambda _: Reply(200, b"no json"))
    assert (ride.result, len(ride.requests)) == (False, 1)
    assert plan.unsendable == {"b: $steps.a.outputs.id has no value": 1}


def test_the_overlay_finds_steps_of_called_workflows(bench: Bench) -> None:
    call = {"stepId": "s", "workflowId": "login", "parameters": [{"name": "user", "value": "anna"}]}
    plan = bench.plan(
        workflow(call, request_step("post")),
        LOGIN,
        workflow_id="main",
        overlay=[Edit("post", "query.here", 1), Edit("login.post", "query.there", 2)],
    )
    ride = drive(plan.copy(0, 0, give_up), echo)
    assert ride.targets[0].endswith("&there=2")
    assert ride.targets[1].endswith("&here=1")
