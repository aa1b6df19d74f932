"""What a step's request looks like on the wire: parameters, bodies, headers, the overlay."""

from __future__ import annotations

import copy
import json
import urllib.parse
from typing import Any

import orjson
import pytest

from loadcheck.scenario.model import Edit
from loadcheck.workflow.exchange import Request
from tests.workflow.workbench import OPENAPI, Bench, Reply, drive, give_up, workflow


def first(bench: Bench, step: dict[str, Any], inputs: dict[str, Any] | None = None) -> Request:
    given = inputs or {}
    plan = bench.plan(workflow({"stepId": "s", **step}, inputs=[*given]), inputs=given)
    return drive(plan.copy(0, 1_000, give_up), lambda _: Reply()).requests[0]


def query(bench: Bench, parameter: dict[str, Any], value: Any) -> str:
    bench.openapi = copy.deepcopy(OPENAPI)
    get = bench.openapi["paths"]["/things"]["get"]
    get["parameters"] = [{"name": "p", "in": "query", **parameter}]
    step = {"operationId": "search", "parameters": [{"name": "p", "in": "query", "value": value}]}
    return first(bench, step, inputs={"list": ["a b", "c"], "n": 5}).target


@pytest.mark.parametrize(
    ("parameter", "value", "written"),
    [
        ({}, "a b&c", "p=a%20b%26c"),
        ({}, 5, "p=5"),
        ({}, True, "p=true"),
        ({}, ["a", "b c"], "p=a&p=b%20c"),
        ({}, {"x": 1, "y": "é"}, "x=1&y=%C3%A9"),
        ({"explode": False}, ["a", "b"], "p=a,b"),
        ({"explode": False}, {"x": 1}, "p=x,1"),
        ({"style": "spaceDelimited", "explode": False}, ["a", "b"], "p=a%20b"),
        ({"style": "pipeDelimited", "explode": False}, ["a", "b"], "p=a%7Cb"),
        ({"style": "deepObject", "explode": True}, {"x": 1}, "p%5Bx%5D=1"),
        ({"content": {"application/json": {}}}, {"x": [1]}, "p=%7B%22x%22%3A%5B1%5D%7D"),
        ({}, "$inputs.list", "p=a%20b&p=c"),
        ({}, "{$inputs.n}%", "p=5%25"),
        ({}, ["$inputs.n", "{$inputs.n}!"], "p=5&p=5%21"),
        ({}, "$copy.userId", "p=lc-run0run0run0-0000000"),
        ({}, ["$copy.number"], "p=0"),
    ],
)
def test_query_parameters(
    bench: Bench, parameter: dict[str, Any], value: Any, written: str
) -> None:
    if "$copy" in str(value):
        plan = bench.plan(
            workflow({"stepId": "s", "operationId": "search"}),
            overlay=[Edit("s", "query.p", value)],
        )
        target = drive(plan.copy(0, 1_000, give_up), lambda _: Reply()).requests[0].target
    else:
        target = query(bench, parameter, value)
    assert target == f"/v1/things?{written}"


@pytest.mark.parametrize(
    ("style", "explode", "value", "written"),
    [
        ("simple", False, "a/b", "a%2Fb"),
        ("simple", False, ["a", "b"], "a,b"),
        ("simple", False, {"x": 1}, "x,1"),
        ("simple", True, {"x": 1, "y": 2}, "x=1,y=2"),
        ("label", False, ["a", "b"], ".a,b"),
        ("label", True, ["a", "b"], ".a.b"),
        ("matrix", False, ["a", "b"], ";id=a,b"),
        ("matrix", True, ["a", "b"], ";id=a;id=b"),
        ("matrix", True, {"x": 1}, ";x=1"),
        ("matrix", False, 5, ";id=5"),
    ],
)
def test_path_parameters(bench: Bench, style: str, explode: bool, value: Any, written: str) -> None:
    bench.openapi = copy.deepcopy(OPENAPI)
    parameter = bench.openapi["paths"]["/things/{id}"]["get"]["parameters"][0]
    parameter.update(style=style, explode=explode)
    step = {"operationId": "read", "parameters": [{"name": "id", "in": "path", "value": value}]}
    assert first(bench, step).target == f"/v1/things/{written}"


