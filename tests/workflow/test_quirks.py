"""What popular documents get wrong: understood with a warning, refused when strict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

import loadcheck
from loadcheck.errors import WorkflowError
from loadcheck.workflow.compile import CompileSettings, compile_plan
from loadcheck.workflow.runtime.plan import Plan, Role
from tests.workflow.workbench import (
    AMPLITUDE_BYPASS,
    AMPLITUDE_INPUTS,
    AMPLITUDE_OVERLAY,
    OPENAPI,
    RUN,
    Bench,
    Reply,
    drive,
    give_up,
    workflow,
)

LIBRARY = Path(loadcheck.__file__).parent / "library" / "amplitude"
REFERENCE = Path(__file__).with_name("ingest-and-segment.yml")

QUIRKY = """\
arazzo: 1.0.1
info:
  title: Quirks
  version: 1.0.0
sourceDescriptions:
- name: one
  url: api.json
  type: openapi
- name: two
  url: two.json
  type: openapi
workflows:
- workflowId: w
  inputs:
    type: object
    properties:
      user: {type: string}
      event: {type: string}
      auth: {type: string}
      properties: {type: object}
  steps:
  - stepId: upload
    operationId: create
    requestBody:
      contentType: application/json
      payload:
        user: $inputs.user
        properties: $inputs.properties
    onSuccess:
    - name: taken
      type: goto
      stepId: ask
      criteria:
      - context: $response.body
        condition: $.taken > 0
        type: jsonpath
  - stepId: ask
    operationId: count
    parameters:
    - name: Authorization
      in: header
      value: "Basic $inputs.auth"
    - name: e
      in: query
      value: "{\\"event_type\\":\\"$inputs.event\\"}"
    - name: price
      in: query
      value: "$inputs.unknown costs $5"
