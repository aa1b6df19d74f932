"""Every row of the conformance table: what it names works, or is refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadcheck.workflow.compile import lint
from loadcheck.workflow.exchange import Request
from tests.workflow.workbench import Bench, Reply, Ride, drive, give_up

TABLE = Path(__file__).resolve().parents[2] / "loadcheck" / "workflow" / "README.md"

API = """
openapi: 3.1.1
info: {title: t, version: '1'}
servers: [{url: 'http://things.test'}]
paths:
  /items:
    get:
      operationId: list
      parameters:
        - {name: tag, in: query, schema: {type: string}}
        - {name: $top, in: query, schema: {type: integer}}
        - {name: X-Trace, in: header, schema: {type: string}}
        - {name: sid, in: cookie, schema: {type: string}}
        - {name: ids, in: query, style: pipeDelimited, explode: false, schema: {type: object}}
        - {name: raw, in: query, allowReserved: true, schema: {type: string}}
        - {name: all, in: querystring, content: {application/x-www-form-urlencoded: {}}}
      responses:
        '200':
          description: ok
          headers: {Set-Cookie: {schema: {type: string}}}
    post:
      operationId: add
      requestBody:
        content:
          application/json: {schema: {type: object}}
          application/xml: {}
          application/octet-stream: {}
      responses: {'201': {description: made}}
  /items/{id}:
    get:
      operationId: read
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses: {'200': {description: ok}}
  /form:
    post:
      operationId: form
      requestBody:
        content:
          application/x-www-form-urlencoded:
            encoding: {deep: {style: deepObject}, text: {contentType: application/json}}
      responses: {'200': {description: ok}}
  /upload:
    post:
      operationId: upload
      requestBody:
        content: {multipart/form-data: {encoding: {meta: {contentType: application/json}}}}
      responses: {'200': {description: ok}}