def test_headers_and_cookies(bench: Bench) -> None:
    parameters = [
        {"name": "X-List", "in": "header", "value": ["a", "b c"]},
        {"name": "Authorization", "in": "header", "value": "Bearer {$inputs.n}"},
        {"name": "user-agent", "in": "header", "value": "mine"},
        {"name": "a", "in": "cookie", "value": "x y"},
        {"name": "b", "in": "cookie", "value": "$inputs.n"},
    ]
    request = first(bench, {"operationId": "search", "parameters": parameters}, inputs={"n": 5})
    assert request.head.decode().split("\r\n") == [
        "GET /v1/things HTTP/1.1",
        "Host: things.test",
        "Accept: */*",
        "Accept-Encoding: gzip, deflate",
        "X-List: a,b c",
        "Authorization: Bearer 5",
        "user-agent: mine",
        "Cookie: a=x%20y; b=5",
        "",
    ]


def test_an_input_without_a_value_leaves_no_trace(bench: Bench) -> None:
    step = {
        "operationId": "create",
        "parameters": [
            {"name": "q", "in": "query", "value": "$inputs.gone"},
            {"name": "X-Gone", "in": "header", "value": "$inputs.gone"},
            {"name": "c", "in": "cookie", "value": "$inputs.gone"},
        ],
        "requestBody": {"payload": {"a": 1, "b": "$inputs.gone", "c": ["$inputs.gone", 2]}},
    }
    plan = bench.plan(workflow({"stepId": "s", **step}, inputs=["gone"]))
    request = drive(plan.copy(0, 0, give_up), lambda _: Reply()).requests[0]
    assert request.target == "/v1/things"
    assert b"Gone" not in request.head
    assert b"Cookie" not in request.head
    assert request.body == b'{"a":1,"c":[2]}'


@pytest.mark.parametrize(
    ("operation", "content_type", "payload", "sent_type", "body"),
    [
        ("create", "", {"a": [1, "$inputs.n"]}, "application/json", b'{"a":[1,5]}'),
        ("create", "", "$inputs.o", "application/json", b'{"k":"v"}'),
        ("create", "", "plain text", "application/json", b"plain text"),
        ("create", "application/x+json", [], "application/x+json", b"[]"),
        ("create", "", '{"a": {$inputs.n}, "b": "{$inputs.s}"}', "application/json",
         b'{"a": 5, "b": "q\\"& x"}'),
        ("write", "", "m,user={$inputs.n} v=1", "text/plain", b"m,user=5 v=1"),
        ("write", "text/csv; charset=utf-8", "a,b", "text/csv; charset=utf-8", b"a,b"),
        ("submit", "", {"a": "x y", "n": "$inputs.n", "l": [1, 2]},
         "application/x-www-form-urlencoded", b"a=x%20y&n=5&l=1&l=2"),
        ("submit", "", "a={$inputs.s}&b=1",
         "application/x-www-form-urlencoded", b"a=q%22%26%20x&b=1"),
        ("search", "", None, None, b""),
    ],
)  # fmt: skip
def test_bodies(
    bench: Bench,
    operation: str,
    content_type: str,
    payload: Any,
    sent_type: str | None,
    body: bytes,
) -> None:
    step: dict[str, Any] = {"operationId": operation}
    if payload is not None:
        step["requestBody"] = {"payload": payload}
        if content_type:
            step["requestBody"]["contentType"] = content_type
    request = first(bench, step, inputs={"n": 5, "o": {"k": "v"}, "s": 'q"& x'})
    assert dict(request.headers).get("Content-Type") == sent_type
    assert request.body == body


def test_what_a_copy_brings_is_encoded_in_a_form_string(bench: Bench) -> None:
    plan = bench.plan(
        workflow(
            {"stepId": "a", "operationId": "search", "outputs": {"t": "$response.body#/t"}},
            {
                "stepId": "b",
                "operationId": "submit",
                "requestBody": {"payload": "token={$steps.a.outputs.t}&x=1"},
            },
        )
    )
    ride = drive(plan.copy(0, 0, give_up), lambda _: Reply(body={"t": "a&b=c"}))
    assert ride.requests[1].body == b"token=a%26b%3Dc&x=1"


