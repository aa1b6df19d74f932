"""What published documents get wrong, or right in a way of their own: the words that they meet."""

from __future__ import annotations

from typing import Any

import pytest

from loadcheck.errors import Problem
from loadcheck.workflow.compile import lint
from loadcheck.workflow.exchange import Request
from tests.workflow.test_conformance import API, HEAD, READ, s
from tests.workflow.workbench import Bench, Reply, drive, give_up

LENGTH = "[{context: $response.body, type: jsonpath, condition: '$.matches.length > 0'}]"


def linted(bench: Bench, steps: str, *, head: str = HEAD, version: str = "1.0.1") -> list[Problem]:
    bench.write("api.yaml", API)
    text = f"arazzo: {version}\n{head}workflows:\n  - workflowId: w\n    steps:\n    {steps}\n"
    return list(lint(bench.write("w.yaml", text), name="w.yaml"))


@pytest.mark.parametrize(
    ("steps", "severity", "says"),
    [
        (s(f"operationId: list, successCriteria: {LENGTH}"), "warning", "length($.matches) > 0"),
        (
            s("operationId: list, outputs: {n: $response.body.matches.length}"),
            "warning",
            '"$response.body#/matches"',
        ),
        (
            "- {stepId: a, operationId: list, outputs: {l: $response.body}}\n    - {stepId: s, "
            + READ.replace("$VALUE", "'$steps.a.outputs.l.queues[0].name'")
            + "}",
            "warning",
            'write "$steps.a.outputs.l#/queues/0/name"',
        ),
        (
            s("operationId: list, successCriteria: [{condition: $body#/x == 1}]"),
            "error",
            'did you mean "$response.body"?',
        ),
        (
            s("operationPath: '{$sourceDescriptions.api.url}#/paths/~1items/GET'"),
            "error",
            '"#/paths/~1items/get"',
        ),
        (
            s("operationId: list, outputs: {ids: '$response.body[*].id'}"),
            "error",
            '"$response.body#/0"',
        ),
        (
            s(
                "operationId: list, successCriteria: [{context: $response.body, type: jsonpath, "
                'condition: \'$.a == "x" || $.a == "y"\'}]'
            ),
            "warning",
            "write \"$response.body#/a == 'x' || $response.body#/a == 'y'\" with type simple",
        ),
        (
            s("operationId: list, parameters: [{name: tags, in: query, value: a}]"),
            "warning",
            'did you mean "tag"?',
        ),
        (
            s(
                "operationId: read, parameters: [{name: id, in: path, value: a}, "
                "{name: item, in: path, value: b}]"
            ),
            "error",
            'has no path parameter "item"',
        ),
        (
            s("operationId: list, onSuccess: [{name: a, type: end}, {name: a, type: end}]"),
            "error",
            'duplicate action "a"',
        ),
        (
            s(READ.replace("$VALUE", "$steps.s.outputs.x").rstrip("}") + ", outputs: {x: $url}"),
            "error",
            "the step has not been answered",
        ),
        (s("operationId: list, requestBody: {payload: {a: 1}}"), "warning", "takes no body"),
        (
            s("operationId: add, requestBody: {contentType: text/csv, payload: 'a,b'}"),
            "warning",
            "does not take text/csv; it takes application/json",
        ),
        (
            s(
                "operationId: add, requestBody: {contentType: application/json, "
                "payload: {a: $dependencies.x.id}}"
            ),
            "warning",
            'is sent as text: "$dependencies"',
        ),
        (s("operationId: $sourceDescriptions.api.nope"), "error", "nope"),
    ],
)
def test_one_cause_is_one_problem_with_a_remedy_that_works(
    bench: Bench, steps: str, severity: str, says: str
) -> None:
    (problem,) = linted(bench, steps)
    assert problem.severity == severity
    assert says in str(problem)
    assert "$copy" not in str(problem)


def test_a_source_that_cannot_be_read_is_the_only_problem(bench: Bench) -> None:
    steps = s(READ.replace("$VALUE", "a") + ", outputs: {i: $request.path.id}")
    (problem,) = linted(bench, steps, head=HEAD.replace("api.yaml", "nosuch.yaml"))
    assert "--source api=FILE" in problem.remedy


def test_a_source_that_no_step_uses_need_not_be_there(bench: Bench) -> None:
    head = HEAD.replace("}]", "}, {name: old, url: gone.yaml, type: openapi}]")
    (problem,) = linted(bench, s("operationId: $sourceDescriptions.api.list"), head=head)
    assert (problem.severity, problem.remedy) == ("warning", "no step uses it: leave it out")


def test_a_source_url_may_be_percent_encoded(bench: Bench) -> None:
    bench.write("my api.yaml", API)
    assert linted(bench, s("operationId: list"), head=HEAD.replace("api.", "my%20api.")) == []


def test_a_choice_between_gotos_is_no_gate(bench: Bench) -> None:
    polling = (
        "operationId: list, onSuccess: [{name: ready, type: goto, stepId: t, criteria: "
        "[{condition: '$response.body#/s == 1'}]}, {name: again, type: goto, stepId: s, criteria: "
        "[{condition: '$response.body#/s == 0'}]}]"
    )
    assert linted(bench, s(polling) + "\n    - {stepId: t, operationId: list}") == []


def test_swagger_is_told_by_its_version(bench: Bench) -> None:
    bench.write("old.yaml", "swagger: '2.0'\npaths: {}\n")
    (problem,) = linted(bench, s("operationId: x"), head=HEAD.replace("api.yaml", "old.yaml"))
    assert "OpenAPI 2.0 (Swagger)" in problem.message
    assert "swagger2openapi" in problem.remedy