"""
WARNINGS = [
    (23, "operationId", 'write "$sourceDescriptions.one.create"'),
    (30, "onSuccess/0", "successCriteria"),
    (35, "condition", 'write "$response.body#/taken > 0" with type simple'),
    (38, "operationId", 'write "$sourceDescriptions.two.count"'),
    (42, "parameters/0/value", 'write "Basic {$inputs.auth}"'),
    (45, "parameters/1/value", 'write "{"event_type":"{$inputs.event}"}"'),
    (48, "parameters/2/value", "declare the input"),
]
INPUTS = {"user": "$copy.userId", "event": 'a "quoted" event', "auth": "YTpi"}


@pytest.fixture
def quirky(bench: Bench) -> Path:
    bench.write("api.json", OPENAPI)
    operation = {"operationId": "count", "responses": {}}
    paths = {"/count": {"get": operation}}
    bench.write("two.json", {**OPENAPI, "paths": paths})
    return bench.write("quirky.yml", QUIRKY)


def test_each_quirk_is_accepted_with_a_warning_that_names_line_and_spelling(
    bench: Bench, quirky: Path
) -> None:
    plan = bench.compile(quirky, inputs=INPUTS)
    warnings = plan.warnings
    assert [problem.line for problem in warnings] == [line for line, _, _ in WARNINGS]
    for problem, (_, key, remedy) in zip(warnings, WARNINGS, strict=True):
        assert problem.severity == "warning"
        assert problem.key.endswith(key)
        assert remedy in problem.remedy
        assert problem.section


def test_and_means_what_its_author_meant(bench: Bench, quirky: Path) -> None:
    plan = bench.compile(quirky, inputs=INPUTS, query="each")
    ride = drive(plan.copy(0, 0, give_up), lambda _: Reply(200, {"taken": 1}))
    upload, ask = ride.requests
    assert orjson.loads(upload.body) == {"user": "lc-run0run0run0-0000000"}
    assert dict(ask.headers)["Authorization"] == "Basic YTpi"
    sent = parse_qs(urlsplit(ask.target).query)
    assert json.loads(sent["e"][0]) == {"event_type": 'a "quoted" event'}
    assert sent["price"] == ["$inputs.unknown costs $5"]


def test_strict_refuses_every_one_of_them(bench: Bench, quirky: Path) -> None:
    with pytest.raises(WorkflowError) as caught:
        bench.compile(quirky, inputs=INPUTS, strict=True)
    problems = caught.value.problems
    assert [problem.line for problem in problems] == [line for line, _, _ in WARNINGS]
    assert {problem.severity for problem in problems} == {"error"}


def test_a_query_that_could_not_be_read_is_refused(bench: Bench, quirky: Path) -> None:
    text = QUIRKY.replace('\\"}"', '\\""')
    assert text != QUIRKY
    with pytest.raises(WorkflowError, match="looks like JSON"):
        bench.compile(bench.write("quirky.yml", text), inputs=INPUTS)


def amplitude(document: Path, **settings: Any) -> Plan:
    return compile_plan(
        CompileSettings(
            document=document,
            name=document.name,
            run=RUN,
            inputs=AMPLITUDE_INPUTS,
            overlay=AMPLITUDE_OVERLAY,
            criteria={"uploadEvents": ["$response.body#/events_ingested == 1"]},
            **settings,
        )
    )


def requests_of(plan: Plan) -> list[str]:
    """Return what a copy and a query send, as text."""
    ride = drive(plan.copy(3, 77, give_up), lambda _: Reply(200, {"events_ingested": 1}))
    values = {"uniques": "$response.body#/data/seriesCollapsed/0/0/value"}
    query = plan.query("segmentEvent", edits=AMPLITUDE_BYPASS, values=values)
    body = {"data": {"seriesCollapsed": [[{"value": 12}]]}}
    asked = drive(query.run(9), lambda _: Reply(200, body))
    assert asked.result.values == {"uniques": 12}
    return [
        f"{request.origin} {request.head.decode()} {request.body.decode()}"
        for request in (*ride.requests, *asked.requests)
    ]


def test_the_shipped_workflow_is_strict_and_asks_the_real_service() -> None:
    plan = amplitude(LIBRARY / "workflow.yml", strict=True)
    assert plan.warnings == ()
    assert [(step.step_id, step.role, str(step.origin)) for step in plan.steps] == [
        ("uploadEvents", Role.COPY, "https://api2.amplitude.com"),
        ("segmentEvent", Role.OBSERVER, "https://amplitude.com"),
    ]
    upload, query = requests_of(plan)
    assert upload.endswith(
        '{"api_key":"key-of-the-target","events":[{"user_id":"lc-run0run0run0-0000003",'
        '"event_type":"probe","event_properties":{"plan":"free","loadcheck_run":"run0run0run0"},'
        '"insert_id":"run0run0run0-3","time":77}]}'
    )
    target = query.split()[2]
    sent = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
    event = json.loads(sent.pop("e"))
    assert event["event_type"] == "probe"
    assert [entry["subprop_op"] for entry in event["filters"]] == ["is", "is not"]
    assert event["filters"][0]["subprop_value"] == ["run0run0run0"]
    assert sent == {"start": "20260101", "end": "20260103", "m": "uniques", "i": "-3600000"}
    assert "Authorization: Basic YmFzaWM=\r\n" in query


@pytest.mark.parametrize("events_ingested", [0, 2, None])
def test_an_upload_that_did_not_ingest_the_event_is_no_acknowledgement(
    events_ingested: int | None,
) -> None:
    plan = amplitude(LIBRARY / "workflow.yml")
    body = {"code": 200, "events_ingested": events_ingested}
    ride = drive(plan.copy(0, 0, give_up), lambda _: Reply(200, body))
    assert ride.result is False
    assert "events_ingested" in ride.exchanges[0].reason


def test_the_reference_document_runs_unchanged() -> None:
    sources = {
        "httpV2Api": str(LIBRARY / "http-v2-api.yml"),
        "dashboardRestApi": str(LIBRARY / "dashboard-rest-api.yml"),
    }
    plan = amplitude(REFERENCE, sources=sources)
    assert [problem.line for problem in plan.warnings] == [64, 79, 84, 90, 94, 97]
    assert requests_of(plan) == requests_of(amplitude(LIBRARY / "workflow.yml"))
    with pytest.raises(WorkflowError) as caught:
        amplitude(REFERENCE, sources=sources, strict=True)
    assert len(caught.value.problems) == 6


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Bearer $steps.a.outputs.token", "Bearer {$steps.a.outputs.token}"),
        ("id-$response.body#/id", "id-{$response.body#/id}"),
        ("{$steps.a.outputs.token}", None),
        ("Bearer {$steps.a.outputs.token}", None),
        ("costs $5, see $steps", None),
    ],
)
def test_an_output_without_braces_is_not_sent_as_text_unsaid(
    bench: Bench, written: str, meant: str | None
) -> None:
    plan = bench.plan(
        workflow(
            {
                "stepId": "a",
                "operationId": "search",
                "outputs": {"token": "$response.body#/token"},
            },
            {
                "stepId": "b",
                "operationId": "search",
                "parameters": [{"name": "X-Auth", "in": "header", "value": written}],
            },
        )
    )
    told = [str(warning) for warning in plan.warnings if "sent as it is written" in str(warning)]
    assert len(told) == (meant is not None)
    if meant is not None:
        assert f'write "{meant}"' in told[0]