def test_replacements(bench: Bench) -> None:
    step = {
        "operationId": "create",
        "requestBody": {
            "payload": {"events": [{"a": 1}, {"a": 2}], "b": {"c": "old"}},
            "replacements": [
                {"target": "/events/1/a", "value": "$inputs.n"},
                {"target": "/events/-", "value": {"a": "{$inputs.n}!"}},
                {"target": "/b/c", "value": "new"},
                {"target": "/d~1e/f", "value": True},
            ],
        },
    }
    body = orjson.loads(first(bench, step, inputs={"n": 5}).body)
    assert body == {
        "events": [{"a": 1}, {"a": 5}, {"a": "5!"}],
        "b": {"c": "new"},
        "d/e": {"f": True},
    }


def test_replacements_reach_into_json_text(bench: Bench) -> None:
    step = {
        "operationId": "create",
        "requestBody": {
            "payload": '{"n": {$inputs.n}, "s": "{$inputs.n}"}',
            "replacements": [{"target": "/s", "value": "x"}],
        },
    }
    assert first(bench, step, inputs={"n": 5}).body == b'{"n":5,"s":"x"}'


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("//book/title", "no place"),
        ("book", "is not a JSON Pointer"),
        ("/events/7/a", "not an index"),
        ("/b/c/d", 'no place "d" in a string'),
    ],
)
def test_a_replacement_that_fits_nowhere(bench: Bench, target: str, says: str) -> None:
    step = {
        "stepId": "s",
        "operationId": "create",
        "requestBody": {
            "payload": {"events": [], "b": {"c": "x"}, "": "y"},
            "replacements": [{"target": target, "value": 1}],
        },
    }
    assert says in str(bench.refused(workflow(step)))


def test_the_overlay_adds_to_the_request(bench: Bench) -> None:
    step = {
        "stepId": "s",
        "operationId": "create",
        "parameters": [
            {"name": "e", "in": "query", "value": '{"type":"{$inputs.n}","deep":{"x":[1]}}'},
            {"name": "keep", "in": "query", "value": "1"},
            {"name": "X-A", "in": "header", "value": "old"},
        ],
        "requestBody": {"payload": {"events": [{"props": "$inputs.o"}]}},
    }
    plan = bench.plan(
        workflow(step, inputs=["n", "o"]),
        inputs={"n": 'a"b', "o": {"k": 1}},
        overlay=[
            Edit("s", "body#/events/0/props/run", "$run.id"),
            Edit("s", "body#/events/0/id", "$copy.insertId"),
            Edit("s", "body#/new/-", {"time": "$copy.time", "text": "t-{$copy.number}"}),
            Edit("s", "query.e#/filters/-", {"is": ["$run.id"]}),
            Edit("s", "query.e#/deep/x/0", "$copy.number"),
            Edit("s", "query.more", "a b"),
            Edit("s", "header.x-a", "new"),
            Edit("s", "cookie.c", "$copy.number"),
        ],
    )
    request = drive(plan.copy(7, 99, give_up), lambda _: Reply()).requests[0]
    assert orjson.loads(request.body) == {
        "events": [{"props": {"k": 1, "run": "run0run0run0"}, "id": "run0run0run0-7"}],
        "new": [{"time": 99, "text": "t-7"}],
    }
    sent = dict(urllib.parse.parse_qsl(request.target.partition("?")[2]))
    assert json.loads(sent["e"]) == {
        "type": 'a"b',
        "deep": {"x": [7]},
        "filters": [{"is": ["run0run0run0"]}],
    }
    assert sent["keep"] == "1"
    assert sent["more"] == "a b"
    assert dict(request.headers)["X-A"] == "new"
    assert dict(request.headers)["Cookie"] == "c=7"


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("body", "expected"),
        ("body#events", "does not start"),
        ("quary.e", "expected"),
        ("query.e#/x", "not JSON text"),
        ("body#/text/deep", "known only when a copy runs"),
    ],
)
def test_an_overlay_that_fits_nowhere(bench: Bench, at: str, says: str) -> None:
    step = {
        "stepId": "s",
        "operationId": "create",
        "parameters": [{"name": "e", "in": "query", "value": "no json"}],
        "requestBody": {"payload": {"text": "a {$inputs.u}"}},
    }
    error = bench.refused(
        workflow(step, inputs=["u"]), inputs={"u": "$copy.userId"}, overlay=[Edit("s", at, 1)]
    )
    assert says in str(error)


def test_an_overlay_for_no_step(bench: Bench) -> None:
    step = {"stepId": "upload", "operationId": "create"}
    error = bench.refused(workflow(step), overlay=[Edit("uplaod", "header.X", 1)])
    assert 'there is no step "uplaod"' in str(error)
    assert 'did you mean "upload"?' in str(error)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b"])