def test_a_schema_key_is_a_warning(bench: Bench) -> None:
    head = f"$schema: https://a.test/s\n{HEAD}"
    (problem,) = linted(bench, s("operationId: list"), head=head)
    assert (problem.severity, problem.key) == ("warning", "/$schema")


def compiled(bench: Bench, steps: str, *, version: str = "1.1.0", **settings: Any) -> Any:
    bench.write("api.yaml", API)
    text = (
        f"arazzo: {version}\n{HEAD}workflows:\n  - workflowId: w\n    inputs: {{type: object, "
        f"properties: {{u: {{}}, p: {{format: password}}}}}}\n    steps:\n    {steps}\n"
    )
    settings.setdefault("inputs", {"u": "$copy.userId"})
    return bench.compile(bench.write("w.yaml", text), **settings)


def test_a_step_that_a_jump_left_out_is_not_run_before(bench: Bench) -> None:
    steps = (
        "- {stepId: a, operationId: list, onSuccess: [{name: j, type: goto, stepId: s}]}\n"
        "    - {stepId: b, operationId: list}\n    - {stepId: s, operationId: list, dependsOn: [b]}"
    )
    plan = compiled(bench, steps)
    ride = drive(plan.copy(0, 0, give_up), lambda _: Reply())
    assert (ride.result, len(ride.requests)) == (False, 1)
    assert 'depends on the step "b"' in next(iter(plan.unsendable))


def test_a_time_out_of_a_step_is_in_the_plan(bench: Bench) -> None:
    plan = compiled(bench, s("operationId: list, timeout: 1500"))
    assert [step.timeout_s for step in plan.steps] == [1.5]


def test_cookies_are_each_copy_s_own(bench: Bench) -> None:
    steps = "- {stepId: a, operationId: list}\n    - {stepId: s, operationId: list}"

    def answer(request: Request) -> Reply:
        fields = (
            ("set-cookie", f"sid={len(request.head)}; Path=/; HttpOnly"),
            ("set-cookie", "gone=1; Max-Age=0"),
            ("set-cookie", "other=1; Domain=else.test"),
            ("set-cookie", "safe=1; Secure"),
        )
        return Reply(headers=fields)

    plan = compiled(bench, steps, cookies=True)
    plan.query("s", values={"uniques": "$response.body#/n"})  # which compiles once more
    for number in range(2):
        first, second = drive(plan.copy(number, 0, give_up), answer).requests
        assert b"Cookie" not in first.head
        assert f"Cookie: sid={len(first.head)}\r\n".encode() in second.head
    warned = [problem.remedy for problem in compiled(bench, steps).warnings]
    assert any("cookies = true" in remedy for remedy in warned)


def test_generated_bytes_differ_between_copies_and_not_between_tries(bench: Bench) -> None:
    steps = s(
        "operationId: add, requestBody: {contentType: application/octet-stream, payload: $inputs.u}"
    )
    plan = compiled(bench, steps, inputs={"u": {"$bytes": 64}})
    sent = [drive(plan.copy(n, 0, give_up), lambda _: Reply()).requests[0].body for n in (0, 1, 0)]
    assert sent[0] == sent[2] != sent[1]
    assert len(sent[0]) == 64


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"$file": "../w.yaml"}, "outside of the scenario's folder"),
        ({"$file": "nosuch"}, "there is no file"),
        ({"$file": "a\0b"}, "cannot be read: embedded null"),
        ({"$bytes": -1}, "expected a whole number"),
        ({"$bytes": 1, "x": 2}, "unknown keys"),
    ],
)
def test_files_that_cannot_be_are_refused(bench: Bench, value: Any, says: str) -> None:
    with pytest.raises(Exception, match=says):
        compiled(bench, s("operationId: list"), inputs={"u": value})


def test_what_the_description_of_an_answer_has_no_place_for(bench: Bench) -> None:
    schema = "{type: object, properties: {data: {type: object, properties: {count: {}}}}}"
    described = f"content: {{application/json: {{schema: {schema}}}}}, "
    bench.write("api.yaml", API)
    text = API.replace(
        "'200':\n          description: ok",
        f"'200':\n          {described[:-2]}\n          description: ok",
        1,
    )
    path = bench.write(
        "w.yaml",
        f"arazzo: 1.0.1\n{HEAD}workflows:\n  - workflowId: w\n    inputs: "
        "{properties: {u: {}}}\n    steps:\n    "
        "- {stepId: a, " + READ.replace("$VALUE", "$inputs.u") + "}\n    "
        "- {stepId: s, operationId: list}\n",
    )
    bench.write("api.yaml", text)
    plan = bench.compile(path, inputs={"u": "$copy.userId"})
    plan.query("s", values={"uniques": "$response.body#/data/count"})
    assert not [each for each in plan.warnings if "uniques" in each.message]
    plan.query("s", values={"uniques": "$response.body#/data/cuont"})
    assert [each.remedy for each in plan.warnings if "uniques" in each.message] == [
        "there are count"
    ]


@pytest.mark.parametrize("url", ["%41" * 2000, "a%00b.yaml", "9" * 5000])
def test_a_source_url_that_no_file_can_have_is_told(bench: Bench, url: str) -> None:
    (problem,) = linted(bench, s("operationId: list"), head=HEAD.replace("api.yaml", f"'{url}'"))
    assert problem.severity == "error"