"""
HEAD = """
info: {title: t, version: '1'}
sourceDescriptions: [{name: api, url: api.yaml, type: openapi}]
"""
INPUTS = "inputs: {type: object, properties: {u: {}, f: {}, o: {}}}"


@dataclass(frozen=True)
class Row:
    """One row: what is written, and what comes of it."""

    steps: str
    sends: tuple[str, ...] = ()
    says: str = ""
    version: str = "1.1.0"
    head: str = ""
    fields: str = ""
    more: str = ""
    answer: Any = None
    inputs: Any = None


def s(text: str) -> str:
    """Return a step ``s`` with these fields, in flow style."""
    return f"- {{stepId: s, {text}}}"


READ = "operationId: read, parameters: [{name: id, in: path, value: $VALUE}]"


def reads(value: str, **fields: Any) -> Row:
    """Return a row whose first step lists items and whose second reads the one of an expression."""
    second = "- {stepId: s, " + READ.replace("$VALUE", value) + "}"
    first = "- {stepId: a, operationId: list, outputs: {x: $response.body#/x, y: $response.body}}"
    return Row(f"{first}\n    {second}", **{"answer": {"x": "7", "list": [{"id": "8"}]}, **fields})


ROWS: dict[str, Row] = {
    # Arazzo Description
    "arazzo": Row(s("operationId: list"), ("GET /items ",), version="1.0.1"),
    "$self": reads("$self", head="$self: https://a.test/w.yaml", sends=("https%3A%2F%2Fa.test",)),
    "info": Row(s("operationId: list"), ("GET /items ",)),
    "sourceDescriptions": Row(s("operationId: $sourceDescriptions.api.list"), ("GET /items ",)),
    "components": Row(
        s("operationId: list, parameters: [{reference: $components.parameters.t}]"),
        ("GET /items?tag=a ",),
        more="components: {parameters: {t: {name: tag, in: query, value: a}}}",
    ),
    "source type asyncapi": Row(
        s("operationId: $sourceDescriptions.bus.publish"),
        says="is one of AsyncAPI, which loadcheck does not run",
        head="x-none: 0",
        more="",
    ),
    # Workflow Object
    "inputs": Row(
        s("operationId: list, parameters: [{name: tag, in: query, value: $inputs.o}]"),
        ("tag=1",),
        inputs={"o": 1},
    ),
    "inputs composed": Row(
        s("operationId: list, parameters: [{name: tag, in: query, value: $inputs.b}]"),
        ("tag=2",),
        fields="inputs: {allOf: [{$ref: '#/components/inputs/b'}]}",
        more="components: {inputs: {b: {properties: {b: {default: 2}}}}}",
    ),
    "inputs of any name": Row(
        s("operationId: list, parameters: [{name: tag, in: query, value: $inputs.any}]"),
        ("tag=3",),
        fields="inputs: {type: object, additionalProperties: {type: integer}}",
        inputs={"any": 3},
    ),
    "workflow dependsOn": Row(
        s("operationId: list"),
        ("GET /items/1 ", "GET /items "),
        fields=f"{INPUTS}\n    dependsOn: [other]",
        more="  - workflowId: other\n    steps: [{stepId: o, "
        + READ.replace("$VALUE", "'1'")
        + "}]",
    ),
    "workflow parameters": Row(
        s("operationId: list"),
        ("tag=w",),
        fields=f"{INPUTS}\n    parameters: [{{name: tag, in: query, value: w}}]",
    ),
    "workflow parameters without in": Row(
        s("workflowId: other"),
        ("GET /items/z ",),
        fields=f"{INPUTS}\n    parameters: [{{name: x, value: z}}]",
        more="  - workflowId: other\n    inputs: {properties: {x: {}}}\n    steps: [{stepId: o, "
        + READ.replace("$VALUE", "$inputs.x")
        + "}]",
    ),
    "workflow outputs": Row(
        "- {stepId: c, workflowId: other}\n    - {stepId: s, "
        + READ.replace("$VALUE", "$steps.c.outputs.v")
        + "}",
        ("GET /items ", "GET /items/7 "),
        answer={"x": "7"},
        more="  - workflowId: other\n    steps: [{stepId: o, operationId: list, outputs: "
        "{x: $response.body#/x}}]\n    outputs: {v: $steps.o.outputs.x}",
    ),
    # Step Object
    "operationId": Row(s("operationId: list"), ("GET /items ",)),
    "operationPath": Row(
        s("operationPath: '{$sourceDescriptions.api.url}#/paths/~1items/get'"), ("GET /items ",)
    ),
    "workflowId": Row(
        s("workflowId: other"),
        ("GET /items ",),
        more="  - workflowId: other\n    steps: [{stepId: o, operationId: list}]",
    ),
    "successCriteria": Row(
        s("operationId: list, successCriteria: [{condition: $statusCode == 200}]"), ("GET",)
    ),
    "onSuccess": Row(
        s("operationId: list, onSuccess: [{name: e, type: end}]") + "\n    - {stepId: t, "
        "operationId: add}",
        ("GET /items ",),
    ),
    "onFailure": Row(
        s(
            "operationId: list, successCriteria: [{condition: $statusCode == 500}], "
            "onFailure: [{name: r, type: retry, retryAfter: 0, retryLimit: 1}]"
        ),
        ("GET /items ", "GET /items "),
    ),
    "step outputs": reads("$steps.a.outputs.x", sends=("GET /items ", "GET /items/7 ")),
    "step timeout": Row(s("operationId: list, timeout: 1500"), ("GET /items ",)),
    "step dependsOn": Row(
        "- {stepId: s, operationId: list, dependsOn: [t]}\n    - {stepId: t, operationId: add, "
        "requestBody: {payload: {}}}",
        ("POST /items ", "GET /items "),
    ),
    "channelPath": Row(
        s("channelPath: '{$sourceDescriptions.api.url}#/channels/c', action: send"),
        says="is one of AsyncAPI, which loadcheck does not run",
    ),
    # Parameter Object
    "in path": Row(s(READ.replace("$VALUE", "a/b")), ("GET /items/a%2Fb ",)),
    "in query": Row(
        s("operationId: list, parameters: [{name: $top, in: query, value: 3}]"), ("%24top=3",)
    ),
    "in header": Row(
        s("operationId: list, parameters: [{name: X-Trace, in: header, value: t}]"),
        ("X-Trace: t\r\n",),
    ),
    "in cookie": Row(
        s("operationId: list, parameters: [{name: sid, in: cookie, value: c}]"),
        ("Cookie: sid=c\r\n",),
    ),
    "in querystring": Row(
        s("operationId: list, parameters: [{name: all, in: querystring, value: {a: 1, b: x y}}]"),
        ("GET /items?a=1&b=x%20y ",),
    ),
    "in body (1.0.0)": Row(
        s("operationId: add, parameters: [{name: body, in: body, value: {a: 1}}]"),
        ('{"a":1}',),
        version="1.0.0",
    ),
    "Reusable Object": Row(
        s(
            "operationId: list, parameters: [{reference: $components.parameters.t, value: b, "
            "description: d}]"
        ),
        ("tag=b",),
        more="components: {parameters: {t: {name: tag, in: query, value: a}}}",
    ),
    # OpenAPI's ways to write parameters and bodies
    "pipeDelimited objects": Row(
        s("operationId: list, parameters: [{name: ids, in: query, value: {a: 1, b: 2}}]"),
        ("ids=a%7C1%7Cb%7C2",),
    ),
    "allowReserved": Row(
        s("operationId: list, parameters: [{name: raw, in: query, value: '/a?b=c d'}]"),
        ("raw=/a?b=c%20d",),
    ),
    "Encoding Object": Row(
        s(
            "operationId: form, requestBody: {contentType: application/x-www-form-urlencoded, "
            "payload: {deep: {a: 1, b: 2}, text: {c: 3}, plain: x}}"
        ),
        ("deep%5Ba%5D=1&deep%5Bb%5D=2&text=%7B%22c%22%3A3%7D&plain=x",),
    ),
    "multipart/form-data": Row(
        s(
            "operationId: upload, requestBody: {contentType: multipart/form-data, "
            "payload: {f: $inputs.f, meta: {a: 1}, n: [x, y]}}"
        ),
        (
            'name="f"; filename="p.txt"\r\nContent-Type: text/plain\r\n\r\nhello\r\n',
            'name="meta"\r\nContent-Type: application/json\r\n\r\n{"a":1}\r\n',
            'name="n"\r\n\r\nx\r\n',
            'name="n"\r\n\r\ny\r\n',
        ),
        inputs={"f": {"$file": "p.txt"}},
    ),
    # Request Body Object
    "payload": Row(s("operationId: add, requestBody: {payload: {a: [1]}}"), ('{"a":[1]}',)),
    "payload that is an expression": Row(
        s(
            "operationId: form, requestBody: {contentType: application/x-www-form-urlencoded, "
            "payload: $inputs.o}"
        ),
        ("a=1&b=x%20y",),
        inputs={"o": {"a": 1, "b": "x y"}},
    ),
    "replacements": Row(
        s(
            "operationId: add, requestBody: {payload: {a: 1}, replacements: "
            "[{target: /a, value: 2}]}"
        ),
        ('{"a":2}',),
    ),
    "replacements in an expression": Row(
        "- {stepId: a, operationId: list, outputs: {x: $response.body}}\n    "
        + s(
            "operationId: add, requestBody: {payload: $steps.a.outputs.x, replacements: "
            "[{target: /x, value: 10}]}"
        ),
        ('{"x":10,"z":1}',),
        answer={"x": 1, "z": 1},
    ),
    "targetSelectorType jsonpath": Row(
        s(
            "operationId: add, requestBody: {payload: {a: [{b: 1}, {b: 2}]}, replacements: "
            "[{target: '$.a[*].b', value: 0, targetSelectorType: jsonpath}]}"
        ),
        ('{"a":[{"b":0},{"b":0}]}',),
    ),
    "replacements in XML": Row(
        s(
            "operationId: add, requestBody: {contentType: application/xml, payload: "
            "'<a><b i=\"1\">x</b></a>', replacements: [{target: /a/b, value: y}, "
            "{target: /a/b/@i, value: 2}]}"
        ),
        ('<a><b i="2">y</b></a>',),
    ),
    # Criterion Object
    "simple": Row(
        s("operationId: list, successCriteria: [{condition: '$response.body#/x == 1'}]"),
        ("GET",),
        answer={"x": 1},
    ),
    "regex": Row(
        s(
            "operationId: list, successCriteria: [{context: $response.body#/x, type: regex, "
            "condition: '^a+$'}]"
        ),
        ("GET",),
        answer={"x": "aa"},
    ),
    "jsonpath": Row(
        s(
            "operationId: list, successCriteria: [{context: $response.body, type: jsonpath, "
            "condition: '$.x[?@.y > 1]'}]"
        ),
        ("GET",),
        answer={"x": [{"y": 2}]},
    ),
    "xpath": Row(
        s(
            "operationId: list, successCriteria: [{context: $response.body, type: xpath, "
            "condition: 'count(/a/b) = 2'}]"
        ),
        ("GET",),
        answer=b"<a><b/><b/></a>",
    ),
    "Expression Type Object": Row(
        s(
            "operationId: list, successCriteria: [{context: $response.body, "
            "type: {type: xpath, version: xpath-10}, condition: '/a/b'}]"
        ),
        ("GET",),
        answer=b"<a><b/></a>",
    ),
    # Actions
    "goto": Row(
        s("operationId: list, onSuccess: [{name: g, type: goto, stepId: u}]")
        + "\n    - {stepId: t, operationId: add}\n    - {stepId: u, "
        + READ.replace("$VALUE", "'9'")
        + "}",
        ("GET /items ", "GET /items/9 "),
    ),
    "action parameters": Row(
        s(
            "operationId: list, onSuccess: [{name: g, type: goto, workflowId: other, "
            "parameters: [{name: x, value: $response.body#/x}]}]"
        ),
        ("GET /items ", "GET /items/7 "),
        answer={"x": "7"},
        more="  - workflowId: other\n    inputs: {properties: {x: {}}}\n    steps: [{stepId: o, "
        + READ.replace("$VALUE", "$inputs.x")
        + "}]",
    ),
    # Selector Object
    "selector jsonpath": reads(
        "{context: $steps.a.outputs.y, selector: '$.list[0].id', type: jsonpath}",
        sends=("GET /items/8 ",),
    ),
    "selector jsonpointer": reads(
        "{context: $steps.a.outputs.y, selector: /list/0/id, type: jsonpointer}",
        sends=("GET /items/8 ",),
    ),
    "selector xpath": Row(
        "- {stepId: a, operationId: list, outputs: {x: {context: $response.body, "
        "selector: /a/b, type: xpath}}}\n    - {stepId: s, "
        + READ.replace("$VALUE", "$steps.a.outputs.x")
        + "}",
        ("GET /items/5 ",),
        answer=b"<a><b>5</b></a>",
    ),
    "selectors in 1.0": Row(
        s(
            "operationId: list, outputs: {x: {context: $response.body, selector: $.a, "
            "type: jsonpath}}"
        ),
        says="selectors need arazzo: 1.1.0",
        version="1.0.1",
    ),
    # Runtime expressions
    "$url": reads("'{$url}'", says="is not known before the step has been answered"),
    "$response.header": Row(
        "- {stepId: a, operationId: list, outputs: {x: $response.header.Location}}\n    "
        "- {stepId: s, " + READ.replace("$VALUE", "$steps.a.outputs.x") + "}",
        ("GET /items/there ",),
    ),
    "$response.header of many": Row(
        "- {stepId: a, operationId: list, outputs: {x: $response.header.Set-Cookie#/1}}\n    "
        "- {stepId: s, " + READ.replace("$VALUE", "$steps.a.outputs.x") + "}",
        ("GET /items/b%3D2 ",),
    ),
    "$request.query": Row(
        "- {stepId: a, operationId: list, parameters: [{name: tag, in: query, value: q}], "
        "outputs: {x: $request.query.tag}}\n    "
        "- {stepId: s, " + READ.replace("$VALUE", "$steps.a.outputs.x") + "}",
        ("GET /items/q ",),
    ),
    "$steps": reads("$steps.a.outputs.y#/list/0/id", sends=("GET /items/8 ",)),
    "$steps of a later step": Row(
        s(READ.replace("$VALUE", "$steps.t.outputs.x"))
        + "\n    - {stepId: t, operationId: list, outputs: {x: $response.body}}",
        says='"t" runs after this step',
    ),
    "$steps.ID.NAME (1.0.0)": reads("$steps.a.x", version="1.0.0", sends=("GET /items/7 ",)),
    "$message": reads("$message.payload", says="belongs to AsyncAPI messages"),
    "braces in conditions": Row(
        s("operationId: list, successCriteria: [{condition: '{$statusCode == 200}'}]"),
        ("GET",),
        says='write "$statusCode == 200"',
    ),
    "misspelt roots": Row(
        s("operationId: add, requestBody: {payload: {a: $input.x}}"), says='did you mean "$inputs"?'
    ),
}


def document(row: Row) -> str:
    fields = row.fields or INPUTS
    head = HEAD
    if "asyncapi" in row.says.lower() and "bus" in row.steps:
        head = head.replace("}]", "}, {name: bus, url: bus.yaml, type: asyncapi}]")
    more = row.more if row.more.startswith("  -") else ""
    rest = "" if more else row.more
    return (
        f"arazzo: {row.version}\n{row.head}{head}workflows:\n  - workflowId: w\n    {fields}\n"
        f"    steps:\n    {row.steps}\n{more}\n{rest}\n"
    )


def answers(row: Row) -> Callable[[Request], Reply]:
    headers = [("location", "there"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]
    return lambda _: Reply(body=row.answer if row.answer is not None else {}, headers=headers)


def ride(bench: Bench, row: Row) -> Ride:
    bench.write("api.yaml", API)
    bench.write("p.txt", "hello")
    path = bench.write("w.yaml", document(row))
    plan = bench.compile(
        path,
        workflow_id="w",
        inputs={"u": "$copy.userId", **(row.inputs or {})}
        if "u:" in (row.fields or INPUTS)
        else row.inputs or {},
    )
    return drive(plan.copy(0, 0, give_up), answers(row))


@pytest.mark.parametrize("name", ROWS)
def test_each_row_works_or_is_refused_by_name(bench: Bench, name: str) -> None:
    row = ROWS[name]
    yaml.safe_load(document(row))
    bench.write("api.yaml", API)
    problems = lint(bench.write("w.yaml", document(row)), name="w.yaml")
    told = "\n".join(map(str, problems))
    if row.says:
        assert row.says in told
    if not row.sends:
        assert any(problem.severity == "error" for problem in problems), told
        return
    assert not [str(problem) for problem in problems if problem.severity == "error"]
    made = ride(bench, row)
    sent = [(request.head + b"\r\n" + request.body).decode() for request in made.requests]
    position = 0
    for expected in row.sends:
        places = [place for place, text in enumerate(sent[position:]) if expected in text]
        assert places, (expected, sent)
        position += places[0]


def test_the_table_has_these_rows_and_no_others() -> None:
    named = re.findall(r"^\| `?([^|`]+?)`? \| (?:works|refused)", TABLE.read_text(), re.MULTILINE)
    assert sorted(named) == sorted(ROWS)
    said = dict(
        re.findall(r"^\| `?([^|`]+?)`? \| (works|refused)", TABLE.read_text(), re.MULTILINE)
    )
    for name, row in ROWS.items():
        assert said[name] == ("works" if row.sends else "refused"), name