def test_no_line_break_enters_a_header(bench: Bench, value: str) -> None:
    header = {"name": "X-A", "in": "header", "value": "$inputs.v"}
    step = {"stepId": "s", "operationId": "search", "parameters": [header]}
    error = bench.refused(workflow(step, inputs=["v"]), inputs={"v": value})
    assert "line break" in str(error)
    late = {"name": "X-A", "in": "header", "value": "$steps.s.outputs.v"}
    plan = bench.plan(
        workflow(
            {"stepId": "s", "operationId": "search", "outputs": {"v": "$response.body#/v"}},
            {"stepId": "t", "operationId": "search", "parameters": [late]},
        )
    )
    ride = drive(plan.copy(0, 0, give_up), lambda _: Reply(body={"v": value}))
    assert ride.result is False
    assert len(ride.requests) == 1
    assert list(plan.unsendable) == ["t: a header value holds a line break or NUL"]


@pytest.mark.parametrize("name", ["Content-Length", "connection", "Transfer-Encoding", "a b"])
def test_headers_that_are_not_the_steps_business(bench: Bench, name: str) -> None:
    step = {
        "stepId": "s",
        "operationId": "search",
        "parameters": [{"name": name, "in": "header", "value": "1"}],
    }
    assert name in str(bench.refused(workflow(step)))


def test_servers_can_stand_in(bench: Bench) -> None:
    step = {"stepId": "s", "operationId": "search"}
    for servers, url in (
        ({}, "http://things.test/v1/things"),
        ({"*": "http://127.0.0.1:99"}, "http://127.0.0.1:99/things"),
        ({"*": "http://a.test", "api": "https://b.test/x/"}, "https://b.test/x/things"),
    ):
        plan = bench.plan(workflow(step), servers=servers)
        request = drive(plan.copy(0, 0, give_up), lambda _: Reply()).requests[0]
        assert request.url == url


def test_server_variables_have_their_defaults(bench: Bench) -> None:
    variables = {"region": {"default": "eu"}}
    servers = [{"url": "https://{region}.test/{region}", "variables": variables}]
    bench.openapi = {**OPENAPI, "servers": servers}
    assert first(bench, {"operationId": "search"}).url == "https://eu.test/eu/things"


@pytest.mark.parametrize("url", ["/relative", "ftp://x", "https://{unset}.test", "http://x:port"])
def test_a_server_that_is_none(bench: Bench, url: str) -> None:
    bench.openapi = {**OPENAPI, "servers": [{"url": url}]}
    error = bench.refused(workflow({"stepId": "s", "operationId": "search"}))
    assert url in str(error)


def test_a_multipart_body_other_than_a_form_is_refused(bench: Bench) -> None:
    body = {"contentType": "multipart/mixed", "payload": {"a": 1}}
    step = {"stepId": "s", "operationId": "create", "requestBody": body}
    assert "only multipart/form-data" in str(bench.refused(workflow(step)))


@pytest.mark.parametrize(("given", "warned"), [({}, True), ({"contentType": "text/plain"}, False)])
def test_a_choice_of_content_types_is_to_be_made(
    bench: Bench, given: dict[str, Any], warned: bool
) -> None:
    bench.openapi = copy.deepcopy(OPENAPI)
    content = bench.openapi["paths"]["/things"]["post"]["requestBody"]["content"]
    content["text/plain"] = {}
    first, second, *_ = content
    step = {"stepId": "s", "operationId": "create", "requestBody": {"payload": "x", **given}}
    told = [str(problem) for problem in bench.plan(workflow(step)).warnings]
    assert any(f"takes {first} and {second}" in text for text in told) is warned


def test_what_the_description_requires_and_the_step_lacks(bench: Bench) -> None:
    bench.openapi = copy.deepcopy(OPENAPI)
    post = bench.openapi["paths"]["/things"]["post"]
    post["parameters"] = [{"name": "key", "in": "query", "required": True}]
    post["requestBody"]["required"] = True
    step = {"stepId": "s", "operationId": "create"}
    told = str(bench.refused(workflow(step, inputs=["u"]), inputs={"u": "$copy.userId"}))
    assert 'POST /things requires the query parameter "key"' in told
    assert "POST /things requires a body" in told
    step_read = {"stepId": "s", "operationId": "read"}
    assert 'the path parameter "id"' in str(bench.refused(workflow(step_read)))
